"""How a finished modulation is kept: pictures, figures and rows, tied to the version."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.recording.model_card import refresh_card
from experiments.recording.modulation_figures import draw_figures, draw_gallery, draw_panels
from experiments.recording.modulation_record import ModulationRecord
from fundus_ml.imaging.regions.maps import PARTS
from fundus_ml.imaging.regions.zones import RING
from fundus_ml.modulation import file_stem
from fundus_ml.modulation.control_table import MODULATION
from fundus_ml.modulation.paired_differences import beyond_one_gradient
from tracking.lineage import attach_pictures
from tracking.recording import (
    record_minimal_perturbations,
    record_modulations,
    record_region_shares,
    record_transfers,
)
from tracking.registry import ModelVersion
from tracking.runs import Run

FOLDER = "modulation"
CURVES = (
    "success", "success_low", "success_high", "prob_target", "transferred", "unchanged", "rms",
)  # fmt: skip
"""What the run page draws over the budgets; the rest stands in ``effect_by_eps.json``."""


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
    effects = record.found[MODULATION].effects.assign(
        region=record.evaluator.chosen.region,
        seed=record.seed,
        dataset_digest=record.dataset_digest,
        min_norm=_min_norm_of_each(record),
        picture=[path.relative_to(folder).as_posix() for path in record.pictures],
    )
    thumbnails = draw_panels(record, effects, folder)
    draw_figures(record, effects, folder)
    draw_gallery(record, effects, folder, version=version.uri)
    _write_tables(record, effects, folder)
    _log_sliders(run, record)
    _log_measures(run, record)
    address = attach_pictures(
        run, version, folder, thumbnails=thumbnails, caption=record.conclusion, folder_name=FOLDER
    )
    rows = effects.assign(picture=[f"{address}/{picture}" for picture in effects["picture"]])
    record_modulations(rows, run=run, model=version)
    record_region_shares(_share_rows(record, effects), run=run, model=version)
    record_minimal_perturbations(_min_norm_rows(record), run=run, model=version)
    if record.independent is not None:
        record_transfers(effects, evaluator=record.independent, run=run, model=version)
    refresh_card(run, version)


def _write_tables(record: ModulationRecord, effects: pd.DataFrame, folder: Path) -> None:
    """Write everything that was measured, one row each, as files a notebook reads."""
    controls = [
        each.effects.assign(condition=condition)
        for condition, each in record.found.items()
        if condition != MODULATION
    ]
    shares = [each.shares.assign(condition=condition) for condition, each in record.found.items()]
    tables = {
        "modulations": effects,
        "controls": pd.concat(controls, ignore_index=True) if controls else None,
        "region_shares": pd.concat(shares, ignore_index=True),
        "minimal_perturbations": _min_norm_rows(record),
        "transfers": record.transfers if len(record.transfers) else None,
    }
    for name, table in tables.items():
        if table is not None:
            table.to_parquet(folder / f"{name}.parquet", index=False)


def _log_sliders(run: Run, record: ModulationRecord) -> None:
    """One image per eye with a step per budget: the run page slides through the budgets."""
    pixels = record.evaluator.chosen.pixels
    for i, image_id in enumerate(record.evaluator.eyes["image_id"]):
        for step, picture in enumerate([pixels[i], *record.modulated[:, i]]):
            run.log_image(picture, f"{FOLDER}/{file_stem(image_id)}", step)


def _log_measures(run: Run, record: ModulationRecord) -> None:
    """Curves over the budgets, step 1 the first of them: :data:`CURVES` and enrichments."""
    enrichment = record.compared.enrichment
    own = enrichment[enrichment["condition"] == MODULATION].set_index(["eps", "part"])["enrichment"]
    for step, row in enumerate(record.effect.to_dict("records"), start=1):
        measured = {name: float(row[name]) for name in CURVES if name in row}
        measured |= {
            f"enrichment_{part}".replace(" ", "_"): float(own[row["eps"], part])
            for part in (*PARTS, RING)
            if (row["eps"], part) in own.index
        }
        run.log_metrics(measured, step)
    run.log_metrics(_summary(record))
    run.log_table(record.effect, "effect_by_eps.json")
    run.log_table(record.compared.controls, "controls.json")
    if len(record.compared.differences):
        run.log_table(record.compared.differences, "paired_differences.json")
    for name in ("success_over_networks", "enrichment_over_networks"):
        if len(table := getattr(record, name)):
            run.log_table(table, f"{name}.json")
    if len(record.matrix):
        run.log_table(record.matrix, "transfer_matrix.json")
    if len(record.compared.min_norms):
        run.log_table(record.compared.min_norms, "minimal_perturbations.json")
        run.log_table(record.compared.flipped, "flipped_by_eps.json")
    if len(record.compared.confined):
        run.log_table(record.compared.confined, "confined_budgets.json")
    if record.evaluator.regions is None:
        run.set_tags({"region_enrichment": "not measured: the dataset has no region maps"})
    else:
        run.log_table(enrichment, "region_enrichment.json")
        if record.compared.null.empty:
            run.set_tags({"null": "not measured: name two or more shuffled models"})
        else:
            run.log_table(record.compared.null, "null_distribution.json")


def _summary(record: ModulationRecord) -> dict[str, float]:
    """What runs are compared on: areas, norms by region, and modulation minus one gradient."""
    controls = record.compared.controls
    own = controls[controls["condition"] == MODULATION]
    found = {name: own[name].item() for name in ("area", "evaluator_area") if name in own}
    min_norms = record.compared.min_norms
    for row in min_norms[min_norms["condition"] == MODULATION].to_dict("records"):
        region = str(row["region"]).replace("+", "_")
        if np.isfinite(row["min_norm"]) and region.isidentifier():
            found[f"min_norm_{region}"] = float(row["min_norm"])
    for row in beyond_one_gradient(record.compared.differences).to_dict("records"):
        name = "_".join(filter(None, (row["measure"], row["part"])))
        found[f"{name}_minus_gradient"] = float(row["difference"])
    return found


def _share_rows(record: ModulationRecord, effects: pd.DataFrame) -> pd.DataFrame:
    keys = ["image_id", "eps"]
    details = ["dataset_digest", "mode", "target", "constraint", "region", "seed"]
    return record.found[MODULATION].shares.merge(effects[keys + details], on=keys)


def _min_norm_of_each(record: ModulationRecord) -> NDArray[np.float64]:
    """Repeat each eye's minimal perturbation norm per picture; NaN where none was searched."""
    min_norms = record.found[MODULATION].min_norms.get(record.evaluator.chosen.region)
    if min_norms is None:
        min_norms = np.full(len(record.evaluator.eyes), np.nan)
    return np.tile(min_norms, len(record.evaluator.options.eps))


def _min_norm_rows(record: ModulationRecord) -> pd.DataFrame:
    """One row per eye and region that was searched."""
    eyes, options = record.evaluator.eyes, record.evaluator.options
    effects = record.found[MODULATION].effects
    target = effects["target"].to_numpy()[: len(eyes)]
    frames = [
        pd.DataFrame(
            {
                "image_id": eyes["image_id"].to_numpy(),
                "patient_id": eyes["patient_id"].to_numpy(),
                "target": target,
                "region": region,
                "searched": ~np.isnan(found),
                "min_norm": np.where(np.isfinite(found), found, np.nan),
            }
        )
        for region, found in record.found[MODULATION].min_norms.items()
    ]
    columns = ["image_id", "patient_id", "target", "region", "searched", "min_norm"]
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    return rows.assign(
        mode=options.told_mode,
        constraint=options.constraint,
        seed=record.seed,
        dataset_digest=record.dataset_digest,
    )
