"""A finished run as something that can be done again, and what two runs of it differ in."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from mlflow import entities
from mlflow.exceptions import MlflowException

from tracking.code_version import UNKNOWN
from tracking.errors import TrackingError
from tracking.models_read import models_read, took
from tracking.registry import find_version
from tracking.runs import SYSTEM
from tracking.steps import DIRTY, read_step
from tracking.stores import open_tracking

_PROJECT = "mlflow.project.entryPoint"
_STAGE = "stage"
_TIMES = ("seconds", "seconds_per_step", "resumed")
"""Metrics that say how long it took or how often it was stopped, not what was found."""


@dataclass(frozen=True, kw_only=True)
class Repeatable:
    """What a finished run did.

    Attributes:
        run_id: Its id.
        entry_point: Which one.
        parameters: Its flags as they were given.
        commit: The code it ran.
        dataset_digest: Digest of the dataset it read; empty where it read none.
        model: The numbered versions it took as its model or models, with commas; empty where it
            took none.
        start: The numbered version that its backbone started from; empty where there is none.
        registered: Name under which it registered a version; empty where it registered none.
        metrics: Last value of each.
    """

    run_id: str
    entry_point: str
    parameters: Mapping[str, str]
    commit: str
    dataset_digest: str
    model: str
    start: str
    registered: str
    metrics: Mapping[str, float]


def read_repeatable(run_id: str) -> Repeatable:
    """Read a finished run.

    Raises:
        TrackingError: It is not in this store, did not finish, was made by code that no commit
            holds, or took a version whose name and number another one has now.
    """
    try:
        run = open_tracking().get_run(run_id)
    except MlflowException:
        raise TrackingError(f"run={run_id}: no such run in this store") from None
    tags = run.data.tags
    if run.info.status != "FINISHED":
        raise TrackingError(f"run={run_id}: is {run.info.status}; must be FINISHED")
    commit = tags.get("git_commit", UNKNOWN)
    if commit == UNKNOWN or commit.endswith(DIRTY):
        raise TrackingError(
            f"run={run_id}: its code is {commit}: changed after a commit, or none is known; only "
            "what a commit holds can run again"
        )
    project = tags.get(_PROJECT, "")
    _check_models(run)
    version = read_step(run_id).version
    return Repeatable(
        run_id=run_id,
        entry_point=project or tags.get(_STAGE) or str(run.info.run_name),
        parameters={
            name: _unquoted(value) if project else value for name, value in run.data.params.items()
        },
        commit=commit,
        dataset_digest=tags.get("dataset_digest", ""),
        model=tags.get("model_version", ""),
        start=tags.get("start_version", ""),
        registered="" if version is None else version.name,
        metrics=dict(run.data.metrics),
    )


def _check_models(run: entities.Run) -> None:
    """Refuse a run whose version was deleted and another one got its name and number."""
    for uri in models_read(run.data.tags):
        version = find_version(uri)
        if version is not None and not took(run, version):
            raise TrackingError(
                f"run={run.info.run_id}: took {uri}, which was deleted; another version has its "
                "name and number now"
            )


def compare_metrics(first: Mapping[str, float], second: Mapping[str, float]) -> pd.DataFrame:
    """Set the metrics of two runs side by side, without those of times and of the machine.

    Returns:
        ``metric first second difference``; the difference is relative to the larger size, 0 where
        both are equal or undefined, and infinite where one run lacks the metric.
    """
    names = sorted(set(first) | set(second))
    rows = [
        {
            "metric": name,
            "first": first.get(name),
            "second": second.get(name),
            "difference": _difference(first.get(name), second.get(name)),
        }
        for name in names
        if name not in _TIMES and not name.startswith(SYSTEM)
    ]
    return pd.DataFrame(rows, columns=["metric", "first", "second", "difference"])


def _difference(first: float | None, second: float | None) -> float:
    if first is None or second is None:
        return float("inf")
    undefined = (first != first, second != second)  # noqa: PLR0124 (NaN)
    if all(undefined) or first == second:
        return 0.0
    if any(undefined):
        return float("inf")
    return abs(first - second) / max(abs(first), abs(second))


def _unquoted(value: str) -> str:
    """Undo what ``mlflow run`` did to a parameter for the shell."""
    try:
        return " ".join(shlex.split(value))
    except ValueError:
        return value
