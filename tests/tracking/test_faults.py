"""What stands in the way outside the program is one line; everything else stays what it is."""

import errno
import sqlite3

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, UNAUTHENTICATED
from sqlalchemy.exc import IntegrityError, OperationalError

from tracking.errors import TrackingError
from tracking.faults import fault_of
from tracking.runs import start_run


def from_(error, cause):
    try:
        raise error from cause
    except type(error) as raised:
        return raised


def answer_of(status):
    answer = requests.Response()
    answer.status_code = status
    return answer


DEAD = MlflowException("API request to http://ward:5000/api failed with exception Max retries")
UNKNOWN = MlflowException("You are not authenticated", error_code=UNAUTHENTICATED)
FORBIDDEN = MlflowException("Permission denied", error_code=PERMISSION_DENIED)
HTTP_FORBIDDEN = requests.HTTPError(response=answer_of(403))
FULL = sqlite3.OperationalError("database or disk is full")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a.npy"), "the disk is full (a.npy); "),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk quota is used up; mend that"),
        (OSError(errno.EROFS, "Read-only file system"), "the file system is read-only; mend"),
        (
            RuntimeError("I/O error: No space left on device (os error 28)"),
            "the disk is full; mend that, ",
        ),
        (OperationalError("INSERT", {}, FULL), "the disk is full; mend that, "),
        (
            from_(MlflowException("x"), OperationalError("INSERT", {}, FULL)),
            "the disk is full; mend that, ",
        ),
        (from_(DEAD, requests.ConnectionError("refused")), "the tracking server does not answer"),
        (requests.ReadTimeout("timed out"), "the tracking server does not answer any more; "),
        (UNKNOWN, "the tracking server asks who you are: set MLFLOW_TRACKING_USERNAME and "),
        (FORBIDDEN, "the tracking server does not let user None do that: ask its administrator"),
        (from_(RuntimeError("x"), HTTP_FORBIDDEN), "the tracking server does not let user None"),
        (
            MlflowException("The experiment 3 must be in the 'active' state."),
            "The experiment 3 must be in the 'active' state.; restore it, then",
        ),
    ],
)
def test_faults_outside_the_program(error, said, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    fault = fault_of(error)
    assert fault.startswith(said)
    assert fault.endswith("then give the same command again")
    assert "\n" not in fault


@pytest.mark.parametrize(
    "error",
    [
        KeyError("age"),
        ValueError("shapes differ"),
        FileNotFoundError(errno.ENOENT, "No such file", "a.npy"),
        IntegrityError("INSERT", {}, sqlite3.IntegrityError("UNIQUE constraint failed")),
        TrackingError("out=/eyes: cannot be written (Read-only file system)"),
        from_(TrackingError("no eyes"), OSError(errno.ENOSPC, "No space left on device")),
        MlflowException("Invalid metric name"),
    ],
)
def test_everything_else_is_none(error):
    assert fault_of(error) is None


def test_a_user_with_a_wrong_password_is_named_and_the_password_is_not(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a-password-of-ada")
    fault = fault_of(UNKNOWN)
    assert fault.startswith("the tracking server knows no user 'ada' with that MLFLOW_TRACKING_PA")
    assert "a-password-of-ada" not in fault


def test_a_run_that_meets_one_says_what_to_do(store):  # noqa: ARG001 - it is recorded there
    with pytest.raises(TrackingError, match="the disk is full") as told, start_run("t", {}) as run:
        raise OSError(errno.ENOSPC, "No space left on device", "step.safetensors")
    found = MlflowClient().get_run(run.run_id)
    assert found.info.status == "FAILED"
    assert found.data.tags["failure"] == str(told.value)
    assert mlflow.active_run() is None
