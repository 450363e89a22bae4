"""What a run keeps of the regions found on the eyes of a dataset."""

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.running import console
from fundus_ml import figures, imaging
from fundus_ml.errors import listed

if TYPE_CHECKING:
    import tracking
    from fundus_ml import data

SHEET_EYES = 24
SHEET = "regions.png"
"""Eyes to look at first, in the dataset folder and on the run."""
SIDE = {"eye": "side"}
"""What ``eye`` is called where people read."""


def log_found_regions(run: "tracking.Run", dataset: "data.FundusDataset", folder: Path) -> None:
    """Draw the least certain eyes, count what was found, name eyes of the other side.

    Args:
        run: Gets the sheet, and the share of eyes on which each part is sure.
        dataset: One that was just written, with regions or without.
        folder: Where it lies.
    """
    if not set(imaging.REGION_COLUMNS) <= set(dataset.frame):
        return
    frame = dataset.frame
    shown = imaging.least_certain(frame, SHEET_EYES)
    drawn = dataset.regions(shown)
    assert drawn is not None, "a dataset with columns of regions has their maps"
    captions = [_caption(eye) for eye in frame.iloc[shown].to_dict("records")]
    figures.region_sheet(dataset.pixels(shown), drawn, captions).savefig(folder / SHEET)
    run.log_artifact(folder / SHEET)
    shares = imaging.shares_found(frame)
    other = frame.loc[imaging.other_side(frame), "image_id"].tolist()
    run.log_metrics(
        {f"share_{part}": share for part, share in shares.items()} | {"other_side": len(other)}
    )
    told = ", ".join(f"{SIDE.get(part, part)} {share:.1%}" for part, share in shares.items())
    console.say(f"regions found: {told}; least certain: {folder / SHEET}")
    if other:
        console.warn(f"{len(other)} eyes look like the other side: {listed(other)}")
        run.log_text("\n".join(other) + "\n", "other_side.txt")


def _caption(eye: dict[Hashable, Any]) -> str:
    told = [doubt.partition(":")[0] for doubt in eye["region_doubts"].split("; ") if doubt]
    lacking = [SIDE.get(part, part) for part in told]
    name = str(eye["image_id"]).rpartition("/")[2]
    return f"{name} without {', '.join(lacking)}" if lacking else name
