"""Who gets the alias ``robust``, and what is said and kept where it is refused."""

import json

import pandas as pd
import pytest
from torch import nn

from experiments import evaluate, main, modulate, robustify
from experiments.robustify import RobustifyConfig, alias_of_radius, ask_or_skip
from fundus_ml.data.opening import open_dataset
from fundus_ml.evaluation.scores import score_of
from fundus_ml.robust_evaluation import ATTACKS, options
from fundus_ml.training import Fitted
from tests.experiments import tiny_versions
from tests.experiments.conftest import SMALL, enter, flags
from tests.experiments.tiny_versions import artifact, logged_table, newest
from tests.tracking.conftest import end_all_runs
from tracking import results
from tracking.registry import find_alias, resolve
from tracking.runs import start_run

GOOD, UNTAUGHT = "models:/eye/1", "models:/eye/4"


@pytest.fixture
def small_radii(monkeypatch):
    """Let the gate be asked at the radius that so small a network stands."""
    monkeypatch.setattr(options, "LEAST_GREY_LEVELS", 0.2)


def train(versions, model, **changed):
    """One adversarial epoch that changes next to nothing of a version; the gate asks it."""
    usual = {
        "dataset": versions.a, "model": model, "epochs": 1, "lr": 1e-7, "eps": 0.02,
        "attack_steps": 1, "bootstrap": 100, "precision": "fp32", "register_as": "fundus-sex",
        "overfitting_monitor": 0, "freeze": "batchnorm",
    }  # fmt: skip
    robustify.main(flags(usual | changed))
    return newest("robustify")


@pytest.mark.slow
@pytest.mark.usefixtures("small_radii")
def test_a_version_at_chance_stays_without_the_alias(versions, capsys):
    """It is registered all the same, the run ends well, and `modulate` says what to do."""
    run = train(versions, UNTAUGHT)
    version = resolve("models:/fundus-sex/1")
    assert run.info.status == "FINISHED"
    assert find_alias("fundus-sex", "robust") is None
    assert version.tags["robust_gate"] == run.data.tags["robust_gate"] == "refused"
    reason = version.tags["robust_gate_reason"]
    assert "does not lie above 0.500 (always naming one class)" in reason
    told = capsys.readouterr().out.splitlines()
    assert f"alias robust refused: {reason}" in told
    assert "registered models:/fundus-sex/1 without an alias" in told
    with pytest.raises(SystemExit, match="2"):
        modulate.main(flags({"dataset": versions.a}))
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.endswith(f"none yet; models:/fundus-sex/1 was refused it: {reason}")


def test_an_alias_names_its_radius():
    assert alias_of_radius("l2", 3.0) == "robust-l2-3"
    assert alias_of_radius("linf", 4 / 255) == "robust-linf-0_0156863"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"gate": False}, "gate=false"),
        ({"gate": False, "eps": 0.0}, "gate=false"),
        ({"gate": False, "labels": "shuffled"}, "labels=shuffled"),
        ({"labels": "shuffled"}, "labels=shuffled"),
    ],
)
def test_where_no_gate_is_asked_there_is_no_alias(versions, capsys, changed, why):
    """Whatever the radius: nobody has seen the version stand anything."""
    config = RobustifyConfig(**{"dataset": versions.a, "eps": 0.02} | changed)
    dataset = open_dataset(versions.a)
    fitted = Fitted(
        model=nn.Identity(), history=pd.DataFrame(), best_epoch=1, criterion="robust_val_auroc",
        seconds_per_step=1.0,
    )  # fmt: skip
    with start_run("robustify", {}) as run:
        passed, tags = ask_or_skip(run, fitted, dataset, config)
    assert (passed, tags) == (False, {"robust_gate": "skipped"})
    assert capsys.readouterr().out == f"alias robust not given: {why} asks no gate\n"


@pytest.mark.slow
@pytest.mark.parametrize("eps", [0.02, 0])
def test_a_gate_that_is_not_asked_gives_no_alias(versions, capsys, eps):
    """The whole entry point: registered, tagged, without the alias."""
    run = train(versions, UNTAUGHT, gate="false", eps=eps)
    assert find_alias("fundus-sex", "robust") is None
    version = resolve("models:/fundus-sex/1")
    assert version.tags["robust_gate"] == "skipped"
    assert "robust_gate_reason" not in version.tags
    assert run.info.status == "FINISHED"
    told = capsys.readouterr().out.splitlines()
    assert "alias robust not given: gate=false asks no gate" in told
    assert "registered models:/fundus-sex/1 without an alias" in told


