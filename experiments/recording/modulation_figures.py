"""What a modulation shows: a panel per eye, curves, enrichments, the sheet and the gallery."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.recording.modulation_record import ModulationRecord
from experiments.running.console import progress
from fundus_ml.figures import (
    contact_sheet,
    figure_png,
    mean_change_figure,
    region_enrichment_figure,
    success_curve,
    transfer_figure,
)
from fundus_ml.figures.mean_changes import SIDES
from fundus_ml.figures.minimal_perturbations import min_norm_figure
from fundus_ml.figures.panel_files import PanelFile, draw_panel_file
from fundus_ml.imaging.regions.maps import PARTS
from fundus_ml.imaging.regions.zones import RING
from fundus_ml.modulation import file_stem
from fundus_ml.modulation.control_table import MODULATION
from fundus_ml.modulation.effects import effect_by_eps
from fundus_ml.modulation.evaluator import ConditionTables, Measurements
from fundus_ml.modulation.null_distribution import FEWEST_NETWORKS, is_shuffled
from fundus_ml.pages.gallery import gallery_page
from fundus_ml.parallel import in_order, processes
from fundus_ml.statistics.numerals import plain
from tracking.lineage import GALLERY

THUMBNAILS = 3
MEAN_CHANGE = "mean_change.png"
"""The change averaged over eyes of a known side; not there where none changed."""
SHEET_EYES = 48
"""Eyes of a contact sheet; the gallery holds them all."""
WORTH_PROCESSES = 32
"""Eyes from which on processes of their own draw and compress them."""
FIGURE_RESAMPLES = 1000
"""Behind the bands of the controls' curves; that of the modulation is the table's."""


def draw_panels(record: ModulationRecord, effects: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw a panel per eye; give back small ones of the first few."""
    evaluator, modulated = record.evaluator, record.modulated
    for name in ("panels", "thumbnails"):
        (folder / name).mkdir()
    by_eye = dict(tuple(effects.groupby("image_id")))
    panels = []
    for i, eye in enumerate(evaluator.eyes.to_dict("records")):
        rows = by_eye[eye["image_id"]]
        given = {
            "eps": rows["eps"].tolist(),
            "prob_target_before": float(rows["prob_target_before"].iloc[0]),
            "prob_target": rows["prob_target"].tolist(),
            "target": str(rows["target"].iloc[0]),
            "title": f"{eye['image_id']}: {evaluator.classes[eye['label']]}, {eye['eye']} eye",
            "regions": None if evaluator.regions is None else evaluator.regions[i],
            "constraint": evaluator.options.constraint,
        }
        name = f"{file_stem(str(eye['image_id']))}.png"
        panels.append(
            PanelFile(
                pixels=evaluator.chosen.pixels[i],
                modulated=modulated[:, i],
                given=given,
                path=folder / "panels" / name,
                thumbnail=folder / "thumbnails" / name if i < THUMBNAILS else None,
            )
        )
    with _processes_for(len(panels)), progress("panels", "eye") as on_step:
        for drawn, _ in enumerate(in_order(draw_panel_file, panels), start=1):
            on_step(drawn, len(panels))
    return [panel.thumbnail for panel in panels if panel.thumbnail is not None]


def draw_figures(record: ModulationRecord, effects: pd.DataFrame, folder: Path) -> None:
    """Draw curves of every condition, contact sheet, enrichments, minimal norms and transfers."""
    evaluator, modulated, compared = record.evaluator, record.modulated, record.compared
    others = _null_models_as_one(record.found)
    del others[MODULATION]
    curves = [record.effect.assign(model=MODULATION)] + [
        effect_by_eps(rows, resamples=FIGURE_RESAMPLES, seed=record.seed).assign(model=condition)
        for condition, rows in others.items()
    ]
    curve = success_curve(
        pd.concat(curves, ignore_index=True),
        size=evaluator.chosen.pixels.shape[1],
        constraint=evaluator.options.constraint,
    )
    _save(curve, folder / "success_by_eps.png")
    strongest = effects[effects["eps"] == effects["eps"].max()]
    captions = [
        f"{row['image_id']} to {row['target']}: "
        f"P {row['prob_target_before']:.2f} to {row['prob_target']:.2f}"
        for row in strongest.to_dict("records")
    ]
    sheet = contact_sheet(
        evaluator.chosen.pixels[:SHEET_EYES], modulated[-1][:SHEET_EYES], captions[:SHEET_EYES]
    )
    _save(sheet, folder / "contact_sheet.png")
    changed = (modulated[-1] != evaluator.chosen.pixels).any(axis=(1, 2, 3))
    sides = evaluator.eyes["eye"]
    if (sides.isin(SIDES).to_numpy() & changed).any():
        means = mean_change_figure(
            evaluator.chosen.pixels, modulated[-1], sides.tolist(), strongest["target"].tolist()
        )
        _save(means, folder / MEAN_CHANGE)
    enrichment = _with_null(compared).rename(columns={"condition": "model"})
    for eps, rows in enrichment.groupby("eps"):
        budget = plain(cast("float", eps))
        _save(region_enrichment_figure(rows), folder / f"region_enrichment_eps-{budget}.png")
    if len(compared.min_norms):
        figure = min_norm_figure(compared.min_norms, constraint=evaluator.options.constraint)
        _save(figure, folder / "minimal_perturbations.png")
    if len(record.matrix):
        figure = transfer_figure(record.matrix, constraint=evaluator.options.constraint)
        _save(figure, folder / "transfer_matrix.png")


