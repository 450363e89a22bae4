"""A chain hands the file of the salt on to its first step, and sees when the salt has changed."""

import pytest

from experiments.main import MainConfig
from experiments.preprocess import prepare
from experiments.real_eyes import RealEyesConfig
from experiments.running import Steps
from fundus_ml.data import open_dataset
from tests.experiments.conftest import enter
from tests.experiments.test_preprocess import SALT, everything_below, found_in, with_names
from tracking.runs import start_run

pytestmark = pytest.mark.usefixtures("unrendered")


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Where the chain works, beside a release that names people and the salt."""
    (tmp_path / "work").mkdir()
    enter(tmp_path / "work", monkeypatch)
    with_names(tmp_path / "own")
    (tmp_path / "salt").write_text(SALT)
    return tmp_path / "work"


def prepared(config, root):
    """Do the first step of a chain; its run, and the ids of the people in its dataset."""
    with start_run("chain", {}):
        step = Steps(total=1, reuse="any").prepare(
            prepare, config.preprocess(), root=root, folder=config.dataset
        )
    return step.run_id, set(open_dataset(config.dataset).frame["patient_id"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "config_class", [MainConfig, pytest.param(RealEyesConfig, marks=pytest.mark.slow)]
)
def test_names_stay_outside_and_another_salt_makes_other_ids(work, config_class):
    salt, root = work.parent / "salt", str(work.parent / "own")
    config = config_class(
        source="folder", root=root, out="out", hash_ids=str(salt), size=16, workers=1, images=2
    )
    first, people = prepared(config, root)
    assert found_in(everything_below(work), "Castorp", "MRN", SALT) == set()
    again, same = prepared(config, root)
    assert (again, same) == (first, people)
    salt.write_text(SALT[::-1])
    other, others = prepared(config, root)
    assert other != first
    assert len(others) == len(people)
    assert not others & people
