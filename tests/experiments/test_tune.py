"""A study is searched, resumed, and its best parameters train."""

import json

import pytest
from mlflow import MlflowClient

from experiments import train, tune
from experiments.tune import TuneConfig, read_space
from fundus_ml.errors import InputError
from tests.experiments.conftest import flags

SMALL = {
    "dataset": "demo/dataset",
    "arch": "resnet18",
    "weights": "none",
    "epochs": 1,
    "study": "small",
}


def runs(name):
    client = MlflowClient("sqlite:///mlflow.db")
    experiments = [e.experiment_id for e in client.search_experiments()]
    found = client.search_runs(experiments, order_by=["attributes.start_time"])
    finished = [run for run in found if run.info.status == "FINISHED"]
    return [run for run in finished if run.info.run_name == name]


def test_the_best_of_a_resumed_study_trains(chain, tmp_path):
    space = {
        "lr": {"low": 1e-4, "high": 1e-2, "log": True},
        "batch_size": {"choices": [16, 32]},
    }
    (tmp_path / "space.json").write_text(json.dumps(space))
    given = SMALL | {"space": tmp_path / "space.json"}
    tune.main(flags(given | {"trials": 1}))
    tune.main(flags(given | {"trials": 2}))
    first, second = runs("tune")
    for number, parent in enumerate((first, second)):
        (trial,) = runs(f"trial-{number}")
        assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert trial.data.tags["state"] == "COMPLETE"
        assert set(space) <= set(trial.data.params)
        assert "val_auroc" in trial.data.metrics
    drawn = [runs(f"trial-{number}")[0].data.params["lr"] for number in range(2)]
    assert drawn[0] != drawn[1], "a study that goes on must not repeat its first draw"
    values = [runs(f"trial-{number}")[0].data.metrics["value"] for number in range(2)]
    assert second.data.metrics["best_val_auroc"] == max(values)
    address = f"runs:/{second.info.run_id}/best_parameters.json"
    small = {key: value for key, value in SMALL.items() if key != "study"}
    train.main(flags(small | {"tuned": address, "bootstrap": 50, "register_as": "tuned"}))
    trained = runs("train")[-1]
    best = runs(f"trial-{values.index(max(values))}")[0].data.params
    assert trained.data.tags["tuned.batch_size"] == best["batch_size"]
    assert float(trained.data.tags["tuned.lr"]) == float(best["lr"])
    history = MlflowClient("sqlite:///mlflow.db").get_metric_history(trained.info.run_id, "lr")
    assert history[0].value == pytest.approx(float(best["lr"]))
    assert (chain.folder / "optuna.db").is_file()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not a readable JSON file"),
        ("[]", "must be an object with keys among"),
        ('{"colour": {"choices": [1]}}', "must be an object with keys among"),
        ('{"lr": {"low": 2, "high": 1}}', "search space of 'lr'"),
    ],
)
def test_a_space_that_cannot_be_drawn_from(tmp_path, content, said):
    (tmp_path / "space.json").write_text(content)
    with pytest.raises(ValueError, match=said):
        read_space(TuneConfig(dataset="any", space=str(tmp_path / "space.json")))


def test_the_default_space_can_be_drawn_from():
    assert set(read_space(TuneConfig(dataset="any"))) >= {"lr", "weight_decay", "optimizer"}


def test_a_timeout_is_not_negative():
    with pytest.raises(InputError, match=r"timeout=-1: must be 0 or more"):
        TuneConfig(dataset="any", timeout=-1)
