import pytest
from mlflow import MlflowClient

from tests.tracking.study_workers import SPACE, quadratic
from tracking.errors import TrackingError
from tracking.registry import resolve
from tracking.retraining import retrain_once
from tracking.runs import start_run
from tracking.studies import open_study
from tracking.study_locks import locked
from tracking.trial_claims import claim


@pytest.fixture
def study(version):  # noqa: ARG001 - in its store
    """Three trials; the start, number 0, is the best."""
    study = open_study("lr", space=SPACE, seed=0, starts=[{"lr": 1e-3, "optimizer": "sgd"}])
    for number in range(3):
        trial = claim(study, number + 1)
        study.optuna.tell(trial, quadratic(trial.params["lr"]))
    return study


def retrained(study, version, **how):
    """What was said, and what the training was called with."""
    seen = []
    with start_run("tune", {}) as run:
        said = retrain_once(study, lambda values: seen.append(values) or version, run=run, **how)
    assert MlflowClient().get_run(run.run_id).data.tags["retrained"] == said
    return said, seen


def test_the_best_is_retrained_once_and_credited(study, version):
    said, seen = retrained(study, version, epochs=30)
    assert said == "trial 0 retrained: models:/fundus-sex/1"
    assert seen == [{"lr": 1e-3, "optimizer": "sgd"}]
    tags = resolve(version.uri).tags
    assert (tags["study"], tags["trial"]) == ("lr", "0")
    assert tags["settings_chosen_from"] == "3 trials of study lr on val"
    assert MlflowClient().get_logged_model(version.model_id).tags["study"] == "lr"
    said, seen = retrained(study, version, epochs=30)
    assert said == "trial 0 was retrained before: models:/fundus-sex/1"
    assert seen == []
    assert len(retrained(study, version, epochs=31)[1]) == 1


def test_a_version_that_is_gone_is_retrained(study, version):
    retrained(study, version, epochs=30)
    MlflowClient().delete_model_version(version.name, str(version.version))
    with start_run("tune", {}) as run, pytest.raises(RuntimeError, match="trained again"):
        retrain_once(study, trained_again, run=run, epochs=30)


def trained_again(values):  # noqa: ARG001 - the training it stands for takes them
    raise RuntimeError("trained again")


def test_two_workers_do_not_retrain_together(study, version):
    with locked(study.uri, "retrain lr"):
        said, seen = retrained(study, version, epochs=30)
    assert said == "another worker retrains trial 0"
    assert seen == []


def test_a_better_trial_is_retrained_again(study, version):
    retrained(study, version, epochs=30)
    study.optuna.tell(claim(study, 4), 2.0)
    assert retrained(study, version, epochs=30)[0].startswith("trial 3 retrained")


def test_a_study_without_a_complete_trial_retrains_nothing(version):
    study = open_study("empty", space=SPACE, seed=0)
    with pytest.raises(TrackingError, match="'empty' has no complete trial"):
        retrained(study, version)
