"""Runs of killed processes are ended by the next one here; everybody else's are left alone."""

import json
import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from mlflow import MlflowClient

from tracking.abandoned import GONE, PROCESS_TAG
from tracking.processes import Process, this_process
from tracking.runs import start_run


def begin(pipe):
    """Begin two runs, name them, and wait to be killed."""
    with start_run("main", {}) as outer, start_run("train", {}) as inner:
        pipe.send([outer.run_id, inner.run_id])
        pipe.recv()


@pytest.fixture
def ended():
    """A process that is over."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return replace(this_process(), pid=process.pid)


def test_this_process_lives_and_a_finished_one_does_not(ended):
    assert not this_process().is_gone()
    assert ended.is_gone()


def test_a_number_that_was_given_to_another_process_is_not_the_one_it_was():
    assert replace(this_process(), started="1").is_gone()


def test_a_process_that_only_waits_to_be_noticed_is_gone():
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as process:
        process.stdout.read()  # closed: it ended, and nobody has waited for it
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert replace(this_process(), pid=process.pid).is_gone()


def test_a_machine_that_was_started_again_runs_none_of_its_processes():
    assert replace(this_process(), boot="another").is_gone()


@pytest.mark.parametrize("field", ["host", "namespace"])
def test_of_other_machines_and_containers_nothing_is_known(ended, field):
    assert not replace(ended, **{field: "another"}).is_gone()


def test_without_start_times_the_number_alone_counts(ended):
    assert not replace(this_process(), started="").is_gone()
    assert not replace(this_process(), started="", pid=1).is_gone()
    assert replace(ended, started="").is_gone()


def test_a_process_comes_back_from_its_line():
    assert Process.from_json(this_process().to_json()) == this_process()
    for text in ("", "{", "[]", "7", json.dumps({"pid": 3})):
        assert Process.from_json(text) is None


def test_the_next_run_ends_what_a_killed_process_left(untouched):  # noqa: ARG001 - it lives there
    context = multiprocessing.get_context("fork")  # spares it the seconds of importing MLflow
    ours, theirs = context.Pipe()
    process = context.Process(target=begin, args=(theirs,))
    process.start()
    run_ids = ours.recv()
    with start_run("beside", {}):
        assert statuses(run_ids) == ["RUNNING", "RUNNING"]
    process.kill()
    process.join()
    with start_run("next", {}) as run:
        assert statuses(run_ids) == ["KILLED", "KILLED"]
        assert statuses([run.run_id]) == ["RUNNING"]
    assert {failure(run_id) for run_id in run_ids} == {GONE}


def test_runs_that_say_nothing_of_their_process_are_left_alone(store):  # noqa: ARG001 - it lives there
    client = MlflowClient()
    foreign = client.create_run("0", tags={PROCESS_TAG: "of somebody else"}).info.run_id
    with start_run("next", {}):
        pass
    assert statuses([foreign]) == ["RUNNING"]


def statuses(run_ids):
    return [MlflowClient().get_run(run_id).info.status for run_id in run_ids]


def failure(run_id):
    return MlflowClient().get_run(run_id).data.tags["failure"]
