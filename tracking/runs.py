"""One run: its parameters, its inputs, what it logs, and how it ended."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModelInput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from tracking.abandoned import end_abandoned_runs
from tracking.datasets import dataset_input
from tracking.errors import TrackingError
from tracking.faults import fault_of, speaks_for_itself
from tracking.models_read import MODELS_READ, tag_of
from tracking.opening import describe_run, end_run, open_run, parameter_text
from tracking.stores import initialise_tracking
from tracking.versions import DatasetVersion, ModelVersion

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DatasetVersion", "Run", "failure_reason", "metric_name", "record_failure", "start_run"]

LONGEST_FAILURE = 500
SYSTEM = "system/"
"""How MLflow begins the names of what it logs of the machine."""
_OF_A_SPLIT = re.compile(r"(.*?)(train|val)_(.+)")


def metric_name(column: str) -> str:
    """Name a column of a training history as runs keep it, with the split first.

    ``val_auroc`` becomes ``val/auroc`` and ``robust_val_auroc`` ``val/robust_auroc``, so that the
    UI groups their curves; ``lr`` becomes ``learning_rate``, since a parameter is named so.
    """
    if column == "lr":
        return "learning_rate"
    found = _OF_A_SPLIT.fullmatch(column)
    return column if found is None else f"{found[2]}/{found[1]}{found[3]}"


class Run:
    """Everything one execution leaves behind.

    Attributes:
        run_id: MLflow's identifier, 32 hexadecimal digits.
        silent: Whether nothing of it is recorded: see :class:`tracking.silent.SilentRun`.
    """

    silent = False

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        """Write to the run ``run_id`` through ``client``."""
        self._client = client
        self.run_id = run_id
        self._models_read: list[ModelVersion] = []

    def page(self, tab: str = "") -> str:
        """Address of the run's page, to append to that of the MLflow server.

        Args:
            tab: ``model-metrics`` for curves and image sliders, ``artifacts/FOLDER`` for files;
                the overview when omitted.
        """
        experiment = self._client.get_run(self.run_id).info.experiment_id
        path = f"/#/experiments/{experiment}/runs/{self.run_id}/{tab}".rstrip("/")
        # Without it the pages open as those of a language-model project.
        return f"{path}?workflowType=machine_learning"

    def artifact_uri(self, path: str = "") -> str:
        """Address under which ``mlflow.artifacts.download_artifacts`` finds ``path``."""
        return f"runs:/{self.run_id}/{path}".rstrip("/")

    def log_inputs(
        self,
        *,
        datasets: Sequence[DatasetVersion] = (),
        models: Sequence[ModelVersion] = (),
    ) -> None:
        """Show what the run reads: dataset versions, and registered versions it starts from."""
        self._client.log_inputs(
            self.run_id,
            datasets=[dataset_input(dataset) for dataset in datasets],
            models=[LoggedModelInput(model.model_id) for model in models],
        )
        if models:
            self._models_read += models
            self.set_tags({MODELS_READ: tag_of(self._models_read)})

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record every metric of one step in a single request; ``step`` is 0 when omitted."""
        now = int(time() * 1000)
        rows = [Metric(name, float(value), now, step or 0) for name, value in metrics.items()]
        self._client.log_batch(self.run_id, metrics=rows)

    def log_epoch(self, row: Mapping[str, float]) -> None:
        """Record one row of a training history at the step its ``epoch`` says."""
        measured = {metric_name(name): value for name, value in row.items() if name != "epoch"}
        self.log_metrics(measured, step=int(row["epoch"]))

    def log_image(self, array: np.ndarray[Any, Any], key: str, step: int = 0) -> None:
        """Show ``(H, W, 3)`` uint8 RGB under ``key``; the run page slides through the steps."""
        self._client.log_image(self.run_id, array, key=key, step=step, synchronous=True)

    def log_figure(self, figure: "Figure", path: str) -> None:
        """Store a matplotlib figure; the ending of ``path`` chooses the format."""
        self._client.log_figure(self.run_id, figure, path)

    def log_text(self, text: str, path: str) -> None:
        """Store ``text`` as the artifact ``path``."""
        self._client.log_text(self.run_id, text, path)

    def log_json(self, content: object, path: str) -> None:
        """Store ``content`` as indented JSON."""
        self._client.log_text(self.run_id, json.dumps(content, indent=2) + "\n", path)

    def log_table(self, frame: pd.DataFrame, path: str) -> None:
        """Store ``frame`` as ``path`` (``.json``), which the run page shows as a table."""
        # MLflow looks through the object columns, of which pandas warns where it finds text ones.
        texts: list[str] = list(frame.select_dtypes("str"))
        self._client.log_table(self.run_id, frame.astype(dict.fromkeys(texts, "object")), path)

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Store one file under ``folder``."""
        self._client.log_artifact(self.run_id, str(path), folder)

    def log_artifacts(self, directory: Path, folder: str | None = None) -> None:
        """Store everything inside ``directory`` under ``folder``."""
        self._client.log_artifacts(self.run_id, str(directory), folder)

    def log_parameters(self, parameters: Mapping[str, object]) -> None:
        """Record flags or choices that became known after the start; each only once."""
        rows = [Param(name, parameter_text(value)) for name, value in parameters.items()]
        self._client.log_batch(self.run_id, params=rows)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set every tag in a single request."""
        rows = [RunTag(name, str(value)) for name, value in tags.items()]
        self._client.log_batch(self.run_id, tags=rows)

    def tag(self, name: str) -> str:
        """Read a tag of this run; empty where it has none."""
        return str(self._client.get_run(self.run_id).data.tags.get(name, ""))

    def describe(self, markdown: str) -> None:
        """Set the description that the run's page shows."""
        self.set_tags({"mlflow.note.content": markdown})

    def child(self, name: str, tags: Mapping[str, str]) -> str:
        """Open a run below this one for another process, which ends it; hand back its id."""
        experiment = self._client.get_run(self.run_id).info.experiment_id
        below = {"mlflow.parentRunId": self.run_id, **tags}
        opened = self._client.create_run(experiment, run_name=name, tags=below)
        return str(opened.info.run_id)

    def metrics_of(self, run_id: str) -> dict[str, float]:
        """Read the last value of each metric of another run."""
        return dict(self._client.get_run(run_id).data.metrics)

    def continue_from(self, run_id: str) -> None:
        """Say that this run goes on with the work of one that was killed, on both.

        The earlier run ends KILLED where nobody was left to end it. One that this store does not
        hold is named only.
        """
        self.set_tags({"continues": run_id})
        try:
            earlier = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return
        self._client.set_tag(run_id, "continued_by", self.run_id)
        if earlier.info.status == "RUNNING":
            self._client.set_terminated(run_id, "KILLED")


