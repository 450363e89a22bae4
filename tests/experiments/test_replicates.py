"""Several networks by one command: null models or not, killed midway, from stored features."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import robustify, train
from experiments.recording import split_scores
from experiments.recording.shortcut_baseline import audit_of
from experiments.robustify import RobustifyConfig
from experiments.running.stopping import Stopped
from fundus_ml.data.opening import open_dataset
from fundus_ml.errors import InputError
from fundus_ml.statistics.clustered import auroc
from fundus_ml.training import predict
from tests.experiments.conftest import flags
from tests.experiments.tiny_versions import artifact, logged_table, newest
from tracking.registry import find_alias, load_classifier, resolve
from tracking.stores import initialise_tracking

pytestmark = pytest.mark.usefixtures("unrendered", "unexported")

SMALL = {
    "arch": "test_resnet", "weights": "none", "head_hidden": 6, "epochs": 1, "batch_size": 16,
    "bootstrap": 50, "precision": "fp32",
}  # fmt: skip


def killed_at(seed, asked, monkeypatch):
    """Ask for networks and be killed at the one of ``seed``."""

    def killed(config, *given, **how):
        if config.seed == seed:
            raise Stopped(15)
        return whole(config, *given, **how)

    whole = train.train_one
    with monkeypatch.context() as patch:
        patch.setattr(train, "train_one", killed)
        with pytest.raises(SystemExit):
            train.main(flags(asked))


@pytest.mark.slow
def test_null_models_that_were_killed_go_on_with_the_one_they_were_at(
    versions, monkeypatch, capsys
):
    """Each a run and a version, without alias and program, told by seed; measured on the truth."""
    asked = SMALL | {"dataset": versions.a, "labels": "shuffled", "replicates": 3, "seed": 5}
    asked |= {"register_as": "null"}
    killed_at(6, asked, monkeypatch)
    capsys.readouterr()
    train.main(flags(asked))
    told = capsys.readouterr().out
    assert "replicate 1/3: is models:/null/1" in told
    assert "mean AUROC on true labels" in told
    assert not list(Path("checkpoints").glob("train-replicates-*"))
    run = newest("train")
    while parent := run.data.tags.get("mlflow.parentRunId"):
        run = initialise_tracking().get_run(parent)
    table = logged_table(run, "replicates.json")
    uris = [f"models:/null/{number}" for number in (1, 2, 3)]
    assert table["version"].tolist() == uris
    assert table["seed"].tolist() == [5, 6, 7]
    mean = logged_table(run, "replicates_mean.json").iloc[0]
    assert mean["networks"] == 3
    assert mean["auroc"] == pytest.approx(table["auroc"].mean())
    assert mean["auroc_low"] < mean["auroc_people_low"]
    assert run.data.tags["replicates"] == ",".join(uris)
    test = open_dataset(versions.a).split("test")
    for uri, row in zip(uris, table.to_dict("records"), strict=True):
        version = resolve(uri)
        assert version.tags["labels"] == "shuffled"
        assert version.tags["seed"] == str(row["seed"])
        logits = predict(load_classifier(uri), test, batch_size=16, precision="fp32").numpy()
        assert row["auroc"] == pytest.approx(auroc(test.labels, logits))
    assert find_alias("null", "candidate") is None
    logits = pd.read_parquet(artifact(run, "replicates/logits.parquet"))
    assert len(logits) == 3 * len(test)
    assert logits.groupby("image_id")["logit"].nunique().min() == 3


@pytest.mark.slow
def test_another_version_at_the_address_of_a_finished_replicate_is_not_taken_for_it(
    versions, monkeypatch, capsys
):
    """A name that was deleted counts from 1 again."""
    asked = SMALL | {"dataset": versions.a, "labels": "shuffled", "register_as": "renamed"}
    several = asked | {"replicates": 2, "seed": 5}
    killed_at(6, several, monkeypatch)
    initialise_tracking().delete_registered_model("renamed")
    train.main(flags(asked | {"seed": 9}))
    capsys.readouterr()
    train.main(flags(several))
    assert "replicate 1/2: is" not in capsys.readouterr().out
    assert resolve("models:/renamed/2").tags["seed"] == "5"


@pytest.mark.slow
def test_frozen_layers_see_each_eye_once_for_all(versions, monkeypatch):
    """Scores from stored features are the network's own; the first alone gets the alias.

    Shortcuts are looked for in all eyes, though features are stored of those held out.
    """
    audited = []

    def audit(dataset):
        audited.append(len(dataset))
        return audit_of(dataset)

    monkeypatch.setattr(split_scores, "audit_of", audit)
    asked = SMALL | {"dataset": versions.a, "weights": "models:/eye/1", "freeze": "backbone"}
    train.main(flags(asked | {"replicates": 2, "register_as": "probe"}))
    assert len(list(Path("checkpoints").glob("features-*"))) == 3  # training, validation, held out
    assert find_alias("probe", "candidate").version == 1
    assert audited == [len(open_dataset(versions.a))] * 2
    test = open_dataset(versions.a).split("test")
    run = initialise_tracking().get_run(resolve("models:/probe/2").run_id)
    run = initialise_tracking().get_run(run.data.tags["mlflow.parentRunId"])
    logits = pd.read_parquet(artifact(run, "replicates/logits.parquet"))
    for uri, rows in logits.groupby("version"):
        own = predict(load_classifier(uri), test, batch_size=16, precision="fp32").numpy()
        stored = rows.set_index("image_id").loc[test.frame["image_id"], "logit"]
        assert np.abs(stored.to_numpy() - own).max() < 5e-3


def test_null_models_of_one_start_are_refused(versions, capsys):
    client = initialise_tracking()
    for number in ("1", "2"):
        client.set_model_version_tag("eye", number, "labels", "shuffled")
    asked = {"dataset": versions.a, "labels": "shuffled", "replicates": 2, "model": "models:/eye/1"}
    with pytest.raises(SystemExit, match="2"):
        robustify.main(flags(asked | {"eps": 0.5}))
    line = capsys.readouterr().err.splitlines()[-1]
    assert "model=models:/eye/1: null models that share models:/eye/1" in line
    with pytest.raises(InputError, match="names 2 versions; one for all replicates=3 is allowed"):
        RobustifyConfig(dataset="d", model="models:/a/1,models:/a/2", replicates=3)
    with pytest.raises(InputError, match="replicates=0: must be at least 1"):
        RobustifyConfig(dataset="d", replicates=0)


@pytest.mark.slow
def test_robust_null_models_start_from_one_each(versions):
    client = initialise_tracking()
    for number in ("1", "3"):
        client.set_model_version_tag("eye", number, "labels", "shuffled")
    asked = {
        "dataset": versions.a, "labels": "shuffled", "replicates": 2, "eps": 0.5, "epochs": 1,
        "model": "models:/eye/1, models:/eye/3", "attack_steps": 2, "bootstrap": 50,
        "register_as": "robust-null",
    }  # fmt: skip
    robustify.main(flags(asked))
    parents = [resolve(f"models:/robust-null/{n}").tags["parent_version"] for n in (1, 2)]
    assert parents == ["models:/eye/1", "models:/eye/3"]
