"""A null model must never have learned true labels, nor anything it is made of."""

import pytest

from experiments import robustify, train
from experiments.running.null_models import check_null_model, check_null_start
from fundus_ml.errors import InputError
from tests.experiments.conftest import flags
from tracking.registry import resolve
from tracking.stores import initialise_tracking


def say(number, **tags):
    """Write on a version of ``eye`` what its training would have written; hand it back."""
    for name, value in tags.items():
        initialise_tracking().set_model_version_tag("eye", str(number), name, value)
    return resolve(f"models:/eye/{number}")


@pytest.mark.usefixtures("versions")
def test_one_from_a_start_that_knew_nothing_is_taken():
    say(1, recipe="vicreg")  # learned no labels
    say(2, labels="shuffled", parent_version="models:/eye/1")
    null = say(3, labels="shuffled", parent_version="models:/eye/2")
    check_null_model(null, named="null_model=models:/eye/3")
    check_null_start(null, named="model=models:/eye/3")


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize(
    ("start", "line"),
    [
        ({}, "null_model=X: comes from models:/eye/1, which learned true labels, which a null"),
        ({"labels": "true"}, "null_model=X: comes from models:/eye/1, which learned true labels"),
        (
            {"labels": "shuffled", "parent_version": "models:/eye/4"},
            "null_model=X: comes from models:/eye/4, which learned true labels",
        ),
        (
            {"recipe": "average", "parents": "models:/eye/2,models:/eye/4"},
            "null_model=X: comes from models:/eye/4, which learned true labels",
        ),
        (
            {"labels": "shuffled", "parent_version": "models:/eye/9"},
            "null_model=X: comes from models:/eye/9, which is not in the registry any more",
        ),
    ],
)
def test_one_whose_ancestor_learned_the_truth_is_refused(start, line):
    say(1, **start)
    say(2, labels="shuffled", parent_version="models:/eye/1")
    null = say(3, labels="shuffled", parent_version="models:/eye/2")
    with pytest.raises(InputError, match=line):
        check_null_model(null, named="null_model=X")


@pytest.mark.usefixtures("versions")
def test_one_that_learned_the_truth_itself_is_refused():
    line = "null_model=X: was not trained with labels=shuffled"
    with pytest.raises(InputError, match=line):
        check_null_model(resolve("models:/eye/1"), named="null_model=X")
    with pytest.raises(InputError, match="weights=Y: learned true labels, which a null model"):
        check_null_start(resolve("models:/eye/1"), named="weights=Y")


@pytest.mark.parametrize(
    ("module", "start"),
    [
        (robustify, {"model": "models:/eye/1", "eps": 0.5}),
        (train, {"weights": "models:/eye/1", "arch": "test_resnet", "head_hidden": 6}),
    ],
)
def test_trainings_on_shuffled_labels_do_not_start_from_one(versions, capsys, module, start):
    """Before the first batch, in one line."""
    with pytest.raises(SystemExit, match="2"):
        module.main(flags({"dataset": versions.a, "labels": "shuffled"} | start))
    line = capsys.readouterr().err.splitlines()[-1]
    assert "=models:/eye/1: learned true labels, which a null model must never have seen" in line


def test_a_radius_below_the_gates_is_refused_before_the_training(versions, capsys):
    asked = {"dataset": versions.a, "model": "models:/eye/1", "eps": 0.02}
    with pytest.raises(SystemExit, match="2"):
        robustify.main(flags(asked))
    assert "below which the gate asks nothing" in capsys.readouterr().err.splitlines()[-1]
