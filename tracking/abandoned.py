"""Runs whose process was killed: nobody was left to end them, so the next one here does."""

import logging

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tracking.processes import Process
from tracking.searching import find_runs

PROCESS_TAG = "process"
"""Tag of a run that says which process records it."""
GONE = "its process was killed"

_logger = logging.getLogger(__name__)


def end_abandoned_runs(client: MlflowClient) -> list[str]:
    """End as KILLED every RUNNING run whose process is gone.

    Runs of other machines, and of containers this process cannot look into, are left alone.

    Returns:
        Their ids.
    """
    ended = []
    # All of them before any is ended: what is ended leaves the pages that are still to come.
    for run in list(find_runs(client, "attributes.status = 'RUNNING'")):
        process = Process.from_json(run.data.tags.get(PROCESS_TAG, ""))
        if process is None or not process.is_gone():
            continue
        try:
            client.set_tag(run.info.run_id, "failure", GONE)
            client.set_terminated(run.info.run_id, "KILLED")
        except MlflowException as error:
            _logger.warning("run %s cannot be ended: %s", run.info.run_id, error)
        else:
            ended.append(run.info.run_id)
    return ended
