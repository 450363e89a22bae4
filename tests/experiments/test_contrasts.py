"""Another question than sex, from a table of one's own to a robust version and its refusals."""

import mlflow
import pandas as pd
import pytest

from experiments import compare, evaluate, modulate, preprocess, real_eyes, robustify, train, tune
from tests.experiments.conftest import enter, flags
from tests.experiments.photographs import write_photographs
from tests.experiments.tiny_versions import logged_table, newest
from tracking import registry, results

pytestmark = pytest.mark.usefixtures("unrendered", "unexported")

NETWORK = {"arch": "test_resnet", "weights": "none", "epochs": 1, "batch_size": 8, "bootstrap": 50}
SIDES = NETWORK | {"dataset": "data", "contrast": "eye", "augment": "none"}
"""Left and right are no question of eyes that are mirrored."""


@pytest.fixture(scope="module")
def smokers_once(tmp_path_factory):
    """Photographs of 40 people in a table that says who smokes, preprocessed."""
    folder = tmp_path_factory.mktemp("smokers")
    write_photographs(folder / "own", people=40)
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        own = {"source": "folder", "root": "own", "out": "data", "size": 32, "workers": 1}
        few = {"permutations": 20, "test_fraction": 0.3, "val_fraction": 0.3}
        few |= {"regions": "no", "same_person": "false"}
        preprocess.main(flags(own | few))
        train.main(flags(SIDES))
    return folder


@pytest.fixture
def smokers(smokers_once, monkeypatch):
    enter(smokers_once, monkeypatch)
    return smokers_once


def refused(capsys, module, **values):
    with pytest.raises(SystemExit, match="2"):
        module.main(flags(values))
    return capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]


@pytest.mark.usefixtures("smokers")
def test_a_version_says_what_it_answers_and_who_was_left_out():
    version = registry.resolve("models:/fundus-eye@candidate")
    assert (version.tags["contrast"], version.classes) == ("eye", ("left", "right"))
    run = newest("train")
    assert run.data.tags["contrast"] == "eye"
    assert {"left", "right"} <= set(logged_table(run, "subgroups.json"))
    assert run.data.metrics["test/auroc_per_person"] >= 0


@pytest.mark.slow
@pytest.mark.usefixtures("smokers")
def test_what_follows_asks_the_same(capsys):
    """Without a flag: the labels are those of the version, in scores and in robust training."""
    given = {"dataset": "data", "model": "models:/fundus-eye/1", "bootstrap": 50}
    suite = {"attacks": "suite", "suite_steps": 2, "suite_restarts": 1, "suite_queries": 2}
    evaluate.main(flags(given | suite | {"eps": "0.1", "attack_steps": 1}))
    said = capsys.readouterr()
    assert "half of the left eyes are flipped" in said.out
    assert "right above logit" in said.out + said.err
    kept = results.predictions(model="models:/fundus-eye/1").query("attack == 'clean'")
    assert kept["label"].eq(kept["image_id"].map(sides())).all()
    short = {"eps": 0.1, "method": "fast", "epochs": 1, "attack_steps": 1, "gate": "false"}
    short |= {"augment": "none"}
    robustify.main(flags(given | short | {"batch_size": 8}))
    robust = registry.resolve("models:/fundus-eye/2")
    assert robust.tags["contrast"] == "eye"
    assert robust.tags["parent_version"] == "models:/fundus-eye/1"


def sides():
    frame = pd.read_parquet("data/manifest.parquet")
    return dict(zip(frame["image_id"], frame["eye"].eq("right").astype(int), strict=True))


@pytest.mark.usefixtures("smokers")
def test_a_study_tunes_it():
    small = SIDES | {"trials": 1, "study": "sides"}
    tune.main(flags({k: v for k, v in small.items() if k != "bootstrap"}))
    assert newest("tune").data.tags["contrast"] == "eye"


