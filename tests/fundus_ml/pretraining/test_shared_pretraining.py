"""Two processes learn from the views, and by the loss, of one."""

import json
import os
import subprocess
import sys

import pytest

from tests.fundus_ml.tiny_learning import make_dataset

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What one process finds, and two, on 24 training and 14 validation eyes."""
    folder = tmp_path_factory.mktemp("shared") / "eyes"
    make_dataset(folder, people={"train": 12, "val": 7})
    return run(folder, 1), run(folder, 2)


def run(folder, processes):
    script = ["-m", "tests.fundus_ml.pretraining.two_processes", str(folder)]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), *script]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_two_processes_make_the_steps_of_one(results):
    """The variance and covariance terms see the batch of both."""
    alone, together = results
    for column, values in alone["history"].items():
        assert together["history"][column] == pytest.approx(values, rel=1e-4, abs=1e-4), column
    assert together["weights"] == pytest.approx(alone["weights"], rel=1e-3, abs=1e-3)
    assert together["probe"] == alone["probe"]


def test_every_eye_is_passed_once_in_its_place(results):
    """Also where a process has fewer batches than the other."""
    for result in results:
        assert result["numbered"] == [[row, row // 9] for row in range(14)]
