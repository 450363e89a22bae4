"""How a run is opened and ended: in an experiment that is there, and by a process that is known."""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

import mlflow
from mlflow import ActiveRun, MlflowClient
from mlflow.entities import Experiment, LifecycleStage, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from tracking.abandoned import PROCESS_TAG
from tracking.code_version import UNKNOWN, code_version
from tracking.errors import TrackingError
from tracking.processes import this_process
from tracking.reachable import impatient

HANDED = "MLFLOW_RUN_ID"
"""Environment variable by which ``mlflow run`` hands a run to the command it starts."""
WATCHED = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
"""Environment variable by which MLflow is told whether to log the machine's load."""
DEFAULT_EXPERIMENT = "fundus"
_INVENTED = re.compile(r"[a-z]+-[a-z]+-\d+")
"""Names that ``mlflow run`` gives where the user gave none, such as ``carefree-pug-310``."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """A run that was opened.

    Attributes:
        run_id: Id of the run.
        fault: Why it is not the run that was handed over, and must fail; empty otherwise.
    """

    run_id: str
    fault: str = ""

    def check(self) -> None:
        """Refuse to work in a run that was opened to fail.

        Raises:
            TrackingError: It was.
        """
        if self.fault:
            raise TrackingError(self.fault)


def open_run(client: MlflowClient, name: str, experiment: str | None) -> Opened:
    """Open the run that ``mlflow run`` handed over, else a child of the active one, else a new one.

    Raises:
        TrackingError: The experiment is deleted.
    """
    active = mlflow.active_run()
    handed = os.environ.pop(HANDED, None) if active is None else None
    fault = ""
    if handed is not None:
        fault = _unjoinable(client, handed)
        if not fault:
            return Opened(_join(client, handed, name))
    if active is not None:
        place = active.info.experiment_id
    else:
        place = _experiment_id(
            client, experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT
        )
    run = mlflow.start_run(
        run_name=name,
        experiment_id=place,
        nested=active is not None,
        tags=_process_tag(),
        log_system_metrics=_watches_machine(),
    )
    return Opened(str(run.info.run_id), fault)


def end_run(client: MlflowClient, status: str, reason: str, outer: ActiveRun | None) -> None:
    """End the active run, unless it is still the one around it.

    A store that is gone does not hide why a run failed: it is asked once, and what it says is not
    shown.
    """
    active = mlflow.active_run()
    if active is None or (outer is not None and active.info.run_id == outer.info.run_id):
        return
    if status == "FINISHED":
        mlflow.end_run(status)
        return
    with impatient():
        try:
            client.set_tag(active.info.run_id, "failure", reason)
        except (MlflowException, SQLAlchemyError) as error:
            _logger.info("run %s: not recorded as failed: %s", active.info.run_id, error)
        try:
            mlflow.end_run(status)
        except (MlflowException, SQLAlchemyError) as error:
            _logger.info("run %s: not ended as %s: %s", active.info.run_id, status, error)


def describe_run(client: MlflowClient, run_id: str, parameters: Mapping[str, object]) -> None:
    """Record its parameters, but for those it has, and the commit."""
    logged = client.get_run(run_id).data.params
    commit = code_version()
    tags = [RunTag("git_commit", commit)]
    if commit != UNKNOWN:
        # The name under which MLflow's own pages look for it.
        tags.append(RunTag("mlflow.source.git.commit", commit.removesuffix("-dirty")))
    client.log_batch(
        run_id,
        params=[Param(k, parameter_text(v)) for k, v in parameters.items() if k not in logged],
        tags=tags,
    )


def parameter_text(value: object) -> str:
    """Write a flag's value as MLflow keeps it."""
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    return str(value)


def _watches_machine() -> bool:
    """Whether load and memory are logged every ten seconds: unless MLflow's own switch says no.

    What cannot be logged is no loss of the run, which then has a reason of its own to fail.
    """
    logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)
    return os.environ.get(WATCHED, "true").lower() in {"true", "1"}


def _join(client: MlflowClient, run_id: str, name: str) -> str:
    opened = mlflow.start_run(
        run_id=run_id, tags=_process_tag(), log_system_metrics=_watches_machine()
    )
    if _INVENTED.fullmatch(opened.info.run_name):
        client.update_run(run_id, name=name)
    return run_id


def _unjoinable(client: MlflowClient, run_id: str) -> str:
    """Say why nothing can be added to a run that was handed over; nothing where it can."""
    told = f"{HANDED}={run_id}"
    try:
        found = client.get_run(run_id).info
    except MlflowException:
        return f"{told}: no such run in this store; unset it"
    if found.lifecycle_stage != LifecycleStage.ACTIVE:
        return f"{told}: that run is deleted; restore it, or unset the variable"
    if RunStatus.is_terminated(RunStatus.from_string(found.status)):
        return f"{told}: that run is {found.status} already; unset the variable"
    return ""


def _experiment_id(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return _check_active(found)
    try:
        return str(client.create_experiment(name))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        # Another process created it between the question and the attempt.
        return _experiment_id(client, name)


def _check_active(experiment: Experiment) -> str:
    """Refuse an experiment that was deleted; give back the id of any other."""
    if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
        raise TrackingError(
            f"experiment {experiment.name!r} is deleted; restore it with mlflow experiments "
            f"restore --experiment-id {experiment.experiment_id}, or name another in "
            "MLFLOW_EXPERIMENT_NAME"
        )
    return str(experiment.experiment_id)


def _process_tag() -> dict[str, str]:
    return {PROCESS_TAG: this_process().to_json()}
