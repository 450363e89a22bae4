import math

import mlflow
import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from tracking import studies
from tracking.errors import TrackingError
from tracking.runs import start_run

pytestmark = pytest.mark.usefixtures("registered")

SPACE = {
    "lr": {"low": 1e-5, "high": 1e-1, "log": True},
    "dropout": {"low": 0.0, "high": 0.5, "step": 0.25},
    "depth": {"low": 1, "high": 3},
    "optimizer": {"choices": ["adamw", "sgd"]},
}


def quadratic(trial):
    """Best at lr = 1e-3; epochs approach the value from below."""
    lr = trial.suggest(SPACE)["lr"]
    value = 1 - (math.log10(lr) + 3) ** 2
    for epoch in range(2):
        trial.report(value - 1 / (epoch + 1), epoch)
    return value


def open_study(name="lr", **others):
    return studies.open_study(name, seed=0, **others)


def children(parent):
    found = MlflowClient().search_runs(
        [MlflowClient().get_run(parent.run_id).info.experiment_id],
        f"tags.`mlflow.parentRunId` = '{parent.run_id}'",
        order_by=["attributes.start_time"],
    )
    return sorted(found, key=lambda run: run.info.run_name)


def run(study, objective, trials, **others):
    with start_run("tune", {}) as parent:
        studies.run_trials(study, objective, trials=trials, **others)
    return parent


def test_every_trial_is_a_nested_run():
    study = open_study()
    parent = run(study, quadratic, 3)
    runs = children(parent)
    assert [r.info.run_name for r in runs] == ["trial-0", "trial-1", "trial-2"]
    for trial, nested in zip(study.trials, runs, strict=True):
        assert nested.info.status == "FINISHED"
        assert nested.data.tags["state"] == trial.state.name == "COMPLETE"
        assert float(nested.data.params["lr"]) == trial.params["lr"]
        assert nested.data.params["optimizer"] == trial.params["optimizer"]
        assert nested.data.metrics["value"] == trial.value
        points = MlflowClient().get_metric_history(nested.info.run_id, "objective")
        assert {point.step: point.value for point in points} == trial.intermediate_values


def test_drawn_values_lie_in_the_space():
    drawn = []
    run(open_study(), lambda trial: drawn.append(trial.suggest(SPACE)) or 0.0, 6)
    for values in drawn:
        assert 1e-5 <= values["lr"] <= 1e-1
        assert values["dropout"] in {0.0, 0.25, 0.5}
        assert values["depth"] in {1, 2, 3}
        assert isinstance(values["depth"], int)
        assert values["optimizer"] in {"adamw", "sgd"}


def test_the_best_is_handed_back():
    study = open_study()
    run(study, quadratic, 6)
    best = max(study.trials, key=lambda trial: trial.value)
    assert studies.best_parameters(study) == best.params
    assert set(studies.best_parameters(study)) == set(SPACE)


def test_the_same_seed_draws_the_same():
    drawn = []
    for name in ("one", "two"):
        study = open_study(name)
        run(study, quadratic, 3)
        drawn.append([trial.params for trial in study.trials])
    assert drawn[0] == drawn[1]


def test_a_failing_trial_is_recorded_and_the_study_goes_on(caplog):
    def sometimes(trial):
        value = trial.suggest(SPACE)["lr"]
        if trial.number == 1:
            raise RuntimeError("out of memory")
        return math.nan if trial.number == 2 else value

    study = open_study()
    parent = run(study, sometimes, 4)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    runs = children(parent)
    assert [nested.data.tags["state"] for nested in runs] == states
    assert [nested.info.status for nested in runs] == ["FINISHED", "FAILED", "FAILED", "FINISHED"]
    assert runs[1].data.tags["failure"] == "RuntimeError: out of memory"
    assert runs[2].data.tags["failure"] == "the objective returned nan; must be a number"
    assert MlflowClient().get_run(parent.run_id).info.status == "FINISHED"
    assert "trial 1 failed: RuntimeError: out of memory" in caplog.messages


def test_a_hopeless_trial_is_pruned():
    def worsening(trial):
        trial.suggest(SPACE)
        for epoch in range(3):
            trial.report(-trial.number, epoch)
        return -trial.number

    pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=1)
    study = open_study(pruner=pruner)
    parent = run(study, worsening, 3)
    assert [t.state.name for t in study.trials] == ["COMPLETE", "PRUNED", "PRUNED"]
    pruned = children(parent)[1]
    assert pruned.data.tags["state"] == "PRUNED"
    assert pruned.info.status == "FINISHED"
    assert "failure" not in pruned.data.tags
    points = MlflowClient().get_metric_history(pruned.info.run_id, "objective")
    assert [point.step for point in points] == [0, 1]


def test_a_stopped_study_is_resumed():
    def stop_at_one(trial):
        if trial.number == 1:
            raise KeyboardInterrupt
        return quadratic(trial)

    with pytest.raises(KeyboardInterrupt), start_run("tune", {}) as parent:
        studies.run_trials(open_study(), stop_at_one, trials=3)
    assert [nested.info.status for nested in children(parent)] == ["FINISHED", "KILLED"]
    study = open_study()
    seen = []
    run(study, quadratic, 3, on_trial=lambda trial: seen.append((trial.number, trial.state)))
    assert seen == [(2, TrialState.COMPLETE)]
    run(study, quadratic, 3)
    assert len(study.trials) == 3


def test_no_trial_begins_after_the_timeout():
    study = open_study()
    run(study, quadratic, 3, timeout=0)
    assert study.trials == []


def test_a_study_can_be_minimised():
    study = open_study(direction="minimize")
    run(study, quadratic, 3)
    assert study.best_value == min(trial.value for trial in study.trials)


def test_a_study_without_a_complete_trial_has_no_best():
    study = open_study()
    with pytest.raises(TrackingError, match=r"'lr' has no complete trial \(none begun\)"):
        studies.best_parameters(study)
    run(study, lambda _: math.nan, 2)
    with pytest.raises(TrackingError, match=r"no complete trial \(FAIL, FAIL\); see the tag"):
        studies.best_parameters(study)


@pytest.mark.parametrize(
    "entry",
    [
        {"low": 1.0},
        {"low": 2.0, "high": 1.0},
        {"low": "a", "high": "b"},
        {"low": 0, "high": 1, "lgo": True},
        {"choices": []},
        {"choices": ["a"], "log": True},
        [1, 2],
    ],
)
def test_a_space_nothing_can_be_drawn_from_is_refused(entry):
    with pytest.raises(TrackingError, match=r"search space of 'lr' is .*; must be low and high"):
        studies.check_space({"lr": entry})


def test_the_study_is_drawn_on_the_parent_run():
    study = open_study()
    with start_run("tune", {}) as parent:
        studies.run_trials(study, quadratic, trials=4)
        studies.log_study(study, parent)
    paths = {entry.path for entry in MlflowClient().list_artifacts(parent.run_id, "study")}
    assert paths == {"study/trials.csv", "study/history.png", "study/importance.png"}
    table = mlflow.artifacts.load_text(parent.artifact_uri("study/trials.csv"))
    assert len(table.splitlines()) == 5


@pytest.mark.parametrize("value", [0.5, math.nan])
def test_a_study_with_nothing_to_compare_is_still_logged(value):
    study = open_study()
    with start_run("tune", {}) as parent:
        studies.run_trials(study, lambda _: value, trials=2)
        studies.log_study(study, parent)
    paths = {entry.path for entry in MlflowClient().list_artifacts(parent.run_id, "study")}
    assert "study/trials.csv" in paths
    assert "study/importance.png" not in paths