def _null_models_as_one(found: Mapping[str, Measurements]) -> dict[str, pd.DataFrame]:
    """Effects by condition; several null models are one, over their eyes together."""
    null_models = [condition for condition in found if is_shuffled(condition)]
    several = len(null_models) >= FEWEST_NETWORKS
    merged: dict[str, list[pd.DataFrame]] = {}
    for condition, each in found.items():
        name = (
            f"{len(null_models)} shuffled models"
            if several and condition in null_models
            else condition
        )
        merged.setdefault(name, []).append(each.effects)
    return {name: pd.concat(effects, ignore_index=True) for name, effects in merged.items()}


def _with_null(compared: ConditionTables) -> pd.DataFrame:
    """Put the median and the range of the null models in the place of those there are."""
    enrichment, null = compared.enrichment, compared.null
    if null.empty:
        return enrichment
    parts = null[null["part"].isin([*PARTS, RING]) & null["null"].notna()]
    expected = parts.assign(
        condition=f"{null['networks'].max()} null models (median, range)",
        enrichment=parts["null"],
        low=parts["null_low"],
        high=parts["null_high"],
    )
    others = enrichment[~enrichment["condition"].map(is_shuffled).astype(bool)]
    own = others["condition"] == MODULATION
    return pd.concat([others[own], expected, others[~own]], ignore_index=True)


def draw_gallery(
    record: ModulationRecord, effects: pd.DataFrame, folder: Path, *, version: str
) -> None:
    """Write the page that all eyes are looked through on, and what lies beside it."""
    evaluator, shares = record.evaluator, record.found[MODULATION].shares
    first = effects.drop_duplicates("image_id")
    eyes = evaluator.eyes[["image_id", "eye"]].assign(
        **{"class": np.asarray(evaluator.classes)[evaluator.eyes["label"]]},
        target=first["target"].to_numpy(),
        prob_target_before=first["prob_target_before"].to_numpy(),
        min_norm=first["min_norm"].to_numpy(),
    )
    with _processes_for(len(eyes)):
        page, files = gallery_page(
            title=f"Modulation of {len(eyes)} eyes",
            words=(
                f"{version}, {evaluator.options.mode}, {evaluator.options.constraint}, "
                f"region {evaluator.chosen.region}, {evaluator.chosen.pixels.shape[1]} px"
            ),
            eyes=eyes,
            pixels=evaluator.chosen.pixels,
            modulated=record.modulated,
            effects=effects.assign(most_changed=_most_changed(effects, shares)),
            regions=evaluator.regions,
            other=record.other,
        )
    for name, content in {GALLERY: page, **files}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")


def _most_changed(effects: pd.DataFrame, shares: pd.DataFrame) -> list[str]:
    """Name the part of each picture where its change is densest; empty where unknown."""
    key = ["image_id", "eps"]
    measured = shares.dropna(subset="enrichment").sort_values("enrichment")
    densest = measured.drop_duplicates(key, keep="last").set_index(key)["part"]
    return [str(densest.get(picture, "")) for picture in zip(*map(effects.get, key), strict=True)]


def _processes_for(eyes: int) -> AbstractContextManager[None]:
    return processes(workers=0 if eyes >= WORTH_PROCESSES else 1)


def _save(figure: Figure, path: Path) -> None:
    path.write_bytes(figure_png(figure))
