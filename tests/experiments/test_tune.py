"""A study is searched, resumed, refused to others, looked at, and its best parameters train."""

import json

import mlflow
import optuna
import pytest
import torch

from experiments import train, tune
from experiments.running.flags import parse
from experiments.running.resuming import LATER_FLAGS
from experiments.tune import TuneConfig
from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from tests.experiments.conftest import flags, own_client
from tracking.registry import resolve
from tracking.studies import SETTINGS

pytestmark = pytest.mark.usefixtures("unrendered", "unexported")

SMALL = {
    "dataset": "demo/dataset",
    "arch": "test_resnet",
    "weights": "none",
    "epochs": 1,
    "study": "small",
}
SPACE = {
    "lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "batch_size": {"choices": [16, 32]},
    "start": [{"lr": 3e-4, "batch_size": 16}],
}


@pytest.fixture
def small(chain, tmp_path):  # noqa: ARG001 - it works there
    (tmp_path / "space.json").write_text(json.dumps(SPACE))
    return SMALL | {"space": tmp_path / "space.json"}


def runs(name, study):
    client = own_client()
    experiments = [e.experiment_id for e in client.search_experiments()]
    found = client.search_runs(
        experiments, f"run_name LIKE '{name}%'", order_by=["attributes.start_time"]
    )
    return [run for run in found if run.data.tags.get("study") == study]


def test_the_best_of_a_resumed_study_trains(chain, small):
    tune.main(flags(small | {"trials": 1}))
    tune.main(flags(small | {"trials": 3}))
    first, second = runs("tune", "small")
    trials = [runs(f"trial-{number}", "small")[0] for number in range(3)]
    for trial, parent in zip(trials, (first, second, second), strict=True):
        assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert trial.data.tags["state"] == "COMPLETE"
        assert "val/auroc" in trial.data.metrics
    drawn = [(float(t.data.params["lr"]), int(t.data.params["batch_size"])) for t in trials]
    assert drawn[:2] == [(1e-3, 32), (3e-4, 16)]  # the flags as they stand, then the file's start
    assert drawn[2][0] not in {1e-3, 3e-4}
    values = [trial.data.metrics["value"] for trial in trials]
    assert second.data.metrics["val/best_auroc"] == max(values)
    address = f"runs:/{second.info.run_id}/best_parameters.json"
    same = {key: value for key, value in SMALL.items() if key != "study"}
    train.main(flags(same | {"tuned": address, "bootstrap": 50, "register_as": "tuned"}))
    trained = runs("train", None)[-1]
    best = trials[values.index(max(values))].data.params
    assert trained.data.tags["tuned.batch_size"] == best["batch_size"]
    tags = resolve("models:/tuned@candidate").tags
    assert tags["settings_chosen_from"] == "3 trials of study small on val"
    assert tags["epoch_chosen_from"] == "1 epochs by val_auroc on val"
    assert float(trained.data.tags["tuned.lr"]) == float(best["lr"])
    history = own_client().get_metric_history(trained.info.run_id, "learning_rate")
    assert history[0].value == pytest.approx(float(best["lr"]))
    assert (chain.folder / "optuna.db").is_file()
    page = mlflow.artifacts.load_text(f"runs:/{second.info.run_id}/study/index.html")
    for text in ("Study small", "best val_auroc", "How the search went", "trials.csv"):
        assert text in page
    assert page.count("data:image/png;base64,") in {1, 4}  # 1 where the three values are equal


@pytest.mark.slow
def test_the_best_is_retrained_once(small, capsys):
    given = small | {"study": "again", "trials": 1, "retrain": "true", "register_as": "retrained"}
    given |= {"bootstrap": 50, "retrain_epochs": 2}
    tune.main(flags(given))
    assert "trial 0 retrained: models:/retrained/1" in capsys.readouterr().out
    version = resolve("models:/retrained@candidate")
    assert (version.tags["study"], version.tags["trial"]) == ("again", "0")
    trained = mlflow.get_run(version.run_id)
    (parent,) = runs("tune", "again")
    assert trained.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert trained.data.params["epochs"] == "2"
    assert float(trained.data.params["lr"]) == 1e-3
    tune.main(flags(given))
    assert "trial 0 was retrained before: models:/retrained/1" in capsys.readouterr().out


@pytest.mark.slow
def test_the_retraining_keeps_drawn_values_that_its_recipe_would_change(small, tmp_path):
    """The best value is the flag's default, for which the recipe says another."""
    (tmp_path / "own.yaml").write_text("ema: 0.9\nepochs: 3\n")
    space = {"ema": {"choices": [0.0, 0.5]}, "start": [{"ema": 0.0}]}
    (tmp_path / "ema.json").write_text(json.dumps(space))
    given = small | {"study": "recipe", "recipe": tmp_path / "own.yaml", "trials": 1}
    given |= {"space": tmp_path / "ema.json", "bootstrap": 50, "retrain_epochs": 1}
    tune.main(flags(given | {"retrain": "true", "register_as": "mixed"}))
    trained = mlflow.get_run(resolve("models:/mixed@candidate").run_id)
    assert (trained.data.params["ema"], trained.data.params["epochs"]) == ("0.0", "1")
    assert not {name for name in trained.data.tags if name.startswith("recipe.")}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"epochs": 2, "head_epochs": 1, "retrain_epochs": 1}, "retrain_epochs=1: head_epochs=1"),
        ({"method": "pgd", "eps": 0.05}, "eps=0.05: 0.18 grey levels per value"),
        ({"method": "pgd", "space": "eps.json"}, "eps=0.05: 0.18 grey levels per value"),
    ],
)
def test_what_the_retraining_would_refuse_is_refused_before_any_trial(
    small, given, line, capsys, tmp_path
):
    """The smallest radius that may be drawn is what a robust AUROC favours."""
    if "space" in given:
        given = given | {"space": tmp_path / given["space"]}
        given["space"].write_text('{"eps": {"low": 0.05, "high": 3.0}}')
    with pytest.raises(SystemExit, match="2"):
        tune.main(flags(small | {"study": "late", "trials": 1, "retrain": "true"} | given))
    assert line in capsys.readouterr().err.splitlines()[-1]
    assert not runs("trial-0", "late")