@contextmanager
def start_run(
    name: str,
    parameters: Mapping[str, object],
    *,
    experiment: str | None = None,
) -> Iterator[Run]:
    """Record what happens inside the block as one MLflow run.

    The run is the one that ``mlflow run`` opened for this process, if it did (it keeps the name its
    user gave it); else a child of the run that is active; else a new one in ``experiment``.

    Args:
        name: What the run is called, usually the entry point.
        parameters: Flags and their values. Those ``mlflow run`` has logged are left as they are:
            MLflow refuses a second value, and it logged them quoted for the shell.
        experiment: Experiment of a new run; ``MLFLOW_EXPERIMENT_NAME`` or ``fundus`` when omitted.

    Yields:
        The open run. It ends FINISHED; KILLED after Ctrl-C; FAILED after any other exception,
        whose reason becomes the tag ``failure`` before the exception goes on. Runs that a killed
        process of this machine left open end KILLED before it begins.

    Raises:
        TrackingError: No run can be opened here; or a full disk, a dead server and their like
            stopped the block.
    """
    with _faults_told():
        client = initialise_tracking()
        outer = mlflow.active_run()
        if outer is None:
            end_abandoned_runs(client)
        status, reason = "FAILED", ""
        try:
            opened = open_run(client, name, experiment)
            describe_run(client, opened.run_id, parameters)
            opened.check()
            yield Run(client, opened.run_id)
            status = "FINISHED"
        except KeyboardInterrupt as stop:
            status, reason = "KILLED", str(stop) or "interrupted"
            raise
        except BaseException as error:
            reason = failure_reason(error)
            raise
        finally:
            end_run(client, status, reason, outer)


def record_failure(
    name: str,
    message: str,
    parameters: Mapping[str, object] | None = None,
    *,
    experiment: str | None = None,
) -> str:
    """Leave a FAILED run behind for a mistake found before the work began.

    Args:
        name: What the run is called.
        message: The line the user reads; becomes the tag ``failure``.
        parameters: What was asked for, as far as it could be understood.
        experiment: As in :func:`start_run`.

    Returns:
        The id of the run.
    """
    with _faults_told():
        client = initialise_tracking()
        outer = mlflow.active_run()
        try:
            run_id = open_run(client, name, experiment).run_id
            describe_run(client, run_id, parameters or {})
        finally:
            end_run(client, "FAILED", _one_line(message), outer)
    return run_id


def failure_reason(error: BaseException) -> str:
    """Say in one line why a run failed.

    A user's mistake (``TrackingError``, ``InputError``: an own kind of ``ValueError``) speaks for
    itself, and so does a fault outside the program, such as a full disk; anything else is
    introduced by its type.
    """
    message = str(error)
    if fault := fault_of(error):
        return _one_line(fault)
    if speaks_for_itself(error):
        return _one_line(message)
    return _one_line(f"{type(error).__name__}: {message}" if message else type(error).__name__)


@contextmanager
def _faults_told() -> Iterator[None]:
    """Raise a fault outside the program as the one line that says what to do about it."""
    try:
        yield
    except Exception as error:  # fault_of tells a fault outside the program; the rest goes on
        fault = fault_of(error)
        if fault is None:
            raise
        raise TrackingError(_one_line(fault)) from error


def _one_line(message: str) -> str:
    return " ".join(message.split())[:LONGEST_FAILURE]
