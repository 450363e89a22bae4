"""The results as tables: frames back from the database, and what :mod:`.recording` puts there."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd
from sqlalchemy import ColumnElement, and_, or_, select

from tracking.calibrated import with_calibration
from tracking.database import session
from tracking.dataset_eyes import Dataset, with_eyes
from tracking.fiftyone_folder import write_fiftyone
from tracking.recording import (
    record_biomarkers,
    record_explanation_scores,
    record_minimal_perturbations,
    record_modulations,
    record_predictions,
    record_region_shares,
    record_transfers,
)
from tracking.registry import resolve
from tracking.run_tables import run_table
from tracking.stores import (
    RESULTS_VARIABLE,
    fetch,
    is_missing,
    refuse_missing,
    results_uri,
    tracking_uri,
)
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

__all__ = [
    "biomarker_reasons",
    "biomarkers",
    "explanation_scores",
    "export_fiftyone",
    "has_rows",
    "minimal_perturbations",
    "modulations",
    "picture_path",
    "predictions",
    "record_biomarkers",
    "record_explanation_scores",
    "record_minimal_perturbations",
    "record_modulations",
    "record_predictions",
    "record_region_shares",
    "record_transfers",
    "region_shares",
    "run_table",
    "transfers",
    "trials",
]


_WRITTEN: Mapping[str, type[Prediction] | type[Modulation]] = MappingProxyType(
    {"evaluate": Prediction, "modulate": Modulation}
)


def has_rows(
    entry_point: str, *, run_id: str, model_ids: Collection[str], dataset_digest: str
) -> bool:
    """Whether what a run wrote is in the database, or what a later one wrote in its place.

    Args:
        entry_point: ``evaluate`` or ``modulate``; others write no rows that a chain relies on.
        run_id: The run.
        model_ids: Logged models of the versions it read.
        dataset_digest: Digest of the dataset it read.
    """
    table = _WRITTEN.get(entry_point)
    if table is None:
        return True
    if is_missing(results_uri()):
        return False
    replaced = and_(table.model_id.in_(model_ids), table.dataset_digest == dataset_digest)
    with session() as opened:
        query = select(table.id).where(or_(table.run_id == run_id, replaced)).limit(1)
        return opened.scalars(query).first() is not None


def predictions(
    model: str | None = None,
    run_id: str | None = None,
    *,
    dataset: Dataset | None = None,
) -> pd.DataFrame:
    """Hand back the predictions.

    Args:
        model: Only those of this version, ``models:/name@alias`` or ``models:/name/3``.
        run_id: Only those this run wrote last.
        dataset: Only those of this dataset, a folder or what ``open_dataset`` returned; its
            manifest's columns (``person_group``, ``age``, ``camera``, ``quality`` …) join the rows.
            A column that the rows have stays theirs: ``label`` answers the version's question.

    Returns:
        One row per photograph and attack, in the order of their first recording: the columns of
        :class:`tracking.tables.Prediction`, and ``prob_calibrated`` and ``called`` as the version
        reads its logit: see :func:`tracking.calibrated.with_calibration`.

    Raises:
        TrackingError: No such version or folder, every row is of another dataset, or the dataset
            lacks a photograph.
    """
    return with_calibration(_frame(Prediction, model, run_id, dataset))


def modulations(
    model: str | None = None,
    run_id: str | None = None,
    *,
    dataset: Dataset | None = None,
) -> pd.DataFrame:
    """Hand back one row per modulated photograph and budget; as :func:`predictions`.

    The column ``picture`` is for :func:`picture_path`.
    """
    return _frame(Modulation, model, run_id, dataset)


def export_fiftyone(
    folder: str | Path,
    model: str | None = None,
    run_id: str | None = None,
    *,
    dataset: Dataset,
) -> Path:
    """Write modulated pictures and what is known of them as a folder that FiftyOne imports.

    FiftyOne is not needed here. Where it is installed::

        fiftyone.Dataset.from_dir(
            dataset_dir=folder, dataset_type=fiftyone.types.FiftyOneDataset, name="modulations"
        )

    Args:
        folder: New or empty.
        model: As in :func:`modulations`.
        run_id: As there.
        dataset: As there; eye, person and age come from its manifest.

    Returns:
        The folder: see :func:`tracking.fiftyone_folder.write_fiftyone`.

    Raises:
        TrackingError: As in :func:`modulations`; there are no modulations, the folder is in use, or
            a picture is not there any more.
    """
    place = Path(folder).expanduser()
    write_fiftyone(modulations(model, run_id, dataset=dataset), place)
    return place


def region_shares(
    model: str | None = None,
    run_id: str | None = None,
    *,
    dataset: Dataset | None = None,
) -> pd.DataFrame:
    """Hand back one row per modulation and part; as :func:`predictions`."""
    return _frame(RegionShare, model, run_id, dataset)


def minimal_perturbations(
    model: str | None = None,
    run_id: str | None = None,
    *,
    dataset: Dataset | None = None,
) -> pd.DataFrame:
    """Minimal perturbation norm of each photograph and region; as :func:`predictions`."""
    return _frame(MinimalPerturbation, model, run_id, dataset)


def transfers(
    model: str | None = None,
    run_id: str | None = None,
    *,
    dataset: Dataset | None = None,
) -> pd.DataFrame:
    """Hand back what independent evaluators saw in modulations by ``model``; as the others."""
    return _frame(Transfer, model, run_id, dataset)


def explanation_scores(
    model: str | None = None,
    run_id: str | None = None,
    *,
    dataset: Dataset | None = None,
) -> pd.DataFrame:
    """Hand back one row per photograph, explanation method, score and part; as the others."""
    return _frame(ExplanationScore, model, run_id, dataset)


def biomarkers(run_id: str | None = None, *, dataset: Dataset | None = None) -> pd.DataFrame:
    """Hand back the biomarkers, one row per photograph.

    Args:
        run_id: Only those this run wrote last.
        dataset: As in :func:`predictions`.

    Returns:
        Columns ``dataset_digest``, ``image_id``, one per biomarker (NaN where it could not be
        measured) and, with ``dataset``, those of its manifest.

    Raises:
        TrackingError: As :func:`predictions`.
    """
    rows = _stored(Biomarker, None, run_id)
    keys = ["dataset_digest", "image_id"]
    # A pivot table would leave out a photograph that has no value at all.
    wide = rows.pivot(index=keys, columns="biomarker", values="value")  # noqa: PD010
    wide = wide[rows["biomarker"].unique()].astype(float).reset_index().rename_axis(columns=None)
    return wide if dataset is None else with_eyes(wide, dataset)


def biomarker_reasons(run_id: str | None = None, *, dataset: Dataset | None = None) -> pd.DataFrame:
    """Hand back the biomarkers that could not be measured, one row each, with their ``reason``.

    Arguments and errors as in :func:`biomarkers`.
    """
    rows = _stored(Biomarker, None, run_id)
    lacking = rows[rows["value"].isna()].reset_index(drop=True)
    return lacking if dataset is None else with_eyes(lacking, dataset)


def trials(study: str, storage: str = "") -> pd.DataFrame:
    """Hand back the trials of a study: see :func:`tracking.trial_tables.trials_table`.

    Args:
        study: Name of the study.
        storage: SQLAlchemy address of its database; ``optuna.db`` in this folder when empty.

    Raises:
        TrackingError: There is no such database, or no such study in it.
    """
    from tracking.studies import read_trials  # noqa: PLC0415 (Optuna takes a second)
    from tracking.trial_tables import trials_table  # noqa: PLC0415

    return trials_table(*read_trials(study, storage))


def picture_path(picture: str) -> Path:
    """Turn the column ``picture`` into a file to open, downloading it when it is not here.

    Args:
        picture: ``runs:/<run_id>/modulation/eye.png`` (what
            :func:`tracking.lineage.attach_pictures` returns, with the file's name behind it), any
            other address MLflow understands, or a path.
    """
    return fetch(picture)


def _frame(
    table: type[Base],
    model: str | None,
    run_id: str | None,
    dataset: Dataset | None,
) -> pd.DataFrame:
    rows = _stored(table, model, run_id)
    return rows if dataset is None else with_eyes(rows, dataset)


def _stored(table: type[Base], model: str | None, run_id: str | None) -> pd.DataFrame:
    columns = [column for column in table.__table__.columns if column.name != "id"]
    wanted: list[ColumnElement[bool]] = []
    if model is not None:
        wanted.append(table.__table__.columns["model_id"] == resolve(model).model_id)
    if run_id is not None:
        wanted.append(table.__table__.columns["run_id"] == run_id)
    if is_missing(results_uri()):
        # Beside a store this only says that nothing was recorded yet.
        if is_missing(tracking_uri()):
            refuse_missing(results_uri(), what="results database", variable=RESULTS_VARIABLE)
        return pd.DataFrame(columns=[column.name for column in columns])
    with session() as opened:
        found = opened.execute(
            select(*columns).where(*wanted).order_by(table.__table__.columns["id"])
        ).all()
    return pd.DataFrame.from_records(found, columns=[column.name for column in columns])
