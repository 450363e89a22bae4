"""Results into the database: a frame's rows, each replaced where it is there already."""

from typing import Any

import pandas as pd

from tracking.database import session, upsert
from tracking.errors import TrackingError
from tracking.runs import Run
from tracking.tables import (
    Base,
    Biomarker,
    ExplanationScore,
    MinimalPerturbation,
    Modulation,
    Prediction,
    RegionShare,
    Transfer,
)
from tracking.versions import DatasetVersion, ModelVersion

__all__ = [
    "record_biomarkers",
    "record_explanation_scores",
    "record_minimal_perturbations",
    "record_modulations",
    "record_predictions",
    "record_region_shares",
    "record_transfers",
]


def record_predictions(
    frame: pd.DataFrame,
    *,
    run: Run | None = None,
    model: ModelVersion | None = None,
    dataset: DatasetVersion | None = None,
) -> None:
    """Keep what a model said of each photograph, clean or attacked.

    A row that is already there (same model, dataset, photograph, attack and budget) is replaced.

    Args:
        frame: One row per photograph, with the columns of :class:`tracking.tables.Prediction`;
            other columns are left out.
        run: Fills ``run_id``.
        model: Fills ``model_name``, ``model_version`` and ``model_id``.
        dataset: Fills ``dataset_digest``.

    Raises:
        TrackingError: A column is missing or, where it must not, lacks a value.
    """
    _record(Prediction, frame, run, model, dataset)


def record_modulations(
    frame: pd.DataFrame,
    *,
    run: Run | None = None,
    model: ModelVersion | None = None,
    dataset: DatasetVersion | None = None,
) -> None:
    """Keep one row per photograph and budget: :class:`tracking.tables.Modulation`.

    Arguments, replacement and errors as in :func:`record_predictions`.
    """
    _record(Modulation, frame, run, model, dataset)


def record_region_shares(
    frame: pd.DataFrame,
    *,
    run: Run | None = None,
    model: ModelVersion | None = None,
    dataset: DatasetVersion | None = None,
) -> None:
    """Keep one row per modulation and part: :class:`tracking.tables.RegionShare`.

    Arguments, replacement and errors as in :func:`record_predictions`.
    """
    _record(RegionShare, frame, run, model, dataset)


def record_minimal_perturbations(
    frame: pd.DataFrame,
    *,
    run: Run | None = None,
    model: ModelVersion | None = None,
    dataset: DatasetVersion | None = None,
) -> None:
    """Keep one row per photograph and region: :class:`tracking.tables.MinimalPerturbation`.

    Arguments, replacement and errors as in :func:`record_predictions`.
    """
    _record(MinimalPerturbation, frame, run, model, dataset)


def record_transfers(
    frame: pd.DataFrame,
    *,
    evaluator: ModelVersion,
    run: Run | None = None,
    model: ModelVersion | None = None,
    dataset: DatasetVersion | None = None,
) -> None:
    """Keep what ``evaluator`` sees in each modulation: :class:`tracking.tables.Transfer`.

    Arguments, replacement and errors as in :func:`record_predictions`.
    """
    judged = frame.assign(evaluator=evaluator.uri, evaluator_model_id=evaluator.model_id)
    _record(Transfer, judged, run, model, dataset)


def record_biomarkers(
    frame: pd.DataFrame, *, run: Run | None = None, dataset: DatasetVersion | None = None
) -> None:
    """Keep one row per photograph and biomarker: :class:`tracking.tables.Biomarker`.

    A row that is already there (same dataset, photograph and biomarker) is replaced; arguments and
    errors as in :func:`record_predictions`.
    """
    _record(Biomarker, frame, run, None, dataset)


def record_explanation_scores(
    frame: pd.DataFrame,
    *,
    run: Run | None = None,
    model: ModelVersion | None = None,
    dataset: DatasetVersion | None = None,
) -> None:
    """Keep one row per photograph, method, score and part.

    The columns are those of :class:`tracking.tables.ExplanationScore`. Arguments, replacement and
    errors as in :func:`record_predictions`.
    """
    _record(ExplanationScore, frame, run, model, dataset)


def _record(
    table: type[Base],
    frame: pd.DataFrame,
    run: Run | None,
    model: ModelVersion | None,
    dataset: DatasetVersion | None,
) -> None:
    if run is not None and run.silent:
        return
    frame = frame.assign(**_identity(table, run, model, dataset))
    columns = [column for column in table.__table__.columns if column.name != "id"]
    missing = [column.name for column in columns if column.name not in frame]
    if missing:
        raise TrackingError(f"{table.__tablename__} lack the column {', '.join(missing)}")
    empty = [
        column.name for column in columns if not column.nullable and frame[column.name].isna().any()
    ]
    if empty:
        raise TrackingError(f"{table.__tablename__} have rows without {', '.join(empty)}")
    with session() as opened:
        upsert(opened, table, _rows(frame[[column.name for column in columns]]))


def _identity(
    table: type[Base],
    run: Run | None,
    model: ModelVersion | None,
    dataset: DatasetVersion | None,
) -> dict[str, str | int]:
    known: dict[str, str | int] = {}
    if run is not None:
        known["run_id"] = run.run_id
    if model is not None:
        known |= {
            "model_name": model.name,
            "model_version": model.version,
            "model_id": model.model_id,
        }
    if dataset is not None:
        known["dataset_digest"] = dataset.digest
    return {name: value for name, value in known.items() if name in table.__table__.columns}


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Plain Python values, an empty cell as ``None``."""
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in record.items()} for record in records]
