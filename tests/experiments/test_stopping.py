"""Ctrl-C and SIGTERM: children gone, the run KILLED, one line, and the same command goes on."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from experiments.running.stopping import STOPPING, Stopped, stoppable
from experiments.running.temporary import temporary_folder
from tests.experiments import commands
from tracking.processes import this_process

TRAINING = {
    "dataset": "demo/dataset", "arch": "test_resnet", "weights": "none", "head_hidden": 8,
    "batch_size": 16, "bootstrap": 50, "checkpoint_minutes": 1e-6,
}  # fmt: skip


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(0.01)


@pytest.fixture(autouse=True)
def heard():
    """Who started these tests may ignore signals, as ``nohup`` does; the tests do not."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_becomes_an_exception_with_its_exit_code(number):
    with pytest.raises(Stopped) as stopped, stoppable():
        send(number)
    assert stopped.value.exit_code == 128 + number
    assert str(stopped.value) == f"interrupted by {number.name}"


def test_signals_after_the_first_do_not_disturb_the_cleanup():
    cleaned = []

    def work():
        try:
            send(signal.SIGTERM)
        finally:
            send(signal.SIGINT)
            send(signal.SIGTERM)
            cleaned.append("all")

    with pytest.raises(Stopped), stoppable():
        work()
    assert cleaned == ["all"]


def test_handlers_are_put_back_and_what_is_ignored_stays_ignored():
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert {number: signal.getsignal(number) for number in STOPPING} == before
    finally:
        signal.signal(signal.SIGHUP, earlier)


