"""Two processes learn from the views, and by the loss, of one."""

import pytest

from tests.fundus_ml.processes import run
from tests.fundus_ml.tiny_learning import make_dataset

pytestmark = pytest.mark.slow


MODULE = "tests.fundus_ml.pretraining.two_processes"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What one process finds, and two, on 24 training and 14 validation eyes."""
    folder = tmp_path_factory.mktemp("shared") / "eyes"
    make_dataset(folder, people={"train": 12, "val": 7})
    return tuple(
        run("tests.fundus_ml.pretraining.two_processes", folder, count) for count in (1, 2)
    )


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
