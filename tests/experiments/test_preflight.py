"""What would fail only at the end is refused before the work: one line, exit 2, in seconds.

Every command here would take hours if it began.
"""

import os
import shutil
import socket
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from experiments import (
    audit,
    average,
    compare,
    evaluate,
    main,
    measure,
    modulate,
    preprocess,
    pretrain,
    promote,
    reader_study,
    robustify,
    train,
    tune,
)
from tests.experiments.conftest import flags, own_client
from tests.experiments.mounts import disk, fill

LONG = {"bootstrap": 10**9}
NETWORK = {"arch": "test_resnet", "weights": "none", "epochs": 10**6}
BOTH = "models:/fundus-sex/1,models:/fundus-sex/2"
COMMANDS = {
    preprocess: {"patients": 10**6, "out": "new", "workers": 1},
    audit: {"dataset": "demo/dataset", "permutations": 10**9},
    pretrain: {"dataset": "demo/dataset", **NETWORK},
    train: {"dataset": "demo/dataset", **NETWORK, **LONG},
    tune: {"dataset": "demo/dataset", "trials": 10**6, "study": "never", **NETWORK, **LONG},
    robustify: {"dataset": "demo/dataset", "model": "models:/fundus-sex/1", "epochs": 10**6},
    average: {"dataset": "demo/dataset", "models": BOTH, **LONG},
    evaluate: {"dataset": "demo/dataset", "model": "models:/fundus-sex/1", "attack_steps": 10**6},
    compare: {"dataset": "demo/dataset", "models": BOTH, **LONG},
    promote: {"dataset": "demo/dataset", "model": "models:/fundus-sex/1", **LONG},
    measure: {"dataset": "demo/dataset", **LONG},
    modulate: {"dataset": "demo/dataset", "model": "models:/fundus-sex/1", "images": 4, **LONG},
    reader_study: {"run": "", "answers": "answers.csv", "bootstrap": 10**9},
    main: {"patients": 10**6, "out": "new", "workers": 1, "epochs": 10**6},
}
EVERY = [
    module
    if module in {preprocess, train, evaluate, main}
    else pytest.param(module, marks=pytest.mark.slow)
    for module in COMMANDS
]
"""All refuse by one function; the suite asks a few of them."""
REGISTERING = (pretrain, train, tune, robustify, average, main)


def name_of(module):
    return module.__name__.rpartition(".")[2]


@pytest.fixture
def refused(chain, capsys):  # noqa: ARG001 - it works there
    """Give a command that must be refused; returns the line it ends with."""

    def give(module, **values):
        before = kept_files()
        with pytest.raises(SystemExit, match="2"):
            module.main(flags(COMMANDS[module] | values))
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"{name_of(module)}: ")
        assert kept_files() == before
        return line.removeprefix(f"{name_of(module)}: ")

    return give


def kept_files():
    """Everything in the folder but the tracking store."""
    return {
        str(path) for path in Path().rglob("*")
        if path.is_file() and not path.name.startswith(("mlflow.db", "optuna.db", "results.db"))
    }  # fmt: skip


def newest_run(folder="."):
    client = own_client(folder)
    experiments = [each.experiment_id for each in client.search_experiments()]
    newest_first = ["attributes.start_time DESC"]
    (found,) = client.search_runs(experiments, order_by=newest_first, max_results=1)
    return found


@pytest.mark.parametrize(
    ("module", "name"),
    [*((module, "a/b") for module in REGISTERING), (train, "o'brien"), (train, "a:3"), (train, "")],
)
def test_a_name_that_the_registry_does_not_take(refused, module, name):
    line = refused(module, register_as=name)
    assert line.startswith(f"register_as={name!r}: must be ")
    assert newest_run().info.status == "FAILED"
    assert newest_run().data.tags["failure"] == line


@pytest.mark.parametrize("module", EVERY, ids=name_of)
def test_an_experiment_that_was_deleted(refused, monkeypatch, module):
    client = own_client()
    name = f"gone-{name_of(module)}"
    experiment = client.create_experiment(name)
    client.delete_experiment(experiment)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    assert refused(module) == (
        f"experiment {name!r} is deleted; restore it with mlflow experiments restore "
        f"--experiment-id {experiment}, or name another in MLFLOW_EXPERIMENT_NAME"
    )


@pytest.mark.parametrize("module", EVERY, ids=name_of)
def test_a_server_that_is_not_there(refused, monkeypatch, module):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert refused(module) == (
        "tracking store is 'http://127.0.0.1:9': no MLflow server answers there: "
        "[Errno 111] Connection refused"
    )