@pytest.mark.slow
@pytest.mark.usefixtures("small_radii")
def test_a_version_that_stands_gets_it(versions, tmp_path, capsys):
    dataset = open_dataset(versions.a)
    tiny_versions.register(tmp_path, tiny_versions.teach(dataset, seed=0, steps=60), dataset.digest)
    stands = "models:/eye/5"
    run = train(versions, stands)
    version = find_alias("fundus-sex", "robust")
    assert version.uri == "models:/fundus-sex/1"
    assert version.tags["robust_gate"] == "passed"
    assert version.tags["masking_flags"] == "none"
    assert not logged_table(run, "masking.json")["raised"].any()
    assert (
        "alias robust given: worst-case balanced accuracy at eps 0.02 " in capsys.readouterr().out
    )
    assert find_alias("fundus-sex", "robust-l2-0_02") == version
    assert {"gate/worst_auroc_low", "gate/edge_alignment"} <= set(run.data.metrics)
    # The same version trained for a ball in which it loses everything leaves the alias alone.
    train(versions, stands, eps=1)
    assert find_alias("fundus-sex", "robust") == version
    assert resolve("models:/fundus-sex/2").tags["robust_gate"] == "refused"


@pytest.mark.slow
def test_the_chain_goes_on_with_a_refused_version(tmp_path, monkeypatch, capsys):
    enter(tmp_path, monkeypatch)
    main.main(flags(SMALL | {"gate": "true", "out": tmp_path / "demo"}))
    end_all_runs()
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert summary["models"]["robust"] == "models:/fundus-sex/2"
    assert find_alias("fundus-sex", "robust") is None
    assert "alias robust refused: worst-case balanced accuracy at eps 1 " in capsys.readouterr().out


def suite(versions, **changed):
    usual = {
        "dataset": versions.a, "model": GOOD, "attacks": "suite", "eps": "0.02,0.1",
        "attack_steps": 1, "suite_steps": 5, "suite_queries": 10, "suite_restarts": 1,
        "suite_eyes": 20, "bootstrap": 100, "precision": "fp32",
    }  # fmt: skip
    evaluate.main(flags(usual | changed))
    return newest("evaluate")


@pytest.mark.slow
def test_evaluate_runs_the_attack_suite_and_keeps_what_it_found(versions, capsys):
    run = suite(versions)
    metrics = run.data.metrics
    assert metrics["test/suite_eyes"] == 20
    assert {"test/min_norm_median_female", "test/min_norm_median_male"} <= set(metrics)
    rows = logged_table(run, "attack_suite.json")
    worst = rows[rows["attack"] == "worst"]
    near, far = (score_of(worst, "accuracy", eps=eps) for eps in (0.02, 0.1))
    assert far.value <= near.value
    assert score_of(worst, "auroc", eps=0.1).low == metrics["test/worst_auroc_low"]
    assert set(rows["attack"]) == {"none", "worst", *ATTACKS}
    assert set(logged_table(run, "min_norm.json")["class"]) == {"female", "male"}
    assert artifact(run, "attack_suite.png").stat().st_size > 10_000
    assert run.data.tags["masking_flags"] == "none"
    assert resolve(GOOD).tags["masking_flags"] == "none"
    recorded = results.predictions(run_id=run.info.run_id)
    counts = recorded.groupby(["attack", "eps"]).size()
    assert counts["square", 0.1] == counts["worst", 0.02] == 20
    assert counts["none", 0.0] == counts["pgd", 0.1] == len(open_dataset(versions.a).split("test"))
    told = capsys.readouterr().out
    assert "attack suite on 20 eyes, test split" in told
    assert "half of the female eyes are flipped by a change of " in told
    assert "no sign of gradient masking" in told


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"attacks": "dlr"}, "attacks=dlr: allowed: none, pgd, suite"),
        ({"eps": 0}, "eps: an attack suite needs a budget, each above 0"),
        ({"suite_eyes": -1}, "suite_eyes=-1: must be at least 0"),
        ({"suite_queries": 0}, "suite_queries=0: must be at least 1"),
        ({"suite_eyes": 1}, "suite_eyes=1: those drawn cannot be measured: holds one class only"),
    ],
)
def test_a_wrong_attack_suite_is_one_line(versions, capsys, values, line):
    with pytest.raises(SystemExit, match="2"):
        suite(versions, **values)
    assert line in capsys.readouterr().err.splitlines()[-1]
