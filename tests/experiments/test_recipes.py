"""Recipes: values of flags from a file, and what is said of a file that is none."""

import shutil

import mlflow
import pytest

from experiments import train
from experiments.robustify import RobustifyConfig
from experiments.running.recipes import RECIPES, with_recipe
from experiments.train import TrainConfig
from experiments.tune import TuneConfig
from fundus_ml.errors import InputError
from tests.experiments.conftest import flags
from tracking import SilentRun


class Kept(SilentRun):
    """A run whose tags can be looked at."""

    def __init__(self):
        self.tags = {}

    def set_tags(self, tags):
        self.tags |= tags


def recipe(folder, text):
    (folder / "own.yaml").write_text(text)
    return str(folder / "own.yaml")


def test_a_recipe_fills_the_flags_that_have_their_default(tmp_path):
    given = recipe(tmp_path, "epochs: 7\nlr: 2e-4\nfreeze: 3\nboth_flips: true\nhead: multiscale\n")
    run = Kept()
    config = with_recipe(TrainConfig(dataset="d", recipe=given, lr=0.5, batch_size=9), run)
    assert (config.epochs, config.freeze, config.both_flips) == (7, "3", True)
    assert (config.lr, config.batch_size, config.dataset) == (0.5, 9, "d")
    assert run.tags == {
        "recipe.epochs": "7", "recipe.lr": "0.5", "recipe.freeze": "3",
        "recipe.both_flips": "True", "recipe.head": "multiscale",
    }  # fmt: skip


def test_without_one_nothing_changes():
    config = TrainConfig(dataset="d")
    assert with_recipe(config, Kept()) is config


@pytest.mark.parametrize("name", [file.stem for file in sorted(RECIPES.glob("*.yaml"))])
def test_the_projects_own_are_accepted(name):
    classes = [RobustifyConfig] if name == "robust" else [TrainConfig, TuneConfig]
    for config_class in classes:
        config = with_recipe(config_class(dataset="d", recipe=name), Kept())
        assert config != config_class(dataset="d", recipe=name)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("epoch: 7\n", r"own.yaml: unknown key epoch; near it: epochs"),
        ("qqq: 7\n", r"own.yaml: unknown key qqq; allowed: accumulate, "),
        ("dataset: elsewhere\n", r"own.yaml: unknown key dataset"),
        ("epochs: many\n", r"own.yaml: epochs=many: must be a whole number"),
        ("epochs: 0\n", r"own.yaml: epochs=0: must be at least 1"),
        ("- epochs\n", r"own.yaml: must be flags and their values"),
        ("epochs: [1, 2]\n", r"own.yaml: must be flags and their values"),
        ("epochs: {\n", r"own.yaml: not YAML"),
        ("", r"own.yaml: must be flags and their values"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_in_one_line(tmp_path, text, line):
    given = recipe(tmp_path, text)
    with pytest.raises(InputError, match=line) as raised:
        with_recipe(TrainConfig(dataset="d", recipe=given), Kept())
    assert "\n" not in str(raised.value)


def test_a_recipe_that_is_not_there_names_those_that_are():
    with pytest.raises(InputError, match=r"recipe=prob: no readable file .* own are .*probe"):
        with_recipe(TrainConfig(dataset="d", recipe="prob"), Kept())


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered", "unexported")
@pytest.mark.parametrize("freeze", ["backbone", "none"])
def test_a_bag_trains_says_its_field_and_is_registered(chain, tmp_path, capsys, freeze):
    given = recipe(tmp_path, f"head: bag\nfreeze: {freeze}\nboth_flips: true\nepochs: 1\n")
    small = {"dataset": chain.dataset, "arch": "test_resnet", "weights": "none", "bootstrap": 50}
    train.main(flags({**small, "recipe": given, "batch_size": 16, "register_as": "bag"}))
    assert "read in patches of 31 pixels, every 4 pixels" in capsys.readouterr().out
    import tracking  # noqa: PLC0415

    classifier = tracking.load_classifier("models:/bag/1")
    assert classifier.spec.head == "bag"
    assert classifier.evidence_is_signed
    for path in (chain.folder / "checkpoints").glob("features-*"):
        shutil.rmtree(path)  # the chain is shared


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered", "unexported")
def test_a_probe_trains_and_is_registered(chain, tmp_path):
    """Frozen levels, features stored once, both flips: the version loads and scores."""
    given = recipe(
        tmp_path, "head: multiscale\nfreeze: backbone\nboth_flips: true\nepochs: 3\nlr: 0.01\n"
    )
    small = {"dataset": chain.dataset, "arch": "test_resnet", "weights": "none", "bootstrap": 50}
    train.main(flags({**small, "recipe": given, "batch_size": 16, "register_as": "probe"}))
    run = mlflow.last_active_run()
    assert run.data.tags["recipe.head"] == "multiscale"
    assert len(mlflow.MlflowClient().get_metric_history(run.info.run_id, "val/auroc")) == 3
    import tracking  # noqa: PLC0415

    classifier = tracking.load_classifier("models:/probe/1")
    assert (classifier.spec.head, classifier.spec.both_flips) == ("multiscale", True)
    stored = list((chain.folder / "checkpoints").iterdir())
    assert [path.name.split("-")[0] for path in stored] == ["features", "features"]
    half = {"recipe": given, "train_people": 0.5, "batch_size": 16, "register_as": "probe"}
    train.main(flags(small | half))
    assert list((chain.folder / "checkpoints").iterdir()) == stored  # of all people, found again
    fewer = mlflow.last_active_run()
    assert fewer.data.metrics["train/loss"] != run.data.metrics["train/loss"]
    for path in stored:
        shutil.rmtree(path)  # the chain is shared
