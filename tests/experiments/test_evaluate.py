"""`evaluate` fits what it reads logits by on validation, keeps it with the version, says it all."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.artifacts import download_artifacts
from scipy.special import expit
from sklearn.metrics import balanced_accuracy_score, brier_score_loss

from experiments import evaluate
from fundus_ml.data.manifest import read_manifest, write_manifest
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.record import MANIFEST, read_dataset_json
from fundus_ml.evaluation.calibration import Calibration, fit_calibration
from fundus_ml.evaluation.metrics import MEASURES
from fundus_ml.evaluation.scores import per_person, predictions, score_of
from tests.experiments.conftest import SMALL, flags, own_client
from tests.experiments.tiny_versions import newest
from tests.fundus_ml.tiny_eyes import write_record
from tracking import registry
from tracking.run_tables import run_table

pytestmark = pytest.mark.usefixtures("unrendered")

FIGURES = ("roc.png", "auroc_by_eps.png", "reliability.png", "calibration.json", "scores.json",
           "subgroups.json")  # fmt: skip


def text(run, name):
    return Path(download_artifacts(run_id=run.info.run_id, artifact_path=name)).read_text()


def artifact(run, name):
    return json.loads(text(run, name))


def start(chain, **values):
    clean = chain.summary["models"]["clean"]
    usual = {"dataset": chain.dataset, "eps": 0, "bootstrap": 50, "model": clean}
    evaluate.main(flags(usual | values))
    return newest("evaluate")


@pytest.fixture
def clean(chain):
    """Logits of the clean version on validation and test eyes, scored apart."""
    model = registry.load_classifier(chain.summary["models"]["clean"])
    dataset = open_dataset(chain.dataset)
    return {
        split: predictions(
            model, dataset.split(split), constraint="l2", eps=(), attack_steps=1,
            step_size="auto", batch_size=8,
        )
        for split in ("val", "test")
    }  # fmt: skip


def test_the_threshold_and_the_temperature_are_those_of_validation(chain, clean, capsys):
    run = start(chain)
    record = artifact(run, "calibration.json")
    wanted = fit_calibration(clean["val"]["label"], clean["val"]["logit"])
    assert record["temperature"] == pytest.approx(wanted.temperature, rel=1e-3)
    assert record["threshold"] == pytest.approx(wanted.threshold, abs=1e-4)
    assert set(record["effect"]) == {"val", "test"}
    assert f"fitted to {len(clean['val'])} validation eyes" in capsys.readouterr().out
    test, metrics = clean["test"], run.data.metrics
    called = test["logit"] > record["threshold"]
    assert metrics["test/balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(test["label"], called)
    )
    people = per_person(test)
    scaled = expit(people["logit"] / record["temperature"])
    kept = score_of(run_table("scores", run_id=run.info.run_id), "brier_calibrated", per="person")
    assert kept.value == pytest.approx(brier_score_loss(people["label"], scaled), abs=1e-4)


def test_versions_carry_them_from_the_training_on(chain):
    """All versions of the chain, the one that `train` measured as `evaluate` does after it."""
    for name, uri in chain.summary["models"].items():
        tags = registry.resolve(uri).tags
        assert tags["calibrated_on"] == open_dataset(chain.dataset).digest, name
        assert Calibration.from_tags(tags).temperature > 0
    clean = registry.resolve(chain.summary["models"]["clean"])
    training = own_client().get_run(clean.run_id)
    trained, kept = artifact(training, "calibration.json"), Calibration.from_tags(clean.tags)
    assert kept.temperature == pytest.approx(trained["temperature"], rel=1e-3)


def test_a_run_leaves_tables_and_figures(chain, capsys):
    run = start(chain, eps=SMALL["eps"], attack_steps=2)
    client = own_client()
    assert set(FIGURES) <= {file.path for file in client.list_artifacts(run.info.run_id)}
    table = artifact(run, "scores.json")
    rows = pd.DataFrame(table["data"], columns=table["columns"])
    assert rows.groupby(["attack", "per"], sort=False).size().to_dict() == {
        (attack, per): len(MEASURES) for attack in ("none", "pgd") for per in ("eye", "person")
    }
    assert (rows["low"] <= rows["high"]).all()
    table = artifact(run, "subgroups.json")
    groups = pd.DataFrame(table["data"], columns=table["columns"])
    eyes = len(open_dataset(chain.dataset).split("test"))
    assert set(groups.groupby("attribute")["eyes"].sum()) == {eyes}
    assert groups.loc[groups["auroc"].isna(), "reason"].ne("").all()
    printed = capsys.readouterr().out
    for said in (
        "clean, per person",
        "PGD, eps 1, per eye",
        "the shortcut baseline of this",
    ):
        assert said in printed
    kept = text(run, "scores.txt")
    tables = [line for line in printed.splitlines() if not line.startswith("precision=auto")]
    assert all(said in kept for said in (*tables[:11], "too few: women"))
    assert "too few: women" not in printed


def test_the_validation_split_can_be_the_one_scored(chain, capsys):
    run = start(chain, split="val")
    assert set(artifact(run, "calibration.json")["effect"]) == {"val"}
    assert "the ones scored here, whom both flatter" in capsys.readouterr().out
    assert "val/auroc_low" in run.data.metrics


def test_a_version_can_bring_its_own(chain):
    """Whatever the validation eyes of the dataset would say."""
    version = registry.resolve(chain.summary["models"]["robust"])
    kept = {name: version.tags[name] for name in ("temperature", "threshold", "calibrated_on")}
    other = {"temperature": "2.5", "threshold": "0.125", "calibrated_on": "elsewhere"}
    registry.tag_version(version, other)
    try:
        run = start(chain, model=version.uri, calibration="version")
        record = artifact(run, "calibration.json")
        assert (record["temperature"], record["threshold"]) == (2.5, 0.125)
        assert record["fitted_on"] == "stored with the version"
        # Fitting on this dataset leaves what was fitted on another one alone.
        start(chain, model=version.uri)
        assert registry.resolve(version.uri).tags | other == registry.resolve(version.uri).tags
    finally:
        registry.tag_version(version, kept)


def without(chain, folder, split, *, label=None):
    """The dataset with a split emptied into train, or left with one sex."""
    shutil.copytree(chain.dataset, folder)
    frame = read_manifest(folder / MANIFEST)
    gone = frame["split"].eq(split) & (frame["label"].ne(label) if label is not None else True)
    frame.loc[gone, "split"] = "train"
    record = read_dataset_json(folder)
    write_manifest(frame, folder / MANIFEST)
    write_record(folder, record, kinds=("pixels", "regions"), described=True)
    return str(folder)


@pytest.mark.parametrize(
    "case",
    [
        (None, "test", "can set neither threshold nor temperature: split=val: no eye of synthetic"),
        (1, "test", "can set neither threshold nor temperature: holds one class only, both are"),
        (1, "val", "val split of synthetic cannot be measured: holds one class only, both are"),
    ],
)
def test_validation_eyes_of_one_sex_or_none_are_refused(chain, tmp_path, capsys, case):
    label, split, line = case
    dataset = without(chain, tmp_path / "data", "val", label=label)
    with pytest.raises(SystemExit, match="2"):
        start(chain, dataset=dataset, split=split)
    assert line in capsys.readouterr().err.splitlines()[-1]
    if split == "test":
        start(chain, dataset=dataset, calibration="version")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"calibration": "test"}, "evaluate: calibration=test: allowed: validation, version"),
        ({"calibration": "version"}, "/1: stored calibration: could not convert string to float"),
    ],
)
def test_a_wrong_calibration_is_refused(chain, capsys, values, line):
    version = registry.resolve(chain.summary["models"]["clean"])
    kept = version.tags["temperature"]
    registry.tag_version(version, {"temperature": "warm"})
    try:
        with pytest.raises(SystemExit, match="2"):
            start(chain, **values)
    finally:
        registry.tag_version(version, {"temperature": kept})
    assert line in capsys.readouterr().err.splitlines()[-1]
    assert np.isfinite(float(kept))