@pytest.mark.usefixtures("smokers")
def test_left_and_right_are_refused_where_eyes_are_mirrored(capsys, tmp_path):
    """In every entry point that trains, before it does, whatever recipe says so."""
    told = "contrast=eye: augment=flip mirrors a left eye into a right one; give augment=none"
    small = {"dataset": "data", "contrast": "eye"}
    assert refused(capsys, train, **NETWORK, **small) == f"train: {told}"
    assert refused(capsys, tune, arch="test_resnet", weights="none", **small) == f"tune: {told}"
    start = {"dataset": "data", "model": "models:/fundus-eye/1", "eps": 0.1, "gate": "false"}
    assert refused(capsys, robustify, **start) == f"robustify: {told}"
    release = {"source": "odir", "root": "own", "weights": "none"}
    assert refused(capsys, real_eyes, contrasts="sex,eye", **release) == f"real_eyes: {told}"
    recipe = tmp_path / "mirrored.yaml"
    recipe.write_text("augment: none\nboth_flips: true\n")
    said = refused(capsys, train, recipe=recipe, **NETWORK, **small)
    assert said.startswith("train: contrast=eye: both_flips answers alike for a left eye")


@pytest.mark.usefixtures("smokers")
@pytest.mark.parametrize(
    ("contrast", "line"),
    [
        ("glaucoma", "not in this dataset; offered: sex, eye, age>NUMBER, smoker"),
        ("age>10", "age holds no numbers"),
    ],
)
def test_what_the_dataset_does_not_say_is_refused(capsys, contrast, line):
    said = refused(capsys, train, dataset="data", contrast=contrast, **NETWORK)
    assert said == f"train: dataset=folder: contrast={contrast}: {line}"
    assert mlflow.last_active_run().info.status == "FAILED"


@pytest.mark.usefixtures("smokers")
def test_people_who_say_nothing_are_counted(capsys, monkeypatch):
    """A column of one's own, kept with the table; some people left it empty."""
    said = refused(capsys, train, dataset="data", contrast="smoker", **NETWORK)
    assert "contrast=smoker: " in said
    assert said.endswith("; 30 are needed")
    monkeypatch.setattr("fundus_ml.data.contrasts.FEWEST_PEOPLE", 5)
    train.main(flags(NETWORK | {"dataset": "data", "contrast": "smoker"}))
    told = capsys.readouterr().err
    manifest = pd.read_parquet("data/manifest.parquet")
    empty = int(manifest["smoker"].fillna("").eq("").sum())
    assert f"left out: {empty} smoker unknown" in told
    assert registry.resolve("models:/fundus-smoker/1").classes == ("no", "yes")


@pytest.mark.slow
@pytest.mark.usefixtures("smokers")
def test_versions_of_two_questions_are_not_compared(capsys):
    train.main(flags(NETWORK | {"dataset": "data", "register_as": "other"}))
    said = refused(capsys, compare, dataset="data", models="models:/fundus-eye/1,models:/other/1")
    assert said.endswith(
        "models answer different questions: models:/fundus-eye/1 eye, models:/other/1 sex"
    )


@pytest.mark.usefixtures("smokers")
def test_eyes_are_pushed_towards_its_classes(capsys):
    """Targets and pictures carry their names; a sex is none of them."""
    quick = {"eps": "1", "images": 2, "attack_steps": 1, "min_norm_steps": 0, "controls": "false"}
    given = quick | {"dataset": "data", "model": "models:/fundus-eye/1", "bootstrap": 20}
    modulate.main(flags(given))
    kept = results.modulations(model="models:/fundus-eye/1")
    assert kept["target"].tolist() == [("right", "left")[label] for label in kept["label"]]
    modulate.main(flags(given | {"mode": "right"}))
    frame = results.modulations(model="models:/fundus-eye/1")
    assert set(frame.loc[frame["mode"] == "right", "target"]) == {"right"}
    said = refused(capsys, modulate, **given | {"mode": "female"})
    assert said == "modulate: mode=female: allowed: flip, left, right, disrupt, enhance"
