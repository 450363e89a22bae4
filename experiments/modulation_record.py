"""How a finished modulation is kept: pictures, figures and rows, tied to the version."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.figures import (
    contact_sheet,
    modulation_panel,
    region_density_figure,
    success_curve,
)
from tracking.lineage import attach_pictures
from tracking.registry import ModelVersion
from tracking.results import record_modulations, record_region_shares
from tracking.runs import Run

FOLDER = "modulation"
THUMBNAILS = 3


@dataclass(frozen=True, kw_only=True)
class ModulationRecord:
    """Everything one modulation made.

    Attributes:
        eyes: Manifest rows of N eyes.
        pixels: ``(N, H, W, 3)`` uint8 unchanged eyes.
        regions: ``(N, H, W)`` uint8 region maps, or None.
        modulated: ``(E, N, H, W, 3)`` uint8.
        effects: Rows of ``effect_rows`` with ``seed`` and ``dataset_digest``.
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
    panels = _draw_panels(record, folder)
    _draw_figures(record, version, folder)
    record.effects.to_parquet(folder / "modulations.parquet")
    run.log_artifacts(folder, FOLDER)
    _log_sliders(run, record)
    _log_measures(run, record)
    attach_pictures(
        run,
        version,
        folder,
        thumbnails=panels[:THUMBNAILS],
        caption=_caption(record),
        folder_name=FOLDER,
    )
    _record_rows(run, version, record, folder)


def _draw_panels(record: ModulationRecord, folder: Path) -> list[Path]:
    panels = []
    (folder / "panels").mkdir()
    for i, eye in enumerate(record.eyes.itertuples()):
        rows = record.effects[record.effects["image_id"] == eye.image_id]
        figure = modulation_panel(
            record.pixels[i],
            list(record.modulated[:, i]),
            eps=rows["eps"].tolist(),
            prob_target_before=float(rows["prob_target_before"].iloc[0]),
            prob_target=rows["prob_target"].tolist(),
            target=str(rows["target"].iloc[0]),
            title=f"{eye.image_id}: {eye.sex}, {eye.eye} eye",
            regions=None if record.regions is None else record.regions[i],
        )
        panels.append(folder / "panels" / f"{eye.image_id.replace('/', '_')}.png")
        figure.savefig(panels[-1])
    return panels


def _draw_figures(record: ModulationRecord, version: ModelVersion, folder: Path) -> None:
    size = record.pixels.shape[1]
    named = record.effect.assign(model=version.uri)
    success_curve(named, size=size).savefig(folder / "success_by_eps.png")
    largest = record.effects[record.effects["eps"] == record.effects["eps"].max()]
    captions = [
        f"{row.image_id} to {row.target}: P {row.prob_target_before:.2f} to {row.prob_target:.2f}"
        for row in largest.itertuples()
    ]
    strongest = int(np.argmax(record.effects["eps"].unique()))
    contact_sheet(record.pixels, record.modulated[strongest], captions).savefig(
        folder / "contact_sheet.png"
    )
    if not record.density.empty:
        for eps, density in record.density.assign(model=version.uri).groupby("eps"):
            region_density_figure(density).savefig(folder / f"region_density_eps-{eps:g}.png")


def _log_sliders(run: Run, record: ModulationRecord) -> None:
    """One image per eye with a step per budget: the run page slides through the budgets."""
    for i, eye in enumerate(record.eyes.itertuples()):
        steps = [record.pixels[i], *record.modulated[:, i]]
        for step, picture in enumerate(steps):
            run.log_image(picture, f"{FOLDER}/{eye.image_id.replace('/', '_')}", step)


def _log_measures(run: Run, record: ModulationRecord) -> None:
    for step, row in enumerate(record.effect.to_dict("records"), start=1):
        run.log_metrics(
            {str(name): float(value) for name, value in row.items()}, step=step
        )
    for (eps, part), rows in record.density.groupby(["eps", "part"]):
        run.log_metrics({f"density_{part}_eps_{eps:g}": float(rows["density"].iloc[0])})
    run.log_table(record.effect, "effect_by_eps.json")
    run.set_tags({"region_maps": "none" if record.regions is None else "dataset"})


def _caption(record: ModulationRecord) -> str:
    strongest = record.effect.iloc[-1]
    return (
        f"{len(record.eyes)} eyes; at eps {strongest['eps']:g} "
        f"{strongest['success']:.0%} are seen as the target"
    )


def _record_rows(
    run: Run, version: ModelVersion, record: ModulationRecord, folder: Path
) -> None:
    pictures = [f"{FOLDER}/{Path(path).relative_to(folder)}" for path in record.effects["picture"]]
    rows = record.effects.assign(picture=pictures, region="whole")
    record_modulations(rows, model=version, run_id=run.run_id)
    keys = ["image_id", "eps"]
    details = ["dataset_digest", "mode", "target", "constraint", "region", "seed"]
    shares = record.shares.merge(rows[keys + details], on=keys)
    record_region_shares(shares, model=version, run_id=run.run_id)
