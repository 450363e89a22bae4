"""What was downloaded is reused, bounded, and gone when the process ends."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from mlflow import MlflowClient

from tests.tracking.tiny_classifier import FORMAT
from tracking import registry, results
from tracking.downloads import Downloads
from tracking.errors import TrackingError
from tracking.lineage import attach_pictures
from tracking.runs import start_run
from tracking.stores import fetch, tracking_uri


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A temporary folder of the test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def files_in(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def run(store):  # noqa: ARG001 - it lives there
    """A run with three texts of 10 bytes each."""
    with start_run("modulate", {}) as run:
        for name in "abc":
            Path(f"{name}.txt").write_text(name * 10)
            run.log_artifact(Path(f"{name}.txt"), "texts")
        yield run


def test_an_address_fetched_again_is_new_and_leaves_no_copy_of_the_old(run, temporary):
    address = run.artifact_uri("texts/a.txt")
    for content in ("first", "second", "third"):
        Path("a.txt").write_text(content)
        run.log_artifact(Path("a.txt"), "texts")
        assert fetch(address).read_text() == content
    assert len(files_in(temporary)) == 1


def test_a_picture_is_fetched_once(run, version, tmp_path, temporary):
    folder = tmp_path / "kept" / "pictures"
    folder.mkdir(parents=True)
    for name in ("eye", "other"):
        (folder / f"{name}.png").write_bytes(name.encode())
    address = attach_pictures(run, version, folder.parent, thumbnails=(), caption="c") + "/pictures"
    paths = {results.picture_path(f"{address}/eye.png") for _ in range(5)}
    assert [path.read_bytes() for path in paths] == [b"eye"]
    paths.add(results.picture_path(f"{address}/other.png"))
    assert len(files_in(temporary)) == len(paths) == 2
    next(iter(paths)).unlink()
    assert results.picture_path(f"{address}/eye.png").read_bytes() == b"eye"
    assert results.picture_path(f"{address}/other.png").read_bytes() == b"other"


def test_those_used_longest_ago_go_beyond_the_bound(run, temporary):
    downloads = Downloads(most_bytes=25)
    texts = {name: run.artifact_uri(f"texts/{name}.txt") for name in "abc"}
    kept = {name: downloads.get(uri, of=tracking_uri()) for name, uri in texts.items()}
    assert {name for name, path in kept.items() if path.exists()} == {"b", "c"}
    folder = downloads.get(run.artifact_uri("texts"), of=tracking_uri())
    assert len(list(folder.iterdir())) == 3  # the last one stays, whatever its size
    assert len(files_in(temporary)) == 3


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "address", ["runs:/" + "a" * 32 + "/x", "models:/eye/1/x", "nowhere.png", "", "x" * 300]
)
def test_what_is_nowhere_is_a_line_and_leaves_nothing(address, temporary):
    with pytest.raises(TrackingError, match="nothing to read there") as line:
        fetch(address)
    assert "\n" not in str(line.value)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("path", ["../secret.txt", "texts/../../secret.txt", "%2e%2e/secret.txt"])
def test_no_address_leads_out_of_the_artifacts(run, path, temporary):
    root = Path(MlflowClient().get_run(run.run_id).info.artifact_uri)
    (root.parent / "secret.txt").write_text("of another run")
    with pytest.raises(TrackingError, match=r"nothing to read there: '\.\.' leads out"):
        fetch(f"runs:/{run.run_id}/{path}")
    assert list(temporary.iterdir()) == []


def test_a_path_is_opened_where_it_is(store, temporary):
    Path("eye.png").write_bytes(b"eye")
    assert fetch("eye.png").resolve() == store / "eye.png"
    assert fetch(str(store / "eye.png")) == store / "eye.png"
    assert list(temporary.iterdir()) == []


PROCESS = """
import sys
from tracking.stores import fetch
print([fetch(address).read_text() for address in sys.argv[1:]])
"""


@pytest.mark.slow
def test_a_process_leaves_nothing_behind(run, temporary):
    texts = [run.artifact_uri(f"texts/{name}.txt") for name in "aab"]
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", PROCESS, *texts],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.stdout.strip() == str(["a" * 10, "a" * 10, "b" * 10]), done.stderr
    assert "Warning" not in done.stderr
    assert list(temporary.iterdir()) == []


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The MLflow server of a user: its own process, its artifacts behind HTTP."""
    log = (tmp_path / "server.log").open("w")
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1",
        "--backend-store-uri", f"sqlite:///{tmp_path / 'mlflow.db'}",
        "--artifacts-destination", str(tmp_path / "artifacts"), "--port", str(port := free_port()),
    ]  # fmt: skip
    (tmp_path / "server").mkdir()
    process = subprocess.Popen(
        command, stdout=log, stderr=log, start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path / "server")},
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    wait_for(f"{address}/health", process)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr(
        registry, "FORMATS", {FORMAT: "tests.tracking.tiny_classifier:load_classifier"}
    )
    yield address
    os.killpg(process.pid, 15)
    process.wait()
    log.close()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def wait_for(address, process):
    while process.poll() is None:
        try:
            with urlopen(address):  # noqa: S310 (its own server)
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail("the server ended")


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_nothing_is_left_by_loading_from_a_server(network, files, tmp_path, temporary):
    with start_run("train", {}) as run:
        version = registry.register_classifier(
            run, "eye", model=network, files=files, metrics={}, tags={}
        )
        (tmp_path / "pictures").mkdir()
        (tmp_path / "pictures" / "eye.png").write_bytes(b"eye")
        address = attach_pictures(run, version, tmp_path / "pictures", thumbnails=(), caption="c")
    assert files_in(temporary) == []
    for _ in range(3):
        registry.load_classifier(version.uri)
        registry.load_program(version.uri)
        registry.download_files(version.uri, tmp_path / "out")
        assert files_in(temporary) == []
    for _ in range(3):
        assert results.picture_path(f"{address}/eye.png").read_bytes() == b"eye"
    assert len(files_in(temporary)) == 1
    (program,) = (tmp_path / "artifacts").rglob("model.pt2")
    program.with_suffix(".pth").write_bytes(b"x")
    with pytest.raises(TrackingError, match=r"artifacts hold data/model.pth"):
        registry.load_program(version.uri)
    assert MlflowClient().get_model_version("eye", "1").tags["files_sha256"]
