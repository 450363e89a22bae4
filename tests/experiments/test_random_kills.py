"""Every entry point, killed at random moments and begun again: nothing lost, nothing left.

``FUNDUS_KILLS`` says how often each is killed (20), ``FUNDUS_KILLS_SEED`` at which moments.
"""

import hashlib
import os
import random
import shutil
import signal
import time

import pytest

from tests.experiments import commands
from tests.experiments.conftest import SMALL as CHAIN
from tests.experiments.conftest import own_client

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("FUNDUS_KILLS", "20"))
SEED = int(os.environ.get("FUNDUS_KILLS_SEED", "0"))
DATASET = {"dataset": "demo/dataset", "bootstrap": 50}
NETWORK = {
    "dataset": "demo/dataset", "head_hidden": 8, "batch_size": 16, "arch": "test_resnet",
    "weights": "none",
}  # fmt: skip
CLEAN, ROBUST = "models:/fundus-sex/1", "models:/fundus-sex/2"
OFTEN = {"checkpoint_minutes": 1e-6}
VALUES = {
    "preprocess": {"patients": 80, "size": 40, "workers": 2, "out": "new/eyes"},
    "audit": DATASET | {"permutations": 200},
    "pretrain": NETWORK | OFTEN | {"epochs": 3, "projector": 32, "checkpoints": "mine/pretrain"},
    "train": NETWORK | OFTEN | {"epochs": 3, "bootstrap": 50, "checkpoints": "mine/train"},
    "tune": NETWORK | {"epochs": 1, "trials": 2, "heartbeat": 1, "study": "kills"},
    "robustify": DATASET | OFTEN | {"model": CLEAN, "epochs": 1, "eps": 1, "attack_steps": 1,
                                    "gate": "false", "checkpoints": "mine/robust"},
    "average": DATASET | {"models": f"{CLEAN},{ROBUST}", "batch_size": 16},
    "evaluate": DATASET | {"model": CLEAN, "eps": 1, "attack_steps": 2},
    "compare": DATASET | {"models": f"{CLEAN},{ROBUST}"},
    "promote": DATASET | {"model": CLEAN},
    "modulate": DATASET | {"model": ROBUST, "images": 4, "eps": "1,4", "attack_steps": 3,
                           "kept": "mine/modulation"},
    "reader_study": {"eps": 4, "question": "changed", "catch_trials": 1},
    "main": CHAIN | {"out": "new/chain"},
}  # fmt: skip
del VALUES["audit"]["bootstrap"]


@pytest.fixture
def place(chain_once, tmp_path):
    """A folder with a dataset, versions, and files of somebody else."""
    shutil.copytree(chain_once.folder / "demo" / "dataset", tmp_path / "demo" / "dataset")
    shutil.copy(chain_once.folder / "mlflow.db", tmp_path / "mlflow.db")
    for name in ("thesis.tex", "mine/notes.txt", "new/notes.txt", "checkpoints/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("somebody's only copy")
    (tmp_path / "temporary").mkdir()
    store = own_client(tmp_path)
    store.create_experiment("kills", str(tmp_path / "artifacts"))
    return tmp_path


@pytest.fixture
def begin(place, entry_point):
    """Give the command under test in ``place``."""
    values = dict(VALUES[entry_point])
    if entry_point == "reader_study":
        values["run"] = finished_modulation(place)

    def give():
        return commands.start(
            entry_point, values, place, temporary=place / "temporary", experiment="kills"
        )

    return give


def finished_modulation(place):
    found = [run for run in commands.runs(place) if run.data.tags["stage"] == "modulate"]
    return max(found, key=lambda run: run.info.start_time).info.run_id


def hashes(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in [*folder.rglob("notes.txt"), folder / "thesis.tex", *folder.glob("demo/**/*")]
        if path.is_file()
    }


def ended(process, place):
    """Wait for a command; returns how long its work took, without the start of Python."""
    begun = work_begun(process, place)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err[-3000:] + out[-1000:]
    return time.monotonic() - begun


def work_begun(process, place):
    known = set((place / "temporary").iterdir())
    while process.poll() is None and not set((place / "temporary").iterdir()) - known:
        time.sleep(0.01)
    return time.monotonic()


def killed(process, place, seconds, number):
    """Kill a command in the middle of its work, or let it end; says whether it was killed."""
    work_begun(process, place)
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)  # comes back once no process holds its output
    assert process.returncode in {0, -number, 128 + number}, err[-3000:]
    assert not left_after(process, seconds=10)
    return process.returncode != 0


def left_after(process, *, seconds):
    """Processes that a command left; joblib's own cleaner takes a moment."""
    end = time.monotonic() + seconds
    while (left := commands.processes(process.pid)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def check_nothing_is_left(place, before):
    assert not commands.running(place)
    assert not list((place / "temporary").iterdir())
    assert hashes(place) == before
    left = {path.name for path in place.glob("mine/*")} | {
        path.name for path in place.glob("new/.*")
    }
    assert left == {"notes.txt"}
    assert [path.name for path in place.glob("checkpoints/*")] == ["notes.txt"]


@pytest.mark.parametrize("entry_point", VALUES)
def test_killed_at_random_moments_it_ends_well_in_the_end(place, begin, entry_point):
    before = hashes(place)
    seconds = ended(begin(), place)
    dice = random.Random(f"{SEED} {entry_point}")
    done = [
        killed(
            begin(),
            place,
            dice.uniform(0, seconds),
            dice.choice([signal.SIGKILL] * 3 + [signal.SIGTERM]),
        )
        for _ in range(KILLS)
    ]
    ended(begin(), place)
    print(f"{entry_point}: {sum(done)} of {KILLS} killed in {seconds:.1f} s of work")  # noqa: T201
    check_nothing_is_left(place, before)


@pytest.mark.parametrize("entry_point", VALUES)
def test_two_identical_commands_at_once(place, begin, entry_point):  # noqa: ARG001 - begin has it
    before = hashes(place)
    both = [begin(), begin()]
    for process in both:
        out, err = process.communicate(timeout=900)
        assert "Traceback" not in out + err, err[-3000:]
        assert process.returncode in {0, 2}, err[-3000:]
    assert 0 in {process.returncode for process in both}
    ended(begin(), place)
    check_nothing_is_left(place, before)