def test_a_wrong_flag_is_told_where_no_server_records_it(monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(SystemExit, match="2"):
        train.main(["--epochs", "many"])
    line, unrecorded = capsys.readouterr().err.splitlines()
    assert line == "train: epochs=many: must be a whole number such as 12"
    assert unrecorded.startswith("train: not recorded: tracking store is 'http://127.0.0.1:9'")


def test_a_server_that_takes_the_call_and_says_nothing(refused, monkeypatch):
    monkeypatch.setattr("tracking.reachable.DEADLINE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        line = refused(train)
    assert line.startswith(f"tracking store is '{uri}': no MLflow server answers there: Read timed")


@pytest.mark.parametrize(
    ("module", "flag", "where"),
    [
        (preprocess, "out", "{}/new"),
        (main, "out", "{}/new"),
        (pretrain, "checkpoints", "{}/deep/er"),
        (train, "checkpoints", "{}"),
        (robustify, "checkpoints", "{}/new"),
        (modulate, "kept", "{}/new"),
    ],
)
def test_a_folder_that_is_read_only(refused, read_only, module, flag, where):
    folder = where.format(read_only)
    line = refused(module, **{flag: folder})
    assert line.startswith(f"{flag}={folder}: cannot be written (")
    assert newest_run().info.status == "FAILED"


def test_a_read_only_database_of_studies(refused, read_only):
    storage = f"sqlite:///{read_only}/optuna.db"
    line = refused(tune, storage=storage)
    assert line.startswith(f"storage is '{storage}': cannot be written: ")


@pytest.mark.parametrize("module", [evaluate, modulate, main], ids=name_of)
def test_a_read_only_results_database(refused, read_only, monkeypatch, module):
    monkeypatch.setenv("FUNDUS_RESULTS_URI", f"sqlite:///{read_only}/results.db")
    line = refused(module)
    assert line.startswith(f"results database is 'sqlite:///{read_only}/results.db': cannot be ")


@pytest.mark.parametrize("module", EVERY, ids=name_of)
def test_an_artifact_store_that_is_read_only(refused, read_only, monkeypatch, module):
    name = f"read-only-{name_of(module)}"
    own_client().create_experiment(name, f"{read_only}/artifacts")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    line = refused(module)
    assert line.startswith(f"artifact store is '{read_only}/artifacts/")
    assert "cannot be written: " in line
    assert newest_run().data.tags["failure"] == line


@pytest.mark.parametrize("module", EVERY, ids=name_of)
def test_a_disk_that_is_almost_full(refused, small_disk, monkeypatch, module):
    """The whole store stands on it: there is room for a run, and not for what it makes."""
    shutil.copy("mlflow.db", small_disk / "mlflow.db")
    own_client(small_disk).create_experiment("small", f"{small_disk}/artifacts")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{small_disk}/mlflow.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "small")
    line = refused(module)
    assert line.startswith(f"the disk of {small_disk}/artifacts/")
    assert " MB are needed, " in line
    assert line.endswith(" MB are free; make room and give the same command again")
    assert newest_run(small_disk).data.tags["failure"] == line


@pytest.mark.parametrize("module", EVERY, ids=name_of)
def test_a_disk_that_is_full_to_the_last_byte(refused, small_disk, monkeypatch, module):
    """Not even a run can be opened."""
    shutil.copy("mlflow.db", small_disk / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{small_disk}/mlflow.db")
    fill(small_disk)
    line = refused(module)
    assert "the disk is full" in line or "disk I/O error" in line
    assert line.endswith("then give the same command again")


@pytest.mark.parametrize(
    ("module", "flag"), [(pretrain, "checkpoints"), (train, "checkpoints"), (main, "out")]
)
def test_a_small_disk_for_what_a_flag_names(refused, small_disk, module, flag):
    fewer = {"patients": 3000} if module is main else {}
    line = refused(module, **{flag: small_disk / "new"} | fewer)
    assert line.startswith(f"the disk of {small_disk}")
    assert " is too full: about " in line


def test_a_small_disk_for_temporary_files(refused, small_disk, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    assert refused(train).startswith(f"the disk of {small_disk}/fundus-run-")
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("text", "cannot be read: file is not a database"),
        ("truncated", "cannot be read: database disk image is malformed"),
        ("newer", "has layout 999, this code reads layout "),
        ("locked", "cannot be written: database is locked"),
    ],
)
def test_a_results_database_that_cannot_be_used(refused, tmp_path, monkeypatch, damage, said):
    path = tmp_path / "results.db"
    monkeypatch.setattr("tracking.reachable.LOCKED", 0.1)
    monkeypatch.setenv("FUNDUS_RESULTS_URI", f"sqlite:///{path}")
    shutil.copy("results.db", path)
    with damaged(path, damage):
        before = path.read_bytes()
        line = refused(evaluate)
        assert path.read_bytes() == before
    assert line.startswith("results database ")
    assert said in line


@contextmanager
def damaged(path, damage):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if damage == "newer":
            connection.execute("UPDATE alembic_version SET version_num = 999")
        if damage == "locked":
            connection.execute("BEGIN IMMEDIATE")
        if damage == "text":
            path.write_text("image_id,logit\n" * 100)
        if damage == "truncated":
            os.truncate(path, path.stat().st_size // 2)
        yield


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("unknown", "no such run in this store; unset it"),
        ("deleted", "that run is deleted; restore it, or unset the variable"),
        ("finished", "that run is FINISHED already; unset the variable"),
    ],
)
def test_a_run_that_was_handed_over_and_is_no_more(refused, monkeypatch, state, said):
    client = own_client()
    run_id = client.create_run("0").info.run_id
    if state == "unknown":
        run_id = "f" * 32
    if state == "deleted":
        client.delete_run(run_id)
    if state == "finished":
        client.set_terminated(run_id)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    line = refused(train)
    assert line == f"MLFLOW_RUN_ID={run_id}: {said}"
    assert newest_run().data.tags["failure"] == line


@pytest.fixture
def small_disk(tmp_path):
    with disk(tmp_path / "small", "size=12m") as folder:
        yield folder


@pytest.fixture
def read_only(tmp_path):
    with disk(tmp_path / "read-only", "size=1m", "ro") as folder:
        yield folder
