"""What release 0.6.0 stored opens: one small example of each kind, made by its own commands.

``0.6.0.tar.xz`` holds painted eyes of 16 pixels, a ShuffleNet of constant weights registered as
``models:/fundus-sex/1`` without its exported program, a ``robustify`` that was killed after one
step, and a results database with rows in every table. Its addresses begin with ``/stored``.
"""

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
import torch

from experiments.robustify import RobustifyConfig
from experiments.running.resuming import resumable
from fundus_ml.auditing.record import read_audit
from fundus_ml.data.opening import open_dataset
from tracking import registry, results
from tracking.runs import start_run

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")
ARCHIVE = Path(__file__).with_name("0.6.0.tar.xz")


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """The archive, unpacked in a folder that commands run in."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        moved = "\n".join(connection.iterdump()).replace("/stored", str(tmp_path))
    (tmp_path / "mlflow.db").unlink()
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.executescript(moved)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("FUNDUS_RESULTS_URI", f"sqlite:///{tmp_path}/results.db")
    return tmp_path


def test_the_results_database_is_migrated(stored):  # noqa: ARG001 (commands run in it)
    assert len(results.predictions()) == 85
    assert len(results.modulations()) == 8
    shares = results.region_shares()
    assert len(shares) == 48
    assert shares["baseline"].unique().tolist() == ["square"]
    known = shares.dropna(subset=["energy_share", "area_share", "enrichment"])
    torch.testing.assert_close(
        torch.tensor(known["enrichment"].to_numpy()),
        torch.tensor((known["energy_share"] / known["area_share"]).to_numpy()),
    )
    found = results.minimal_perturbations()
    assert len(found) == 20
    assert (found["min_norm"].dropna() >= 0).all()
    transfers = results.transfers()
    assert transfers["evaluator"].unique().tolist() == ["models:/fundus-sex/1"]
    assert (transfers["transferred"] == (transfers["evaluator_prob_target"] > 0.5)).all()


def test_the_dataset_folder_opens(stored):
    dataset = open_dataset(str(stored / "eyes"), verify="full")
    assert (len(dataset), dataset.size) == (75, 16)
    audit = read_audit(stored / "eyes" / "audit.json")
    assert audit.digest == dataset.digest
    assert (audit.shortcut_baseline, audit.shortcut_baseline_by) == (1.0, "chance")
    assert audit.shortcut_baseline_words
    assert {item.explained_by for item in audit.baselines} == {""}


def test_the_registered_version_loads(stored):  # noqa: ARG001 (commands run in it)
    version = registry.resolve("models:/fundus-sex@candidate")
    classifier = registry.load_classifier(version.uri)
    logits = classifier.eval()(torch.rand(2, 3, 16, 16))
    assert logits.shape == (2,)
    assert float(version.tags["temperature"]) > 0


def test_the_unfinished_training_goes_on(stored, capsys):
    """Its flags ``recipe`` and ``watchdog`` have other names now."""
    config = RobustifyConfig(
        dataset="eyes", model="models:/fundus-sex/1", epochs=400, eps=0.5, attack_steps=1,
        gate=False, bootstrap=50, checkpoints="checkpoints/robust", lr=1e-10, optimizer="sgd",
        weight_decay=0.0,
    )  # fmt: skip
    dataset = open_dataset("eyes")
    parent = registry.resolve("models:/fundus-sex/1")
    saved = []

    def interrupted():
        with (
            start_run("robustify", {}) as run,
            resumable("robustify", config, run, dataset=dataset, parent=parent) as checkpoints,
        ):
            saved.append(checkpoints.load())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (stored / "checkpoints" / "robust" / "step-000000001").is_dir()
    assert set(saved[0].tensors) >= {"model", "optimizer"}
    assert "goes on with the training" in capsys.readouterr().out
