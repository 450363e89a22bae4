"""A null model must never have learned true labels, nor anything it is made of."""

import re

import pytest

from experiments import robustify, train
from experiments.running.kept_pictures import KEPT
from experiments.running.null_models import (
    check_null_model,
    check_null_start,
    check_own_starts,
    conditions_of,
)
from fundus_ml.errors import InputError
from tests.experiments.conftest import flags
from tracking.registry import resolve
from tracking.stores import initialise_tracking

pytestmark = pytest.mark.usefixtures("unrendered")


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
    check_null_start(null, labels="shuffled", named="model=models:/eye/3")


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize(
    ("start", "line"),
    [
        ({}, "null_model=X: comes from models:/eye/1, which learned true labels, which a null"),
        ({"labels": "true"}, "null_model=X: comes from models:/eye/1, which learned true labels"),
        ({"labels": "age"}, "null_model=X: comes from models:/eye/1, which learned age labels"),
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
    line = r"null_model=X: was not trained with labels=shuffled \(or eye, age, camera, source\)"
    with pytest.raises(InputError, match=line):
        check_null_model(resolve("models:/eye/1"), named="null_model=X")
    with pytest.raises(InputError, match="weights=Y: learned true labels, which a null model"):
        check_null_start(resolve("models:/eye/1"), labels="shuffled", named="weights=Y")


@pytest.mark.usefixtures("versions")
def test_one_of_another_label_is_of_its_own_kind():
    """From a start of that label; it is not pooled with the shuffled ones."""
    say(1, labels="age")
    older = say(2, labels="age", parent_version="models:/eye/1")
    check_null_model(older, named="null_model=X")
    with pytest.raises(InputError, match="weights=Y: learned age labels, which a null model"):
        check_null_start(older, labels="shuffled", named="weights=Y")
    nulls = [say(3, labels="shuffled"), older, say(4, labels="shuffled"), say(1)]
    named = ["shuffled model 1", "age model 1", "shuffled model 2", "age model 2"]
    assert conditions_of(nulls) == named
    assert conditions_of([older]) == ["age model"]
    for name in (*named, "age model", "eye model", "modulation 2"):
        file = f"{name.replace(' ', '-')}/000000.npz"
        assert any(re.fullmatch(pattern, file) for pattern in KEPT.files.patterns), file


@pytest.mark.usefixtures("versions")
def test_several_need_a_start_each():
    say(1, labels="shuffled")
    say(3, recipe="vicreg")
    children = [say(number, parent_version="models:/eye/1") for number in (2, 4)]
    line = "model=models:/eye/4: null models that share models:/eye/1, which learned labels"
    with pytest.raises(InputError, match=line):
        check_own_starts(children, flag="model")
    with pytest.raises(InputError, match="weights=models:/eye/1: null models that share"):
        check_own_starts([resolve("models:/eye/1")] * 2, flag="weights")
    check_own_starts([resolve("models:/eye/3")] * 2, flag="weights")  # it learned none
    check_own_starts([resolve("models:/eye/1"), resolve("models:/eye/3")], flag="model")


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
