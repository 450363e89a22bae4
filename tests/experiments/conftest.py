"""One small chain, run once for real: every test reads what it left behind."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from mlflow import MlflowClient
from PIL import Image

from experiments import main
from experiments.modulate import ModulateConfig
from tests.experiments import tiny_versions
from tests.tracking.conftest import OURS, end_all_runs
from tracking import registry
from tracking.registry import ModelVersion

SMALL = {
    "source": "synthetic",
    "size": 40,
    "patients": 50,
    "arch": "test_resnet",
    "epochs": 2,
    "robust_epochs": 1,
    "eps": 1,
    "attack_steps": 2,
    "evaluate_steps": 2,
    "modulate_eps": "1,4",
    "modulate_steps": 3,
    "images": 2,
    "bootstrap": 50,
    "batch_size": 16,
    "workers": 1,
    "gate": "false",
}


def flags(values):
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


def enter(folder, patch):
    """Work in ``folder`` as a user who has set nothing, and whose store is migrated already."""
    for name in OURS:
        patch.delenv(name, raising=False)
    patch.chdir(folder)
    if not (folder / "mlflow.db").exists():
        (folder / "mlflow.db").write_bytes(migrated())


def own_client(folder="."):
    """A client of the store and of the registry in a folder, by default the one worked in.

    By its whole path, because MLflow keeps one connection per address; with both addresses, because
    a registry that an earlier test opened would be asked otherwise.
    """
    store = f"sqlite:///{(Path(folder) / 'mlflow.db').resolve()}"
    return MlflowClient(store, store)


@cache
def migrated():
    """Content of a store in which nothing has happened yet."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "mlflow.db"
        MlflowClient(f"sqlite:///{store}").search_experiments()
        return store.read_bytes()


@pytest.fixture
def unrendered(monkeypatch):
    """Figures are made and saved, each as one white pixel: tests of figures look at them."""
    leave_unrendered(monkeypatch)


def leave_unrendered(patch):
    patch.setattr(Figure, "savefig", save_blank)


def save_blank(_figure, file, **_how):
    Image.new("RGB", (1, 1), "white").save(file, format="png")


@pytest.fixture
def unexported(monkeypatch):
    """Versions with an empty program, where nothing reads it: exporting takes seconds."""
    leave_unexported(monkeypatch)


def leave_unexported(patch):
    patch.setattr("torch.export.export", lambda *_, **__: None)
    patch.setattr("torch.export.save", lambda _, path: Path(path).write_bytes(b""))


@dataclass(frozen=True, kw_only=True)
class Short(ModulateConfig):
    """A modulation whose searches for the minimal perturbation norm end early."""

    min_norm_steps: int = 6
    """Instead of 40, for which the chain has no flag."""


def leave_short(patch):
    patch.setattr(main, "ModulateConfig", Short)


@dataclass(frozen=True)
class Chain:
    """The folder the chain was run in, its summary, and which version it left as ``robust``."""

    folder: Path
    summary: dict
    robust: ModelVersion | None

    @property
    def dataset(self):
        return str(self.folder / "demo" / "dataset")


@pytest.fixture(scope="session")
def chain_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        leave_unrendered(patch)
        leave_short(patch)
        main.main(flags(SMALL | {"out": folder / "demo"}))
        robust = registry.find_alias("fundus-sex", "robust")
        # So short a training passes no gate; the tests after it use the alias all the same.
        registry.set_alias(registry.resolve("models:/fundus-sex/2"), "robust")
    return Chain(folder, json.loads((folder / "demo" / "summary.json").read_text()), robust)


@pytest.fixture
def chain(chain_once, monkeypatch):
    """The finished chain; the test works in its folder and may add runs."""
    enter(chain_once.folder, monkeypatch)
    yield chain_once
    end_all_runs()


@dataclass(frozen=True)
class Versions:
    """Four versions of ``eye``: good on site A, good on site B, wrong on A, of another kind.

    A and B photograph the same signal in other colours, so their versions normalise differently.
    """

    folder: Path
    a: str
    b: str


@pytest.fixture(scope="session")
def versions_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("versions")
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        return Versions(folder, *tiny_versions.make(folder))


@pytest.fixture
def versions(versions_once, tmp_path, monkeypatch):
    """A copy of the store with the versions, for the test to add to."""
    enter(tmp_path, monkeypatch)
    shutil.copy(versions_once.folder / "mlflow.db", tmp_path / "mlflow.db")
    yield versions_once
    end_all_runs()
