"""Disks that fill up and servers that die in the middle: one line, and the same command goes on."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from mlflow import MlflowClient

from experiments import train
from experiments.recording import registration as learning
from tests.experiments import commands
from tests.experiments.conftest import flags, own_client
from tests.experiments.mounts import disk, fill

pytestmark = pytest.mark.slow

SMALL = {
    "dataset": "demo/dataset", "arch": "test_resnet", "weights": "none", "head_hidden": 8,
    "batch_size": 16, "bootstrap": 50, "epochs": 2, "checkpoints": "mine", "register_as": "late",
}  # fmt: skip


def test_a_disk_that_fills_up_before_the_version_is_stored(chain, tmp_path, monkeypatch, capsys):
    """What was trained is kept, no half version stays, and the same command registers it."""
    del chain  # it is worked in
    registered = learning.register_classifier
    with disk(tmp_path / "small", "size=160m") as folder:

        def too_late(*args, **others):
            fill(folder)
            return registered(*args, **others)

        shutil.copy("mlflow.db", tmp_path / "mlflow.db")
        client = own_client(tmp_path)
        client.create_experiment("small", f"{folder}/artifacts")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "small")
        monkeypatch.setattr(learning, "register_classifier", too_late)
        with pytest.raises(SystemExit, match="2"):
            train.main(flags(SMALL))
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith("train: the disk is full")
        assert said.endswith("then give the same command again")
        assert not client.search_model_versions("name = 'late'")
        assert list(Path("mine").glob("step-*/progress.json"))
        (folder / "filler").unlink()
        monkeypatch.setattr(learning, "register_classifier", registered)
        train.main(flags(SMALL))
        assert "goes on with the training in mine" in capsys.readouterr().out
        (version,) = client.search_model_versions("name = 'late'")
        assert version.version == 1
        assert not Path("mine").exists()


def test_a_server_that_dies_in_the_middle(chain_once, tmp_path, monkeypatch):
    shutil.copytree(chain_once.folder / "demo" / "dataset", tmp_path / "demo" / "dataset")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # four minutes otherwise
    often = SMALL | {"epochs": 1000, "checkpoint_minutes": 1e-6}
    server = serve(tmp_path, port)
    try:
        process = commands.start("train", often, tmp_path, store=f"http://127.0.0.1:{port}")
        wait_until(lambda: list(tmp_path.glob("mine/step-*/progress.json")))
        end(server)
        _, err = process.communicate(timeout=180)
        assert process.returncode == 2, err
        assert "Traceback" not in err
        assert err.splitlines()[-1] == (
            "train: the tracking server does not answer any more; start it, then give the same "
            "command again"
        )
        server = serve(tmp_path, port)
        process = commands.start("train", often, tmp_path, store=f"http://127.0.0.1:{port}")
        said = islice(process.stdout, 4)
        assert any("goes on with the training in mine" in line for line in said)
        process.terminate()
        process.communicate(timeout=60)
        client = MlflowClient(f"http://127.0.0.1:{port}")
        experiment = client.get_experiment_by_name("fundus").experiment_id
        assert [run.info.status for run in client.search_runs([experiment])] == ["KILLED", "KILLED"]
    finally:
        end(server)


def serve(folder, port):
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", str(port), "--backend-store-uri", f"sqlite:///{folder}/server.db"]
    server = subprocess.Popen(
        command, cwd=folder, start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"))
    return server


def end(server):
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def answers(address):
    try:
        with urlopen(address, timeout=2) as answer:  # noqa: S310 - our own server
            return answer.status == 200
    except (URLError, OSError):
        return False


def wait_until(true):
    end = time.monotonic() + 240
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)
