"""`attack_engine=robustness` from the command line: the same numbers, and what is refused."""

import numpy as np
import pytest

from experiments import evaluate, modulate, robustify
from tests.experiments.conftest import flags
from tests.experiments.tiny_versions import newest
from tracking import results
from tracking.registry import resolve

pytestmark = pytest.mark.usefixtures("unrendered", "unexported")

ENGINES = ("native", "robustness")
USUAL = {"model": "models:/eye/1", "bootstrap": 50, "precision": "fp32", "attack_steps": 3}


def both(module, versions, read, **values):
    """What each engine leaves behind; the second run replaces the rows of the first."""
    found = []
    for engine in ENGINES:
        given = USUAL | {"dataset": versions.a, "attack_engine": engine} | values
        module.main(flags(given))
        found.append(read())
        assert newest(module.__name__.rpartition(".")[2]).data.params["attack_engine"] == engine
    return found


@pytest.mark.slow
def test_evaluate_scores_alike(versions):
    ours, theirs = both(
        evaluate, versions, lambda: results.predictions(model="models:/eye/1"), eps="1/2,2"
    )
    assert set(ours["eps"]) == {0, 0.5, 2}
    key = ["image_id", "eps"]
    ours, theirs = ours.sort_values(key), theirs.sort_values(key)
    assert ours[key].to_numpy().tolist() == theirs[key].to_numpy().tolist()
    np.testing.assert_allclose(ours["logit"], theirs["logit"], atol=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_modulate_makes_the_same_pictures(versions):
    ours, theirs = both(
        modulate, versions, lambda: results.modulations(model="models:/eye/1"), eps="1/2",
        images=4, constraint="linf",
    )  # fmt: skip
    key = ["image_id", "eps"]
    ours, theirs = ours.sort_values(key), theirs.sort_values(key)
    assert len(ours) == len(theirs) == 4
    numbers = ours.select_dtypes("number").columns
    np.testing.assert_allclose(ours[numbers], theirs[numbers], atol=0.02)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_robustify_learns_alike(versions):
    """One epoch; what is registered scores alike under attack."""
    values = {
        "epochs": 1,
        "batch_size": 16,
        "eps": "1/2",
        "gate": "false",
        "overfitting_monitor": 0,
    }
    values |= {"register_as": "robust-eye", "random_start": "true"}
    ours, theirs = both(robustify, versions, lambda: newest("robustify").data.metrics, **values)
    version = resolve("models:/robust-eye/2")
    assert version.tags["recipe"] == "pgd"
    for name in ("train/loss", "val/loss"):
        assert ours[name] == pytest.approx(theirs[name], rel=1e-2), name


@pytest.mark.parametrize(
    ("module", "values", "line"),
    [
        (evaluate, {"attack_engine": "foolbox"}, "attack_engine=foolbox: allowed: native, rob"),
        (modulate, {"attack_engine": "foolbox"}, "attack_engine=foolbox: allowed: native, rob"),
        (robustify, {"attack_engine": "foolbox"}, "attack_engine=foolbox: allowed: native, rob"),
        (
            robustify,
            {"attack_engine": "robustness", "method": "trades"},
            "attack_engine=robustness: makes the images of method=pgd only, not of method=trades",
        ),
    ],
)
def test_what_is_refused(versions, capsys, module, values, line):
    with pytest.raises(SystemExit, match="2"):
        module.main(flags({"dataset": versions.a} | values))
    assert line in capsys.readouterr().err.splitlines()[-1]
