"""An independent evaluator is no relative of the model in a straight line."""

import pytest

from experiments import modulate
from experiments.running.independence import check_independent
from fundus_ml.errors import InputError
from tests.experiments.conftest import flags
from tests.experiments.running.test_null_models import say
from tests.experiments.tiny_versions import newest
from tracking.registry import resolve

pytestmark = pytest.mark.usefixtures("unrendered")


def family():
    """Version 2 was trained from 1, 3 averages 2 with one that is gone; 4 stands alone."""
    say(2, parent_version="models:/eye/1")
    say(3, parents="models:/eye/2,models:/eye/9")
    return [resolve(f"models:/eye/{number}") for number in (1, 2, 3, 4)]


@pytest.mark.usefixtures("versions")
def test_ancestors_and_descendants_are_refused():
    first, second, third, _ = family()
    for evaluator, model, line in (
        (first, third, "evaluator=X: models:/eye/3 was made from it, so it judges its own relat"),
        (third, second, "evaluator=X: was made from models:/eye/2, so it judges its own relat"),
        (first, first, "evaluator=X: is the model itself; name a version that was trained indep"),
    ):
        with pytest.raises(InputError, match=line):
            check_independent(evaluator, model, named="evaluator=X")


@pytest.mark.usefixtures("versions")
def test_others_are_taken():
    """A stranger, and two that were made from a third."""
    first, second, _, stranger = family()
    check_independent(stranger, second, named="evaluator=X")
    sibling = say(4, parent_version=first.uri)
    check_independent(sibling, second, named="evaluator=X")


@pytest.mark.parametrize(
    "networks",
    [
        {"model": "models:/eye/2"},
        {"model": "models:/eye/4", "clean_model": "models:/eye/2", "ensemble": "true"},
    ],
)
def test_modulate_ends_before_its_first_picture(versions, capsys, networks):
    """Exit code 2 and the line; no folder of finished batches."""
    family()
    values = {"dataset": versions.a, "evaluator": "models:/eye/1", "images": 2}
    with pytest.raises(SystemExit) as ended:
        modulate.main(flags(values | networks))
    assert ended.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("modulate: evaluator=models:/eye/1: models:/eye/2 was made from it")
    assert newest("modulate").info.status == "FAILED"
