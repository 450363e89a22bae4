import multiprocessing
import os
import sqlite3
import subprocess
import sys

import pytest
from sqlalchemy import NullPool, create_engine, text

from tracking import registry, results, stores
from tracking.database import session
from tracking.errors import TrackingError
from tracking.repeating import read_repeatable
from tracking.runs import start_run
from tracking.studies import open_study
from tracking.tracing import trace


@pytest.fixture
def nothing_set(tmp_path, monkeypatch):
    for name in (stores.TRACKING_VARIABLE, stores.RESULTS_VARIABLE, stores.STUDIES_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_store_has_its_own_file_in_this_folder(nothing_set):
    assert stores.tracking_uri() == f"sqlite:///{nothing_set / 'mlflow.db'}"
    assert stores.results_uri() == f"sqlite:///{nothing_set / 'results.db'}"
    assert stores.studies_uri() == f"sqlite:///{nothing_set / 'optuna.db'}"


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("http://tracking.ward:5000", "http://tracking.ward:5000"),
        ("postgresql+psycopg://u:secret@h/fundus", "postgresql+psycopg://u:secret@h/fundus"),
        ("sqlite:////data/a.db", "sqlite:////data/a.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("", "sqlite:///{here}/{default}"),
        ("sqlite:///deep/a.db", "sqlite:///{here}/deep/a.db"),
    ],
)
def test_addresses_are_taken_as_given_and_relative_files_anchored(
    nothing_set, monkeypatch, address, kept
):
    monkeypatch.setenv(stores.TRACKING_VARIABLE, address)
    monkeypatch.setenv(stores.RESULTS_VARIABLE, address)
    assert stores.tracking_uri() == kept.format(here=nothing_set, default="mlflow.db")
    assert stores.results_uri() == kept.format(here=nothing_set, default="results.db")
    assert stores.studies_uri(address) == kept.format(here=nothing_set, default="optuna.db")
    monkeypatch.setenv(stores.STUDIES_VARIABLE, address)
    assert stores.studies_uri() == kept.format(here=nothing_set, default="optuna.db")
    assert stores.studies_uri("sqlite:////data/b.db") == "sqlite:////data/b.db"


def test_a_malformed_address_is_refused():
    with pytest.raises(TrackingError, match=r"'sqlite//://x'; must look like sqlite:///results.db"):
        stores.studies_uri("sqlite//://x")


def test_a_store_mlflow_refuses_is_told_in_one_line(nothing_set, monkeypatch):
    monkeypatch.setenv(stores.TRACKING_VARIABLE, f"file://{nothing_set / 'mlruns'}")
    with pytest.raises(TrackingError, match=r"tracking store is 'file://.*'; MLflow") as told:
        stores.initialise_tracking()
    assert "\n" not in str(told.value)


def test_a_missing_folder_is_refused(tmp_path):
    uri = f"sqlite:///{tmp_path / 'gone' / 'mlflow.db'}"
    with (
        pytest.raises(TrackingError, match=r"gone'; must exist and be writable to hold mlflow.db"),
        stores.exclusive(uri),
    ):
        pass


def test_a_database_is_created_once_per_process(tmp_path):
    uri, calls = f"sqlite:///{tmp_path / 'x.db'}", []
    for _ in range(3):
        stores.initialise_database(uri, lambda: calls.append(1))
    assert calls == [1]


def test_a_failed_creation_is_tried_again(tmp_path):
    uri, calls = f"sqlite:///{tmp_path / 'x.db'}", []

    def fail():
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        stores.initialise_database(uri, fail)
    stores.initialise_database(uri, lambda: calls.append(1))
    assert calls == [1]


def begin_everything(starting_line):
    starting_line.wait(timeout=60)
    with session():
        pass
    open_study("lr", space={"lr": {"low": 0.1, "high": 1.0}}, seed=0)
    with start_run("train", {}):
        pass


def begin_together():
    """Four processes, each on every store; their exit codes."""
    context = multiprocessing.get_context("fork")  # spares each the seconds of importing MLflow
    starting_line = context.Barrier(4)
    processes = [context.Process(target=begin_everything, args=(starting_line,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    return [process.exitcode for process in processes]


def test_many_processes_begin_on_nothing_at_once(nothing_set):
    assert begin_together() == [0, 0, 0, 0]
    tables = {"mlflow.db": "runs", "optuna.db": "studies", "results.db": "alembic_version"}
    for (file, table), count in zip(tables.items(), (4, 1, 1), strict=True):
        connection = sqlite3.connect(nothing_set / file)
        rows = connection.execute(f"select * from {table}").fetchall()  # noqa: S608
        connection.close()
        assert len(rows) == count, table


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_set")
def test_many_processes_begin_on_nothing_at_once_on_postgresql(postgresql, monkeypatch):
    engine = create_engine(postgresql, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    tables = {
        stores.TRACKING_VARIABLE: ("runs", 4),
        stores.STUDIES_VARIABLE: ("studies", 1),
        stores.RESULTS_VARIABLE: ("alembic_version", 1),
    }
    addresses = {}
    for variable, (table, _) in tables.items():
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE of_{table}"))
        addresses[variable] = postgresql.replace("/postgres?", f"/of_{table}?")
        monkeypatch.setenv(variable, addresses[variable])
    assert begin_together() == [0, 0, 0, 0]
    for variable, (table, count) in tables.items():
        with create_engine(addresses[variable], poolclass=NullPool).connect() as connection:
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == count, table  # noqa: S608


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda: registry.resolve("models:/eye/1"), r"no MLflow store at .*/mlflow.db: work in"),
        (lambda: trace("models:/eye/1"), "no MLflow store at"),
        (lambda: read_repeatable("0" * 32), "set MLFLOW_TRACKING_URI"),
        (results.predictions, r"no results database at .*results.db.* FUNDUS_RESULTS_URI"),
    ],
)
def test_reading_where_nothing_is_creates_nothing(nothing_set, read, said):
    with pytest.raises(TrackingError, match=said):
        read()
    assert list(nothing_set.iterdir()) == []


def test_mlflow_reports_nothing_to_its_makers():
    """In a process of its own, as MLflow decides while it is imported, and never under pytest."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"CI", "MLFLOW_DISABLE_TELEMETRY"} and not name.startswith("PYTEST")
    }
    asked = (
        "from tracking import registry; registry.load_classifier; "
        "from mlflow.telemetry import client; print(client.get_telemetry_client())"
    )
    told = subprocess.run(
        [sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "None"