def test_temporary_files_of_libraries_go_with_the_process(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as folder:
        left = Path(tempfile.mkdtemp())
        assert left.parent == folder
    assert not list(tmp_path.iterdir())
    assert tempfile.gettempdir() == str(tmp_path)


def test_only_folders_of_processes_that_are_gone_are_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    with temporary_folder() as own:
        prefix = own.name.rpartition("-")[0]
    here = this_process()
    gone = prefix.replace(f"-{here.pid}-", f"-{ended.pid}-")
    kept = {f"{prefix}-living", f"{gone.replace('fundus-run-', 'fundus-run-x')}-a", "fundus-run-my"}
    for name in (f"{gone}-abc", *kept):
        (tmp_path / name / "deep").mkdir(parents=True)
    with temporary_folder() as own:
        assert {path.name for path in tmp_path.iterdir()} == kept | {own.name}


@pytest.fixture
def folder(chain_once, tmp_path):
    """A copy of the chain's dataset and store to work in."""
    shutil.copytree(chain_once.folder / "demo" / "dataset", tmp_path / "demo" / "dataset")
    shutil.copy(chain_once.folder / "mlflow.db", tmp_path / "mlflow.db")
    return tmp_path


def wait_until(true, process):
    end = time.monotonic() + 120
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def wait_for_none(left, seconds=10):
    """Processes that clean up after others take a moment."""
    end = time.monotonic() + seconds
    while found := left():
        assert time.monotonic() < end, found
        time.sleep(0.05)


def check_stopped(process, number, folder, name):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    lines = [line for line in err.splitlines() if line.startswith(f"{name}: interrupted")]
    assert lines == [f"{name}: interrupted by {number.name}; the same command goes on"]
    assert "Traceback" not in err + out
    wait_for_none(lambda: commands.processes(process.pid))
    assert not commands.running(folder)
    newest = max(commands.runs(folder), key=lambda run: run.info.start_time)
    assert newest.info.status == "KILLED"
    assert newest.data.tags["failure"] == f"interrupted by {number.name}"


@pytest.mark.slow
@pytest.mark.parametrize("number", STOPPING)
def test_a_training_that_is_told_to_end_goes_on_later(folder, number):
    temporary = folder / "temporary"
    temporary.mkdir()
    process = commands.start("train", TRAINING | {"epochs": 1000}, folder, temporary=temporary)
    wait_until(lambda: list(folder.glob("checkpoints/*/step-*/progress.json")), process)
    process.send_signal(number)
    check_stopped(process, number, folder, "train")
    assert not list(temporary.iterdir())
    process = commands.start("train", TRAINING | {"epochs": 1000}, folder)
    wait_until(lambda: "KILLED" not in newest_statuses(folder)[:1], process)
    said = process.stdout.readline()
    assert said.startswith("goes on with the training in checkpoints/train-")
    process.kill()
    process.communicate()


def newest_statuses(folder):
    found = sorted(commands.runs(folder), key=lambda run: -run.info.start_time)
    return [run.info.status for run in found]


@pytest.mark.slow
def test_a_preprocessing_with_processes_that_is_told_to_end(folder):
    values = {"patients": 3000, "size": 64, "workers": 2, "out": "new"}
    process = commands.start("preprocess", values, folder)
    wait_until(lambda: any(folder.glob(".new.partial/work/*")), process)
    process.terminate()
    check_stopped(process, signal.SIGTERM, folder, "preprocess")


LONG = {
    "preprocess": (
        {"patients": 3000, "size": 64, "workers": 1, "out": "new"},
        ".new.partial/work/*",
    ),
    "train": (TRAINING | {"epochs": 1000}, "checkpoints/train-*/step-*/progress.json"),
    "tune": (
        {"dataset": "demo/dataset", "arch": "test_resnet", "weights": "none", "epochs": 1000,
         "batch_size": 16, "trials": 2, "study": "long"},
        "optuna.db",
    ),
    "modulate": (
        {"dataset": "demo/dataset", "model": "models:/fundus-sex/1", "eps": "1,2", "images": 8,
         "batch_size": 1, "attack_steps": 200, "bootstrap": 50},
        "checkpoints/modulate-*/modulation/*.npz",
    ),
    "main": (
        {"source": "synthetic", "size": 40, "patients": 60, "epochs": 1000, "batch_size": 16,
         "workers": 1, "out": "long"},
        "checkpoints/train-*/step-*/progress.json",
    ),
}  # fmt: skip
"""Commands that take long, and the file that shows that each is at work."""
GOES_ON = {
    "preprocess": "",
    "train": "goes on with the training in checkpoints/train-",
    "tune": "",
    "modulate": "goes on with the modulation in checkpoints/modulate-",
    "main": "[2/7] train: goes on with the training in checkpoints/train-",
}
"""What the same command says when it is given again."""


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_ctrl_c_ends_in_one_line_and_the_same_command_goes_on(folder, name):
    values, sign = LONG[name]
    process = commands.start(name, values, folder)
    wait_until(lambda: any(folder.glob(sign)), process)
    if name == "tune":  # a trial has begun
        wait_until(lambda: len(commands.running(folder)) > 1, process)
    process.send_signal(signal.SIGINT)
    check_stopped(process, signal.SIGINT, folder, name)
    process = commands.start(name, values, folder)
    try:
        wait_until(lambda: commands.running(folder), process)
        said = process.stdout.readline() if GOES_ON[name] else ""
        while GOES_ON[name] not in said:
            assert said, process.communicate()
            said = process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("library", ["libtorch", "pandas", "sqlalchemy"])
def test_ctrl_c_ends_imports_too(tmp_path, name, library):
    """Nothing is recorded then: no run was begun."""
    process = commands.start(name, LONG[name][0], tmp_path)
    maps = Path(f"/proc/{process.pid}/maps")
    wait_until(lambda: library in maps.read_text(), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT, err
    assert out == ""
    assert err == f"{name}: interrupted by SIGINT; the same command goes on\n"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_several_processes_under_torchrun(folder, number):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    process = commands.start("train", TRAINING | {"epochs": 1000}, folder, launcher=launcher)
    wait_until(lambda: list(folder.glob("checkpoints/*/step-*/progress.json")), process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert err.count("train: interrupted by ") == 1
    assert not commands.processes(process.pid)
    assert newest_statuses(folder)[0] == "KILLED"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("launcher", ["torchrun", "mlflow run"])
def test_what_a_launcher_started_ends_with_it(folder, number, launcher):
    if launcher == "torchrun":
        begin = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        process = commands.start("train", TRAINING | {"epochs": 1000}, folder, launcher=begin)
    else:
        places = {"dataset": folder / "demo/dataset", "checkpoints": folder / "checkpoints/own"}
        process = by_mlflow(TRAINING | {"epochs": 1000} | places, folder)
    wait_until(lambda: list(folder.glob("checkpoints/*/step-*/progress.json")), process)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert not commands.processes(process.pid)
    assert not commands.running(folder)


def by_mlflow(values, folder):
    given = [part for name, value in values.items() for part in ("-P", f"{name}={value}")]
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(commands.ROOT)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    command = [sys.executable, "-m", "mlflow", "run", str(commands.ROOT), "--env-manager", "local"]
    return subprocess.Popen(
        [*command, "-e", "train", "--experiment-name", "fundus", *given], cwd=folder,
        env=environment, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
