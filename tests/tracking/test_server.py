"""``make server``: secrets that nobody else reads, users, and what is refused without one."""

import base64
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path

import pytest
from mlflow import MlflowClient

from experiments import preprocess
from tests.experiments.conftest import flags
from tests.tracking.conftest import OURS
from tracking import server
from tracking.errors import TrackingError
from tracking.stores import fetch

ROOT = Path(__file__).parents[2]
ADA, BOB = "a-password-of-ada", "a-password-of-bob"
SMALL = {"source": "synthetic", "patients": 50, "size": 40, "workers": 1}
SECONDS_TO_START = 240

has_users = pytest.mark.skipif(
    find_spec("flask_wtf") is None, reason="needs pip install 'mlflow[auth]'"
)


@pytest.fixture
def own_variables(tmp_path, monkeypatch):
    """Variables that the server sets go with the test."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(*arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        server.main(arguments)
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.usefixtures("own_variables")
def test_a_server_that_others_reach_says_under_which_names(capsys):
    line = refused("--host", "0.0.0.0", capsys=capsys)  # noqa: S104
    assert line.startswith("server: --host 0.0.0.0: say with --allowed-hosts under which names")


@has_users
@pytest.mark.usefixtures("own_variables")
def test_a_port_that_is_taken_is_told_before_anything_is_made(capsys, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        line = refused("--port", str(taken.getsockname()[1]), capsys=capsys)
    assert "cannot be listened on: [Errno 98] Address already in use" in line
    assert list(tmp_path.iterdir()) == []


@has_users
@pytest.mark.usefixtures("own_variables")
def test_a_database_that_does_not_answer_is_told_without_its_password(capsys):
    os.environ[server.DATABASE] = "postgresql+psycopg://u:secret@127.0.0.1:9/runs"
    line = refused("--port", "0", capsys=capsys)
    assert line.startswith(
        "server: MLFLOW_BACKEND_STORE_URI is 'postgresql+psycopg://u:***@127.0.0.1:9/runs': cannot"
    )


@pytest.mark.usefixtures("own_variables")
@pytest.mark.skipif(find_spec("boto3") is not None, reason="boto3 is here")
def test_a_missing_driver_is_named(capsys):
    os.environ[server.ARTIFACTS] = "s3://bucket"
    line = refused("--port", "0", capsys=capsys)
    assert line.startswith("server: not installed here: pip install ")
    assert line.endswith("'boto3'")


def test_help_names_every_variable(capsys):
    with pytest.raises(SystemExit, match="0"):
        server.main(["--help"])
    said = capsys.readouterr().out
    for name in (server.DATABASE, server.ARTIFACTS, server.ADMIN, server.PASSWORD):
        assert name in said


def test_a_secret_is_made_up_once_and_read_by_its_owner_alone(tmp_path):
    first = server._kept_secret(tmp_path / "password")
    assert server._kept_secret(tmp_path / "password") == first
    assert len(first) >= 12
    assert server._kept_secret(tmp_path / "other") != first
    assert stat.S_IMODE((tmp_path / "password").stat().st_mode) == 0o600


def test_an_address_with_a_password_reaches_mlflow_as_it_is(tmp_path):
    address = "postgresql+psycopg://u:p%40ss@host/runs"
    stores = server._Stores(tmp_path, address, "")
    file = server._write_users(tmp_path / "auth.ini", stores, "READ")
    settings = ConfigParser()  # as MLflow reads it
    settings.read(file)
    assert settings["mlflow"]["database_uri"] == address
    assert settings["mlflow"]["default_permission"] == "READ"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


class Running:
    """A server with users that was started as a team starts it."""

    def __init__(self, folder, *options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.folder, self.address = folder, f"http://127.0.0.1:{port}"
        environment = {name: value for name, value in os.environ.items() if name not in OURS}
        self.log = folder / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tracking.server", "--workers", "1", "--port", str(port),
                 *options], cwd=folder, env=environment | {"PYTHONPATH": str(ROOT)},
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + SECONDS_TO_START
        while self.status("/health") != 200:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end
            time.sleep(0.5)
        self.password = (folder / "server" / "admin_password").read_text()

    def status(self, path, **how):
        """Ask, and say with which status it answers; None where it does not."""
        try:
            return self.ask(path, **how)[0]
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def ask(self, path, *, user=None, body=None, method=None, host=None):
        request = urllib.request.Request(self.address + path, data=body, method=method)  # noqa: S310
        if user is not None:
            request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
        if host is not None:
            request.add_header("Host", host)
        if body is not None:
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.read()

    def post(self, path, **content):
        body = json.dumps(content).encode()
        return self.ask(path, user=f"admin:{self.password}", body=body, method="POST")

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(30)


@pytest.fixture(scope="module")
def team(blank_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("team")
    (folder / "mlflow.db").write_bytes(blank_database.read_bytes())
    running = Running(folder)
    try:
        for name, password in (("ada", ADA), ("bob", BOB)):
            running.post("/api/2.0/mlflow/users/create", username=name, password=password)
        yield running
    finally:
        running.stop()


@pytest.fixture
def member(team, tmp_path, monkeypatch, capsys):
    """Give a command as a user of a server; returns its lines on standard error."""
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def give(name=None, password=None, *, code=0, to=team):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", to.address)
        if name is not None:
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
        try:
            preprocess.main(flags(SMALL | {"out": tmp_path / "eyes"}))
            ended = 0
        except SystemExit as stop:
            ended = stop.code
        said = capsys.readouterr()
        assert ended == code, said.err
        return said.err.splitlines()

    return give


slow = [has_users, pytest.mark.slow]
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"
CREATE = "/api/2.0/mlflow/experiments/create"


class TestWithUsers:
    pytestmark = slow

    @pytest.mark.parametrize("user", [None, "admin:password1234", "nobody:at-all-here"])
    def test_nothing_is_read_or_written_without_a_user(self, team, user):
        assert team.status(SEARCH, user=user) == 401
        body = b'{"name": "mine"}'
        assert team.status(CREATE, user=user, body=body, method="POST") == 401
        artifact = "/api/2.0/mlflow-artifacts/artifacts/0/x"
        assert team.status(artifact, user=user, body=b"x", method="PUT") == 401
        assert team.status(artifact, user=user) == 401
        assert not (team.folder / "mlartifacts").exists()

    def test_a_foreign_host_is_refused(self, team):
        user = f"admin:{team.password}"
        assert team.status(SEARCH, user=user, host="evil.example") == 403
        assert team.status(SEARCH, user=user) == 200

    def test_a_command_without_a_user_ends_in_one_line(self, member):
        (line,) = member(code=2)
        assert line.endswith(
            "the tracking server asks who you are: set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD"
        )

    def test_a_command_with_a_wrong_password_ends_in_one_line(self, member):
        (line,) = member("ada", BOB, code=2)
        assert line.endswith("knows no user 'ada' with that MLFLOW_TRACKING_PASSWORD")
        assert BOB not in line

    def test_members_work_in_one_experiment(self, member):
        member("ada", ADA)
        member("bob", BOB)  # in the experiment that ada made, where bob may not delete

    def test_who_may_only_look_is_told(self, member, blank_database, tmp_path):
        (tmp_path / "mlflow.db").write_bytes(blank_database.read_bytes())
        readers = Running(tmp_path, "--default-permission", "READ")
        try:
            readers.post("/api/2.0/mlflow/users/create", username="bob", password=BOB)
            readers.post("/api/2.0/mlflow/experiments/create", name="fundus")
            assert readers.status(SEARCH, user=f"bob:{BOB}") == 200
            (line,) = member("bob", BOB, code=2, to=readers)
        finally:
            readers.stop()
        assert line.startswith(
            "preprocess: the tracking server does not let user 'bob' do that: ask its administrator"
        )

    @pytest.mark.parametrize(
        "path", ["../../x", "..%2f..%2fx", "%252e%252e/%252e%252e/x", "0/a/../../../x", "%2fetc/x"]
    )
    def test_no_artifact_leads_out_of_the_store(self, team, path):
        user = f"admin:{team.password}"
        before = sorted(team.folder.rglob("x"))
        address = f"/api/2.0/mlflow-artifacts/artifacts/{path}"
        assert team.status(address, user=user, body=b"x", method="PUT") == 400
        assert team.status(address, user=user) == 400
        assert team.status(f"/get-artifact?run_uuid={'0' * 32}&path={path}", user=user) >= 400
        assert sorted(team.folder.rglob("x")) == before

    def test_what_is_fetched_does_not_lead_out_either(self, team, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", team.address)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADA)
        client = MlflowClient(team.address)
        run = client.create_run(client.create_experiment("fetched")).info
        with pytest.raises(TrackingError, match="leads out of the artifacts"):
            fetch(f"runs:/{run.run_id}/../../mlflow.db")

    def test_a_password_is_nowhere_but_in_the_environment(self, team, tmp_path):
        environment = {name: value for name, value in os.environ.items() if name not in OURS}
        command = [sys.executable, "-m", "experiments.preprocess", *flags(SMALL)]
        client = subprocess.Popen(
            [*command, "--out", str(tmp_path / "eyes")], cwd=tmp_path, text=True,
            env=environment | {
                "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": team.address,
                "MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": ADA,
            },
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        looks = 0
        while client.poll() is None:
            lines = command_lines()
            assert any(f"{team.process.pid}" == number for number in lines)
            assert not [line for line in lines.values() if told(line, team)]
            looks += 1
            time.sleep(0.2)
        said, _ = client.communicate()
        assert client.returncode == 0, said
        assert looks > 3
        assert not told(said.encode(), team)
        assert not told(team.log.read_bytes(), team)
        stored = [path for path in (team.folder / "mlartifacts").rglob("*") if path.is_file()]
        stored += [team.folder / "mlflow.db", *tmp_path.rglob("*.*")]
        assert len(stored) > 10
        assert not [path for path in stored if path.is_file() and told(path.read_bytes(), team)]


def told(content, team):
    return any(secret.encode() in content for secret in (ADA, BOB, team.password))


def command_lines():
    """The command line of every process, by its number."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found[path.parent.name] = path.read_bytes()
        except OSError:  # it ended meanwhile
            continue
    return found
