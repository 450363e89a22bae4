"""Several processes on one study: none too many, none lost, none twice."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.tracking.study_workers import EPOCHS, main, open_shared, quadratic
from tracking.stores import initialise_tracking
from tracking.trial_claims import counted
from tracking.trial_tables import trials_table

PARENT = "mlflow.parentRunId"
ROOT = Path(__file__).parents[2]


def begin(storage, trials, folder, *traps):
    command = [sys.executable, "-m", "tests.tracking.study_workers", storage, str(trials)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*command, str(folder), *traps], cwd=folder, env=environment)


def wait_for(path, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if path.is_file() and path.read_text():
            return path.read_text()
        time.sleep(0.05)
    raise AssertionError(f"{path} was never written")


def nested_runs():
    client = MlflowClient()
    experiments = [entry.experiment_id for entry in client.search_experiments()]
    found = client.search_runs(experiments, max_results=1000)
    return [run for run in found if run.info.run_name.startswith("trial-")]


def check_whole(study, trials):
    """Each counted trial has a number of its own, is over, and says what its values give."""
    rows = counted(study.rows())
    assert len({row.number for row in rows}) == len(rows) == trials
    assert all(row.state.is_finished() for row in rows)
    for row in rows:
        if row.state.name == "COMPLETE":
            assert row.value == pytest.approx(quadratic(row.params["lr"]))
        if row.state.name == "PRUNED":
            assert max(row.intermediate_values) <= EPOCHS
    assert len({row.params["lr"] for row in rows}) == trials  # no two workers drew the same
    return rows


def test_two_processes_begin_one_study_together(untouched):
    storage = f"sqlite:///{untouched / 'optuna.db'}"
    context = multiprocessing.get_context("fork")  # spares each the seconds of importing MLflow
    workers = [context.Process(target=main, args=(storage, 4, untouched)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    initialise_tracking()
    study = open_shared(storage)
    rows = check_whole(study, 4)
    assert [row.number for row in study.rows()] == list(range(4))
    assert [row.params for row in rows[:2]] == [
        {"lr": 1e-3, "optimizer": "adamw"},
        {"lr": 1e-2, "optimizer": "sgd"},
    ]
    assert Counter(run.data.tags["trial"] for run in nested_runs()) == Counter(map(str, range(4)))


def killed_in_mid_trial(storage, store, trials):
    """Four workers: one hangs in its trial and is killed, one fails in trial 5."""
    hanging = begin(storage, trials, store, "hang")
    pid, number = map(int, wait_for(store / "hangs").split())
    assert pid == hanging.pid
    others = [begin(storage, trials, store, "raise") for _ in range(3)]
    os.kill(pid, signal.SIGKILL)
    assert [worker.wait(300) for worker in others] == [0, 0, 0]
    assert hanging.wait(10) == -signal.SIGKILL
    return number


def check_killed(study, number, trials):
    rows = check_whole(study, trials)
    every = study.rows()
    assert len(every) == trials + 1
    dead = every[number]
    assert dead.state.name == "FAIL"
    (again,) = [row for row in rows if row.system_attrs.get("retry_history") == [number]]
    assert again.params == dead.params
    assert again.state.name in {"COMPLETE", "PRUNED"}
    failed = [row for row in rows if row.state.name == "FAIL"]
    assert [row.user_attrs["failure"] for row in failed] == ["RuntimeError: out of memory"]
    assert [row.number for row in failed] == [5]
    runs = {run.info.run_id: run for run in nested_runs()}
    assert len(runs) == trials + 1
    assert runs[dead.user_attrs["run_id"]].info.status == "KILLED"
    said = runs[dead.user_attrs["run_id"]].data.tags["failure"]
    # By whichever process looks first: one that waits for its trial, or one that begins.
    assert said.startswith(("its worker died", "its process was killed"))
    parent = MlflowClient().get_run(runs[dead.user_attrs["run_id"]].data.tags[PARENT])
    assert parent.info.status == "KILLED"
    assert runs[again.user_attrs["run_id"]].info.status == "FINISHED"
    table = trials_table(study.rows(), study.space).set_index("trial")
    assert table.loc[number, "note"] == "its worker died; begun again"
    assert table.loc[again.number, "note"] == f"in place of trial {number}"
    assert table.loc[5, "note"] == "RuntimeError: out of memory"


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_on_sqlite(store):
    storage = f"sqlite:///{store / 'optuna.db'}"
    number = killed_in_mid_trial(storage, store, 12)
    check_killed(open_shared(storage), number, 12)


@pytest.mark.slow
def test_four_workers_share_forty_trials_on_postgresql(store, postgresql):
    number = killed_in_mid_trial(postgresql, store, 40)
    study = open_shared(postgresql)
    check_killed(study, number, 40)
    study.storage.remove_session()
    study.storage.engine.dispose()


@pytest.mark.slow
def test_the_retry_of_a_killed_worker_is_run_and_not_only_announced(store):
    """A start of the study still waits, and stood before the retry."""
    storage = f"sqlite:///{store / 'optuna.db'}"
    hanging = begin(storage, 1, store, "hang")
    wait_for(store / "hangs")
    os.kill(hanging.pid, signal.SIGKILL)
    hanging.wait(10)
    again = begin(storage, 1, store)
    assert again.wait(120) == 0
    dead, waiting, retried = open_shared(storage).rows()
    assert [row.state.name for row in (dead, waiting, retried)] == ["FAIL", "WAITING", "COMPLETE"]
    assert retried.params == dead.params
