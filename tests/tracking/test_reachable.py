"""Stores that do not answer are found out in seconds, by one line."""

import os
import socket
import sqlite3
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tracking import reachable
from tracking.database import check_results, session
from tracking.errors import TrackingError
from tracking.reachable import check_answers, check_writable, impatient
from tracking.results import predictions
from tracking.studies import check_studies


def refused(uri):
    with pytest.raises(TrackingError) as told:
        check_answers(uri, what="store")
    line = str(told.value)
    assert "\n" not in line
    assert line.startswith("store is '")
    return line.partition("': ")[2]


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    """No proxy answers in place of a server that is not there."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server(request):
    """A web server that answers everything with one status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(request.param)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("server", [200, 404, 401], indirect=True)
def test_a_server_that_answers(server):
    check_answers(server, what="store")


@pytest.mark.parametrize("server", [500, 502, 503], indirect=True)
def test_a_server_in_trouble(server, request):
    status = request.node.callspec.params["server"]
    assert refused(server) == f"the MLflow server answers with status {status}"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://127.0.0.1:9", "no MLflow server answers there: [Errno 111] Connection refused"),
        ("http://ward.invalid:5000", "no MLflow server answers there: Failed to resolve"),
        ("postgresql+psycopg://u:secret@127.0.0.1:9/eyes", "cannot be opened: connection failed"),
    ],
)
def test_nobody_there(uri, said):
    assert refused(uri).startswith(said)


def test_passwords_are_not_shown():
    with pytest.raises(TrackingError, match=r"u:\*\*\*@127") as told:
        check_answers("postgresql+psycopg://u:secret@127.0.0.1:9/eyes", what="store")
    assert "secret" not in str(told.value)


def test_one_that_takes_the_call_and_says_nothing(monkeypatch):
    monkeypatch.setattr(reachable, "DEADLINE", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert "no MLflow server answers" in refused(f"http://127.0.0.1:{port}")
        uri = f"postgresql+psycopg://u@127.0.0.1:{port}/eyes"
        assert refused(uri) == "no answer within 0.4 s"


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A results database of this layout."""
    monkeypatch.setenv("FUNDUS_RESULTS_URI", f"sqlite:///{tmp_path}/results.db")
    monkeypatch.setattr(reachable, "LOCKED", 0.05)
    with session():
        pass
    return tmp_path / "results.db"


def test_a_results_database_is_left_as_it_is(path):
    before = path.read_bytes()
    check_results()
    assert path.read_bytes() == before


def test_a_new_results_database_is_made(path):
    path.unlink()
    check_results()
    with session():
        pass
    assert predictions().empty


@pytest.mark.parametrize("content", [b"image_id,logit\n" * 200, b"\x00" * 4096, b"SQLite format 3"])
def test_a_file_that_is_no_database(path, content):
    path.write_bytes(content)
    for use in (check_results, predictions):
        with pytest.raises(TrackingError, match=r"results database is .*file is not a database"):
            use()
    assert path.read_bytes() == content


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_truncated_database(path, part):
    os.truncate(path, int(path.stat().st_size * part))
    for use in (check_results, predictions):
        with pytest.raises(TrackingError, match=r"results database is .*malformed"):
            use()


def test_a_database_another_program_writes_to(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TrackingError, match="cannot be written: database is locked"):
            check_results()
        other.execute("COMMIT")
    check_results()


def test_studies_are_asked_too(path):
    check_studies(f"sqlite:///{path.parent}/optuna.db")
    (path.parent / "optuna.db").write_text("lr,value\n" * 100)
    with pytest.raises(TrackingError, match=r"storage is .*: cannot be read: file is not a data"):
        check_studies(f"sqlite:///{path.parent}/optuna.db")


def test_addresses_nobody_can_ask_are_not_asked():
    for uri in ("sqlite:///:memory:", "file:///eyes/mlruns", "databricks", "mysql://h/eyes"):
        check_answers(uri, what="store")
        check_writable(uri, what="store")


def test_patience_comes_back(monkeypatch):
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    monkeypatch.delenv(name, raising=False)
    with impatient():
        assert os.environ[name] == "0"
    assert name not in os.environ
    monkeypatch.setenv(name, "3")
    with impatient():
        assert os.environ[name] == "0"
    assert os.environ[name] == "3"
