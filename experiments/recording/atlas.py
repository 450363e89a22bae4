"""What the atlas of a modulation leaves behind: a figure, its arrays, peaks, the biomarkers."""

from pathlib import Path

import numpy as np

from experiments.running.atlas import MeasuredAtlas
from fundus_ml.atlas.peaks import peaks, place_of
from fundus_ml.figures import DrawnMap, atlas_figure, figure_png
from fundus_ml.imaging.registration import DISC, FOVEA
from fundus_ml.statistics.numerals import plain
from tracking.runs import Run


def record_atlas(
    run: Run, found: MeasuredAtlas, folder: Path, *, classes: tuple[str, str], eps: float
) -> str:
    """Write the atlas into the folder of the modulation, its tables onto the run.

    Args:
        run: The open ``modulate`` run.
        found: What was measured.
        folder: Gets ``atlas.png``, ``atlas_pixels.npz`` and ``atlas_peaks.csv``.
        classes: What labels 0 and 1 are called.
        eps: Budget of the pictures.

    Returns:
        What it shows, in one sentence.
    """
    changes, registered = found.changes, found.changes.registered
    drawn = [
        DrawnMap(
            title=f"{_title(each.name, classes)} ({each.people} people)",
            mean=each.mean,
            significant=each.significant,
            beyond_null=each.beyond_null if each.null_largest else None,
        )
        for each in changes.maps.values()
    ]
    figure = atlas_figure(
        drawn,
        found.biomarkers,
        classes=classes,
        disc=place_of(DISC, registered.size),
        fovea=place_of(FOVEA, registered.size),
        disc_diameter=registered.disc_diameter,
        eyes=f"{len(registered.kept)} aligned eyes at eps {plain(eps)}",
        adjusted=found.adjusted,
    )
    (folder / "atlas.png").write_bytes(figure_png(figure))
    arrays = {
        f"{each.name.replace(' ', '_')}_{name}": getattr(each, name)
        for each in changes.maps.values()
        for name in ("mean", "channels", "statistic", "p", "null_p", "beyond_null")
    }
    np.savez_compressed(folder / "atlas_pixels.npz", **arrays)
    table = peaks(changes)
    table.to_csv(folder / "atlas_peaks.csv", index=False, lineterminator="\n")
    run.log_table(found.biomarkers, "biomarker_changes.json")
    if found.edits is not None:
        run.log_table(found.edits, "biomarker_edits.json")
    abstained = "; ".join(f"{why}: {count}" for why, count in registered.abstained.items())
    left_out = "; ".join(f"{name}: {why}" for name, why in changes.left_out.items())
    claims = found.biomarkers.loc[found.biomarkers["claim"], "biomarker"].tolist()
    tags = {
        "atlas_eyes": str(len(registered.kept)),
        "atlas_abstained": abstained or "none",
        "atlas_left_out": left_out or "none",
        "atlas_null": str(len(next(iter(changes.maps.values())).null_largest)),
        "atlas_claims": ", ".join(claims) or "none",
    }
    run.set_tags(tags)
    places = table[table["beyond_null"] if int(tags["atlas_null"]) else table["p"].notna()]
    where = ", ".join(dict.fromkeys(places["place"])) or "nowhere"
    beyond = " and beyond every null version" if int(tags["atlas_null"]) else ""
    return (
        f"atlas of {tags['atlas_eyes']} eyes: systematic change{beyond}: {where}; biomarkers "
        f"claimed: {tags['atlas_claims']}"
    )


def _title(name: str, classes: tuple[str, str]) -> str:
    if name.startswith("towards"):
        return name
    return f"towards {classes[1]} less towards {classes[0]}"