def test_start_weights_of_another_file_are_another_study(small, tmp_path, capsys):
    """At the same path; trials from both would be compared."""
    given = small | {"study": "start", "trials": 1, "weights": tmp_path / "start.pth"}
    for seed in (0, 1):
        spec = ClassifierSpec(
            arch="test_resnet", head_hidden=6, mean=(0.5,) * 3, std=(0.5,) * 3, size=64
        )
        torch.save(make_classifier(spec, seed=seed).backbone.state_dict(), tmp_path / "start.pth")
        if seed == 0:
            tune.main(flags(given))
    with pytest.raises(SystemExit, match="2"):
        tune.main(flags(given | {"trials": 2}))
    assert "study=start: was begun with weights_sha256" in capsys.readouterr().err.splitlines()[-1]


def test_another_question_is_refused_in_one_line(small, capsys):
    tune.main(flags(small | {"study": "asked", "trials": 1}))
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        tune.main(flags(small | {"study": "asked", "trials": 2, "epochs": 2, "head_hidden": 8}))
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("tune: study=asked: was begun with ")
    assert "epochs 1, now 2" in said
    assert "head_hidden 256, now 8" in said
    assert runs("tune", "asked")[-1].data.tags["failure"] == said.removeprefix("tune: ")
    assert not runs("trial-1", "asked")


def test_a_study_from_before_a_flag_goes_on(small):
    """What it did then is the flag's default now; nothing was said of it."""
    tune.main(flags(small | {"study": "older", "trials": 1}))
    study = optuna.load_study(study_name="older", storage="sqlite:///optuna.db")
    about = study.user_attrs[SETTINGS]
    assert {"epochs", "arch", "weights"} <= set(about)
    assert not set(about) & set(LATER_FLAGS)
    tune.main(flags(small | {"study": "older", "trials": 2}))
    assert len(runs("trial-1", "older")) == 1


def test_adversarial_training_is_tuned_too(small, tmp_path):
    space = {"lr": {"low": 1e-4, "high": 1e-2, "log": True}}
    (tmp_path / "robust.json").write_text(json.dumps(space))
    given = small | {"study": "robust", "space": tmp_path / "robust.json", "method": "pgd"}
    given |= {"model": "models:/fundus-sex@candidate", "trials": 1, "eps": 1, "attack_steps": 1}
    tune.main(flags(given | {"lr": 0.1}))  # flags that lie outside are not tried
    (trial,) = runs("trial-0", "robust")
    assert trial.data.metrics["val/robust_auroc"] == trial.data.metrics["value"]
    assert float(trial.data.params["lr"]) < 0.1
    (parent,) = runs("tune", "robust")
    best = mlflow.artifacts.load_dict(f"runs:/{parent.info.run_id}/best_parameters.json")
    assert (best["tuned_for"], best["method"]) == ("robustify", "pgd")
    assert "val/best_robust_auroc" in parent.data.metrics
    assert parent.data.tags["model_version"] == resolve("models:/fundus-sex@candidate").uri


def test_several_processes_are_not_begun_by_torchrun(small, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(SystemExit, match="2"):
        tune.main(flags(small))
    assert "torchrun: 4 processes, but this entry point runs as one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"timeout": -1}, "timeout=-1: must be at least 0"),
        ({"trials": 0}, "trials=0: must be at least 1"),
        ({"heartbeat": 0}, "heartbeat=0: must be at least 1"),
        ({"retrain_epochs": -1}, "retrain_epochs=-1: must be at least 0"),
        ({"pruner": "best"}, "pruner=best: allowed: hyperband, asha, median, none"),
        ({"metric": "loss"}, "metric=loss: allowed: auto, val_auroc, val_loss, robust_val_auroc"),
        ({"metric": "robust_val_auroc"}, "metric=robust_val_auroc: method=clean attacks nothing"),
        ({"method": "magic"}, "method=magic: allowed: "),
    ],
)
def test_values_outside_their_range(given, said):
    with pytest.raises(InputError, match=said):
        TuneConfig(dataset="any", **given)


def test_a_password_in_a_flag_is_refused_and_not_repeated():
    address = "postgresql+psycopg://u{}@host/studies"
    given = ["--dataset", "any", "--storage"]
    with pytest.raises(InputError, match="leave it to PGPASSWORD") as told:
        parse(TuneConfig, [*given, address.format(":secret")], name="tune")
    assert "secret" not in str(told.value)
    assert parse(TuneConfig, [*given, address.format("")], name="tune").storage


def test_what_is_sought_follows_the_method():
    assert TuneConfig(dataset="any").sought == "val_auroc"
    assert TuneConfig(dataset="any", method="pgd").sought == "robust_val_auroc"
    assert TuneConfig(dataset="any", method="pgd", metric="val_loss").sought == "val_loss"
