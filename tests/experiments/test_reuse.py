"""A second ``main`` runs only what something has changed for, and goes on after a crash."""

import json
import shutil

import numpy as np
import pytest

from experiments import main
from fundus_ml.imaging.pictures import read_png, write_png
from tests.experiments.conftest import SMALL, enter, flags, leave_short
from tests.experiments.photographs import write_photographs
from tests.experiments.tiny_versions import logged_table, newest
from tests.tracking.conftest import end_all_runs

CHAIN = ["preprocess", "train", "robustify", "evaluate clean", "modulate clean",
         "evaluate robust", "modulate robust"]  # fmt: skip
ANY = SMALL | {"reuse": "any"}


@pytest.fixture
def store(chain_once, tmp_path, monkeypatch):
    """A copy of the finished chain's store and dataset, for the test to add to."""
    for name in ("mlflow.db", "results.db"):
        shutil.copy(chain_once.folder / name, tmp_path / name)
    shutil.copytree(chain_once.folder / "demo", tmp_path / "demo")
    enter(tmp_path, monkeypatch)
    yield tmp_path
    end_all_runs()


def steps(out, **changes):
    """Run the chain again; tell which of its steps ran."""
    with pytest.MonkeyPatch.context() as patch:
        leave_short(patch)
        main.main(flags(ANY | changes | {"out": out}))
    table = logged_table(newest("main"), "steps.json")
    assert table["step"].tolist() == CHAIN
    return table["step"][~table["taken over"]].tolist()


@pytest.mark.usefixtures("unrendered")
def test_nothing_runs_twice(store):
    before = json.loads((store / "demo" / "summary.json").read_text())
    assert steps(store / "demo") == []
    assert json.loads((store / "demo" / "summary.json").read_text()) == before


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_new_budgets_run_modulate_alone(store):
    before = json.loads((store / "demo" / "summary.json").read_text())
    assert steps(store / "demo", modulate_eps="1,2") == ["modulate clean", "modulate robust"]
    after = json.loads((store / "demo" / "summary.json").read_text())
    assert list(after["success_by_eps"]["robust"]) == ["1", "2"]
    assert after["models"] == before["models"]


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_a_dataset_that_was_deleted_is_made_again_and_nothing_else(store):
    """The painted eyes come out the same, so what learned from them stands."""
    shutil.rmtree(store / "demo" / "dataset")
    assert steps(store / "demo") == ["preprocess"]


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_a_crash_in_the_middle_resumes_there_and_a_new_photograph_runs_everything(
    tmp_path, monkeypatch
):
    enter(tmp_path, monkeypatch)
    folder = tmp_path / "release"
    write_photographs(folder, people=60)
    photographs = {"source": "folder", "root": folder}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "evaluate", crash)
        with pytest.raises(ValueError, match="the machine is gone"):
            steps(tmp_path / "out", **photographs)
    assert steps(tmp_path / "out", **photographs) == CHAIN[3:]
    assert steps(tmp_path / "out", **photographs) == []

    write_png(np.flip(read_png(folder / "0.png"), 1), folder / "0.png")
    assert steps(tmp_path / "out", **photographs) == CHAIN
    end_all_runs()


def crash(_config, _run):
    raise ValueError("the machine is gone")
