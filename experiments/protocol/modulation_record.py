"""How a finished modulation is kept: pictures, figures and rows, tied to the version."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.protocol.session import progress
from fundus_ml.figures import (
    contact_sheet,
    figure_png,
    modulation_panel,
    region_density_figure,
    success_curve,
)
from fundus_ml.imaging.regions import PARTS
from fundus_ml.modulation import file_stem
from tracking.lineage import attach_pictures
from tracking.registry import ModelVersion
from tracking.results import record_modulations, record_region_shares
from tracking.runs import Run

FOLDER = "modulation"
THUMBNAILS = 3
THUMBNAIL_WIDTH = 720
"""Pixels; what the version's page has room for."""


@dataclass(frozen=True, kw_only=True)
class ModulationRecord:
    """Everything one modulation made.

    Attributes:
        eyes: Manifest rows of N eyes.
        pixels: ``(N, H, W, 3)`` uint8 unchanged eyes.
        regions: ``(N, H, W)`` uint8 region maps, or None.
        modulated: ``(E, N, H, W, 3)`` uint8.
        effects: Rows of ``effect_rows`` with ``region``, ``seed`` and ``dataset_digest``.
        effect: Rows of ``effect_by_eps``.
        shares: Rows of ``region_shares``.
        density: Rows of ``density_by_part``.
    """

    eyes: pd.DataFrame
    pixels: NDArray[np.uint8]
    regions: NDArray[np.uint8] | None
    modulated: NDArray[np.uint8]
    effects: pd.DataFrame
    effect: pd.DataFrame
    shares: pd.DataFrame
    density: pd.DataFrame


def record_modulation(
    run: Run, version: ModelVersion, record: ModulationRecord, folder: Path
) -> None:
    """Keep a modulation on the run, on the version and in the results database.

    Args:
        run: The open ``modulate`` run.
        version: The version whose gradient made the pictures.
        record: What was made.
        folder: Holds ``pictures/``; panels and figures are added beside them.
    """
    thumbnails = _draw_panels(record, folder)
    _draw_figures(record, version, folder)
    pictures = [str(Path(path).relative_to(folder)) for path in record.effects["picture"]]
    effects = record.effects.assign(picture=pictures)
    effects.to_parquet(folder / "modulations.parquet", index=False)
    run.log_artifacts(folder, FOLDER)
    _log_sliders(run, record)
    _log_measures(run, record)
    address = attach_pictures(
        run,
        version,
        folder,
        thumbnails=thumbnails,
        caption=_caption(record),
        folder_name=FOLDER,
    )
    rows = effects.assign(picture=[f"{address}/{picture}" for picture in pictures])
    record_modulations(rows, run=run, model=version)
    record_region_shares(_share_rows(record), run=run, model=version)


def _draw_panels(record: ModulationRecord, folder: Path) -> list[Path]:
    """Draw a panel per eye; give back small ones of the first few."""
    thumbnails = []
    for name in ("panels", "thumbnails"):
        (folder / name).mkdir()
    with progress("panels", "eye") as on_step:
        for i, eye in enumerate(record.eyes.to_dict("records")):
            rows = record.effects[record.effects["image_id"] == eye["image_id"]]
            figure = modulation_panel(
                record.pixels[i],
                list(record.modulated[:, i]),
                eps=rows["eps"].tolist(),
                prob_target_before=float(rows["prob_target_before"].iloc[0]),
                prob_target=rows["prob_target"].tolist(),
                target=str(rows["target"].iloc[0]),
                title=f"{eye['image_id']}: {eye['sex']}, {eye['eye']} eye",
                regions=None if record.regions is None else record.regions[i],
                constraint=str(rows["constraint"].iloc[0]),
            )
            name = f"{file_stem(str(eye['image_id']))}.png"
            _save(figure, folder / "panels" / name)
            if i < THUMBNAILS:
                thumbnails.append(folder / "thumbnails" / name)
                _save(figure, thumbnails[-1], dpi=round(THUMBNAIL_WIDTH / figure.get_figwidth()))
            on_step(i + 1, len(record.eyes))
    return thumbnails


def _draw_figures(record: ModulationRecord, version: ModelVersion, folder: Path) -> None:
    named = record.effect.assign(model=version.uri)
    size, constraint = record.pixels.shape[1], str(record.effects["constraint"].iloc[0])
    curve = success_curve(named, size=size, constraint=constraint)
    _save(curve, folder / "success_by_eps.png")
    strongest = record.effects["eps"] == record.effects["eps"].max()
    captions = [
        f"{row['image_id']} to {row['target']}: "
        f"P {row['prob_target_before']:.2f} to {row['prob_target']:.2f}"
        for row in record.effects[strongest].to_dict("records")
    ]
    last = int(np.argmax(record.effects["eps"].unique()))
    sheet = contact_sheet(record.pixels, record.modulated[last], captions)
    _save(sheet, folder / "contact_sheet.png")
    for eps, density in record.density.assign(model=version.uri).groupby("eps"):
        _save(region_density_figure(density), folder / f"region_density_eps-{eps:g}.png")


def _save(figure: Figure, path: Path, *, dpi: int = 120) -> None:
    path.write_bytes(figure_png(figure, dpi=dpi))


def _log_sliders(run: Run, record: ModulationRecord) -> None:
    """One image per eye with a step per budget: the run page slides through the budgets."""
    for i, image_id in enumerate(record.eyes["image_id"]):
        for step, picture in enumerate([record.pixels[i], *record.modulated[:, i]]):
            run.log_image(picture, f"{FOLDER}/{file_stem(image_id)}", step)


def _log_measures(run: Run, record: ModulationRecord) -> None:
    """Curves over the budgets, step 1 the first of them: success, P(target), densities."""
    densities = record.density.set_index(["eps", "part"])["density"]
    for step, row in enumerate(record.effect.to_dict("records"), start=1):
        measured = {str(name): float(value) for name, value in row.items()}
        measured |= {
            f"density_{part}": float(densities[row["eps"], part])
            for part in PARTS
            if (row["eps"], part) in densities.index
        }
        run.log_metrics(measured, step)
    run.log_table(record.effect, "effect_by_eps.json")
    if record.regions is None:
        run.set_tags({"region_density": "not measured: the dataset has no region maps"})
    else:
        run.log_table(record.density, "region_density.json")


def _caption(record: ModulationRecord) -> str:
    strongest = record.effect.iloc[-1]
    unchanged = int(strongest["unchanged"])
    return (
        f"{len(record.eyes)} eyes; at eps {strongest['eps']:g} "
        f"{strongest['success']:.0%} are seen as the target"
        + (f", {unchanged} did not change" if unchanged else "")
    )


def _share_rows(record: ModulationRecord) -> pd.DataFrame:
    keys = ["image_id", "eps"]
    details = ["dataset_digest", "mode", "target", "constraint", "region", "seed"]
    return record.shares.merge(record.effects[keys + details], on=keys)
