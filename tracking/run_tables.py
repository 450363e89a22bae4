"""The tables that runs keep as artifacts: scores, subgroups, enrichments, controls."""

import json
from collections.abc import Iterator
from pathlib import PurePosixPath

import pandas as pd
from mlflow.exceptions import MlflowException

from tracking.errors import TrackingError
from tracking.lineage import measurements_of
from tracking.names import listed
from tracking.registry import resolve
from tracking.stores import fetch, open_tracking


def run_table(name: str, model: str | None = None, run_id: str | None = None) -> pd.DataFrame:
    """Hand back a table that a run keeps, as the newest run of a version or a given one has it.

    Args:
        name: ``scores`` or ``subgroups`` (of `train`, `robustify`, `evaluate`); ``attack_suite``,
            ``min_norm`` or ``masking`` (`evaluate` with a suite); ``effect_by_eps``, ``controls``,
            ``region_enrichment``, ``minimal_perturbations``, ``null_distribution`` or
            ``transfer_matrix`` (`modulate`).
        model: Of this version, ``models:/name@alias`` or ``models:/name/3``: of the newest run
            that measured it and kept such a table, else of the run that made it.
        run_id: Of this run.

    Returns:
        The table, with the column ``run_id``.

    Raises:
        TrackingError: Neither or both of ``model`` and ``run_id`` are given, there is no such
            version or run, or none of its runs keeps such a table; the line says which are kept.
    """
    if (model is None) == (run_id is None):
        raise TrackingError(f"table {name!r}: give either model or run_id")
    client = open_tracking()
    kept: set[str] = set()
    for each in [run_id] if model is None else _runs_of(model):
        try:
            files = {PurePosixPath(file.path) for file in client.list_artifacts(str(each))}
        except MlflowException as error:
            raise TrackingError(f"run_id is {each!r}: no such run in this store") from error
        tables = {file.stem for file in files if file.suffix == ".json"}
        if name in tables:
            return _read(name, str(each))
        kept |= tables
    raise TrackingError(f"table {name!r}: {model or run_id} has {listed(sorted(kept))}")


def _runs_of(model: str) -> Iterator[str]:
    """Runs that measured a version, the newest first, and the one that made it."""
    version = resolve(model)
    yield from (each.run_id for each in reversed(measurements_of(version)))
    yield version.run_id


def _read(name: str, run_id: str) -> pd.DataFrame:
    found = json.loads(fetch(f"runs:/{run_id}/{name}.json").read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not {"columns", "data"} <= found.keys():
        raise TrackingError(f"table {name!r}: {name}.json of run {run_id} holds no table")
    return pd.DataFrame(found["data"], columns=found["columns"]).assign(run_id=run_id)
