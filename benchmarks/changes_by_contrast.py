"""What a network's push does to the eyes of each contrast, in one figure and one table.

    mlflow run . -e modulate -P mode=glaucoma -P images=77 …      (healthy eyes towards glaucoma)
    mlflow run . -e modulate -P mode=healthy -P images=23 …       (eyes with it towards healthy)
    python -m benchmarks.changes_by_contrast --dataset data/odir --picture changes.png \
        --runs glaucoma=runs:/RUN_ID,runs:/RUN_ID amd=… --csv changes.csv

Each contrast names its runs of ``modulate``, one per direction (or folders of their artifacts).
The eyes are mirrored and laid over one another by disc and fovea: the figure has the mean change
in colour and the mean density of its energy at the largest budget, and no photograph. The table
has a row per contrast, direction, budget and part: eyes pushed, the share that the network then
calls what they were pushed towards, the median minimal perturbation of those that have one, and the
enrichment of the change beside that of its sham and of one squared gradient of the same network.
"""

import argparse
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from fundus_ml.atlas import register_eyes
from fundus_ml.atlas.peaks import place_of
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.opening import open_dataset
from fundus_ml.errors import InputError
from fundus_ml.faithfulness.known_places import KNOWN_PLACES
from fundus_ml.figures import MeanChange, changes_by_contrast_figure, figure_png
from fundus_ml.imaging.registration import DISC, FOVEA
from fundus_ml.modulation import read_strongest
from fundus_ml.modulation.control_table import MODULATION
from fundus_ml.modulation.saliency import GRADIENT
from tracking.stores import fetch

DPI = 90
"""Pixels per inch: maps of 64 pixels need no more."""
ENRICHMENTS = ("enrichment", "low", "high", "sham", "sham_low", "sham_high")


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the figure; print and keep the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dataset", type=Path, required=True, help="where the eyes come from")
    parser.add_argument("--runs", nargs="+", required=True, metavar="CONTRAST=RUN,RUN")
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args(argv)
    named = [each.partition("=") for each in given.runs]
    runs = {name: addresses.split(",") for name, _, addresses in named}
    table = pd.concat(
        [measured(name, each) for name, addresses in runs.items() for each in addresses],
        ignore_index=True,
    )
    print(table.round(2).to_string(index=False))
    if given.csv is not None:
        table.to_csv(given.csv, index=False, lineterminator="\n", float_format="%.4f")
    drawn = [
        (name, [mean_change(each, given.dataset) for each in addresses])
        for name, addresses in runs.items()
    ]
    size = len(drawn[0][1][0].density)
    figure = changes_by_contrast_figure(
        drawn, disc=place_of(DISC, size), fovea=place_of(FOVEA, size)
    )
    given.picture.parent.mkdir(parents=True, exist_ok=True)
    given.picture.write_bytes(figure_png(figure, dpi=DPI))


def mean_change(run: str, dataset: Path) -> MeanChange:
    """Average a run's changes at its largest budget over aligned eyes.

    Args:
        run: Address of its artifacts; it pushed towards one class.
        dataset: Folder of the eyes, with their region maps.
    """
    rows, original, modulated = read_strongest(fetch(f"{run}/modulation"))
    eyes = _opened(dataset)
    at = pd.Index(eyes.frame["image_id"]).get_indexer(rows["image_id"])
    if (at < 0).any():
        lost = rows["image_id"][at < 0].iloc[0]
        raise InputError(f"dataset={dataset}: lacks {lost}, which {run} pushed")
    registered = register_eyes(eyes.frame.iloc[at].reset_index(drop=True), eyes.regions(at))
    return MeanChange(
        towards=_target(rows, run),
        eyes=len(registered.kept),
        colour=_mean(registered.changes(original, modulated)),
        density=_mean(registered.densities(original, modulated)),
        disc_diameter=registered.disc_diameter,
    )


def measured(contrast: str, run: str) -> pd.DataFrame:
    """Lay out one run: a row per budget and part.

    Args:
        contrast: Its name.
        run: Address of its artifacts; it pushed towards one class.

    Returns:
        ``contrast towards eps grey_levels pushed success min_norm_rms part known eyes enrichment
        low high sham sham_low sham_high gradient``; ``grey_levels`` is the largest RMS change of an
        eye, ``min_norm_rms`` the median minimal perturbation in the same unit, ``known`` whether
        the finding is known to show in the part.
    """
    pushed = pd.read_parquet(fetch(f"{run}/modulation/modulations.parquet"))
    stored = json.loads(fetch(f"{run}/region_enrichment.json").read_text("utf-8"))
    parts = pd.DataFrame(stored["data"], columns=stored["columns"])
    own = parts[parts["condition"] == MODULATION]
    gradient = parts[parts["condition"] == GRADIENT].set_index(["eps", "part"])["enrichment"]
    to_levels = 255 * (pushed["rms"] / pushed["l2"]).median()
    by_budget = pushed.groupby("eps").agg(
        grey_levels=("rms", lambda rms: 255 * rms.max()),
        pushed=("image_id", "size"),
        success=("success", "mean"),
        min_norm_rms=("min_norm", lambda norm: norm[np.isfinite(norm)].median() * to_levels),
    )
    rows = own[["eps", "part", "eyes", *ENRICHMENTS]].merge(by_budget, on="eps")
    rows["gradient"] = [
        gradient.get(key, np.nan) for key in rows[["eps", "part"]].itertuples(index=False)
    ]
    rows["contrast"], rows["towards"] = contrast, _target(pushed, run)
    rows["known"] = rows["part"] == KNOWN_PLACES.get(contrast)
    return rows[
        ["contrast", "towards", "eps", *by_budget.columns, "part", "known", "eyes", *ENRICHMENTS,
         "gradient"]
    ]  # fmt: skip


@cache
def _opened(folder: Path) -> FundusDataset:
    return open_dataset(str(folder))


def _target(rows: pd.DataFrame, run: str) -> str:
    found = rows["target"].unique()
    if len(found) != 1:
        raise InputError(f"{run}: pushed towards {' and '.join(found)}; give mode=CLASS")
    return str(found[0])


def _mean(maps: np.ndarray) -> np.ndarray:
    """Mean over eyes of each pixel that at least half of them show; NaN elsewhere."""
    shown = ~np.isnan(maps)
    enough = shown.sum(axis=0) >= len(maps) / 2
    total = np.where(shown, maps, 0).sum(axis=0, dtype=np.float64)
    return np.where(enough, total / np.maximum(shown.sum(axis=0), 1), np.nan)


if __name__ == "__main__":
    main()
