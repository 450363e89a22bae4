"""How explanations are kept: panels, scores, the ranking, a page, rows; tied to the version."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.special import expit

from experiments.recording.model_card import refresh_card
from experiments.running.console import progress
from experiments.running.explained import ExplainedEyes, MethodMaps
from fundus_ml.attribution import CONTROLS, beside_literature
from fundus_ml.faithfulness import (
    KNOWN_PLACES,
    known_place_table,
    method_differences,
    method_table,
)
from fundus_ml.figures import attribution_panel, explanation_ranking, figure_png
from fundus_ml.modulation import file_stem
from fundus_ml.pages import MappedEyes, explanations_page
from tracking.lineage import GALLERY, attach_pictures
from tracking.recording import record_explanation_scores
from tracking.registry import ModelVersion
from tracking.runs import Run

FOLDER = "explanation"
THUMBNAILS = 2
THUMBNAIL_DPI = 70
RANKED = (
    ("insertion_mean", ""), ("deletion_mean", ""), ("sensitivity_n", ""),
    ("cascade_rank_correlation", ""), ("enrichment", "disc"), ("enrichment", "macula"),
    ("enrichment", "vessels"), ("pointing_game", "disc"),
)  # fmt: skip
"""Scores of the ranking figure, where the run has them; the table holds all."""
ON_PAGE = ("insertion_mean", "deletion_mean", "sensitivity_n", "enrichment", "pointing_game")
PARTS_ON_PAGE = ("", "disc", "macula", "vessels")


@dataclass(frozen=True, kw_only=True)
class ExplanationRecord:
    """Everything one version's explanations are.

    Attributes:
        eyes: The eyes.
        maps: What every method says.
        scores: By method, rows of :func:`fundus_ml.faithfulness.score_maps`.
        contrast: Name of the question.
        split: Their split.
        seed: Seed of the run.
        bootstrap: Resamples of people.
    """

    eyes: ExplainedEyes
    maps: MethodMaps
    scores: Mapping[str, pd.DataFrame]
    contrast: str
    split: str
    seed: int
    bootstrap: int


@dataclass(frozen=True, kw_only=True)
class MethodTables:
    """Tables over the methods of one version.

    Attributes:
        scores: Rows of ``method_table``.
        differences: Rows of ``method_differences``.
        known: Which methods put the known place first; empty where the contrast has none.
        literature: Published findings beside those of this run.
        costs: Seconds per eye by method.
    """

    scores: pd.DataFrame
    differences: pd.DataFrame
    known: pd.DataFrame
    literature: pd.DataFrame
    costs: pd.DataFrame

    @property
    def conclusion(self) -> str:
        """Which method says most in the known place, or stands first by insertion.

        A map that asks no network explains none: the best of those is named beside it.
        """
        if not len(self.known):
            rows = self.scores[self.scores["score"] == RANKED[0][0]]
            best, rival = _best(rows, "value")
            if best is None:
                return ""
            beside = f" (without a network: {rival['method']})" if rival is not None else ""
            return f"highest insertion: {best['method']}{beside}"
        best, rival = _best(self.known, "first")
        if best is None:
            return f"no eye shows the {self.known['part'].iloc[0]}: every one abstained"
        beside = (
            "" if rival is None else f"; without a network: {rival['method']} {rival['first']:.0%}"
        )
        return (
            f"{best['method']} puts the {best['part']} first in {best['first']:.0%} of "
            f"{best['eyes']} eyes ({best['first_low']:.0%} to {best['first_high']:.0%}){beside}"
        )


def _best(rows: pd.DataFrame, column: str) -> "tuple[pd.Series[Any] | None, pd.Series[Any] | None]":
    """Rows of the best method and of the best map that asks no network; None without a number."""
    ranked = rows.dropna(subset=column).sort_values(column, ascending=False, kind="stable")
    no_network = ranked["method"].isin(CONTROLS)
    method, control = (ranked[kind].head(1) for kind in (~no_network, no_network))
    return (
        None if method.empty else method.iloc[0],
        None if control.empty else control.iloc[0],
    )


def compare_methods(record: ExplanationRecord) -> MethodTables:
    """Average the scores, set methods against one another, the known place and the literature."""
    frame = record.eyes.frame
    table = method_table(record.scores, frame, resamples=record.bootstrap, seed=record.seed)
    controls = [method for method in CONTROLS if method in record.scores]
    enrichment = table[table["score"] == "enrichment"].rename(
        columns={"value_low": "low", "value_high": "high"}
    )
    place = KNOWN_PLACES.get(record.contrast)
    has_regions = record.eyes.regions is not None
    return MethodTables(
        scores=table,
        differences=method_differences(
            record.scores, frame, controls=controls, permutations=record.bootstrap, seed=record.seed
        ),
        known=known_place_table(
            record.scores, frame, place, resamples=record.bootstrap, seed=record.seed
        )
        if place is not None and has_regions
        else pd.DataFrame(),
        literature=beside_literature(enrichment, record.contrast),
        costs=pd.DataFrame(
            {"method": list(record.maps.seconds), "seconds_per_eye": record.maps.seconds.values()}
        ),
    )


def record_explanations(
    run: Run,
    version: ModelVersion,
    record: ExplanationRecord,
    compared: MethodTables,
    folder: Path,
    *,
    further: bool = False,
) -> None:
    """Keep the explanations of one version on the run, on the version and in the database.

    Args:
        run: The open ``explain`` run.
        version: The version that was explained.
        record: What was made.
        compared: From :func:`compare_methods`.
        folder: Empty; everything is written there first.
        further: Another version of the run came before, whose tables and metrics have the plain
            names; this one's begin with its own.
    """
    prefix = f"{version.name}-{version.version}/" if further else ""
    thumbnails = _draw_panels(record, folder)
    rows = _rows(record)
    _write_page(record, rows, version, folder)
    ranked = _ranked(compared.scores, record.contrast)
    if len(ranked):
        figure = explanation_ranking(ranked, controls=CONTROLS)
        (folder / "ranking.png").write_bytes(figure_png(figure))
    tables = {
        "method_scores": compared.scores,
        "method_differences": compared.differences,
        "known_place": compared.known,
        "literature": compared.literature,
        "costs": compared.costs,
    }
    for name, table in tables.items():
        if len(table):
            run.log_table(table, f"{prefix}{name}.json")
            (folder / f"{name}.csv").write_text(
                table.to_csv(index=False, float_format="%.5g", lineterminator="\n"),
                encoding="utf-8",
            )
    rows.to_parquet(folder / "scores.parquet", index=False)
    if record.maps.skipped:
        told = "; ".join(f"{method}: {why}" for method, why in record.maps.skipped.items())
        run.set_tags({f"{prefix}skipped": told})
    run.log_metrics(_metrics(prefix, compared))
    attach_pictures(
        run, version, folder,
        thumbnails=thumbnails,
        caption=f"{len(record.eyes.frame)} eyes explained by {len(record.scores)} methods; "
        f"{compared.conclusion}",
        folder_name=f"{FOLDER}/{version.name}-{version.version}",
    )  # fmt: skip
    record_explanation_scores(rows, run=run, model=version)
    refresh_card(run, version)


def _metrics(prefix: str, compared: MethodTables) -> dict[str, float]:
    """Share of eyes whose known place stands first, per method; nothing where none is known."""
    return {
        f"{prefix}known_place/{row['method']}": float(row["first"])
        for row in compared.known.to_dict("records")
        if pd.notna(row["first"])
    }


def _draw_panels(record: ExplanationRecord, folder: Path) -> list[Path]:
    """Draw a panel per eye; give back small ones of the first few."""
    for name in ("panels", "thumbnails"):
        (folder / name).mkdir()
    eyes, thumbnails = record.eyes, []
    prob = expit(record.maps.logit)
    with progress("panels", "eye") as on_step:
        for place, eye in enumerate(eyes.frame.to_dict("records")):
            figure = attribution_panel(
                eyes.pixels[place],
                {method: maps[place] for method, maps in record.maps.by_method.items()},
                title=f"{eye['image_id']}: {eyes.classes[int(eyes.labels[place])]}, {eye['eye']} "
                f"eye; P({eyes.classes[1]}) {prob[place]:.2f}",
                classes=eyes.classes,
                regions=None if eyes.regions is None else eyes.regions[place],
            )
            name = f"{file_stem(str(eye['image_id']))}.png"
            (folder / "panels" / name).write_bytes(figure_png(figure))
            if place < THUMBNAILS:
                thumbnail = folder / "thumbnails" / name
                thumbnail.write_bytes(figure_png(figure, dpi=THUMBNAIL_DPI))
                thumbnails.append(thumbnail)
            on_step(place + 1, len(eyes.frame))
    return thumbnails


def _write_page(
    record: ExplanationRecord, rows: pd.DataFrame, version: ModelVersion, folder: Path
) -> None:
    eyes = record.eyes
    shown = rows[rows["score"].isin(ON_PAGE) & rows["part"].isin(PARTS_ON_PAGE)]
    page = explanations_page(
        title=f"Explanations of {len(eyes.frame)} eyes",
        words=f"{version.uri}, {record.contrast}, {record.split} split, {eyes.pixels.shape[1]} px",
        eyes=eyes.frame[["image_id", "eye"]].assign(
            **{"class": [eyes.classes[int(label)] for label in eyes.labels]},
            prob=expit(record.maps.logit),
        ),
        explained=MappedEyes(pixels=eyes.pixels, maps=record.maps.by_method, regions=eyes.regions),
        classes=eyes.classes,
        scores=shown,
        controls=CONTROLS,
    )
    (folder / GALLERY).write_text(page, encoding="utf-8")


def _rows(record: ExplanationRecord) -> pd.DataFrame:
    """One row per eye, method, score and part, as the results database keeps them."""
    frame = record.eyes.frame
    rows = pd.concat(
        [scores.assign(method=method) for method, scores in record.scores.items()],
        ignore_index=True,
    )
    return rows.assign(
        image_id=frame["image_id"].to_numpy()[rows["row"]],
        patient_id=frame["patient_id"].to_numpy()[rows["row"]],
        dataset_digest=record.eyes.digest,
        seed=record.seed,
    ).drop(columns="row")


def _ranked(table: pd.DataFrame, contrast: str) -> pd.DataFrame:
    """Rows of the ranking figure, a part named with its score.

    More in a part is better only where the finding is known to lie.
    """
    place = {key: at for at, key in enumerate(RANKED)}
    keys = list(zip(table["score"], table["part"], strict=True))
    rows = table[[key in place for key in keys]].dropna(subset="value")
    keys = list(zip(rows["score"], rows["part"], strict=True))
    rows = rows.assign(
        order=[place[key] for key in keys],
        score=[" ".join(filter(None, key)) for key in keys],
        better=rows["better"].where(rows["part"].isin(["", KNOWN_PLACES.get(contrast, "")]), ""),
    )
    return rows.sort_values("order", kind="stable")
