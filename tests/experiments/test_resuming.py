"""Trainings that were killed, shared or begun twice, through the entry points."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock
from safetensors.numpy import load_file

from experiments import train
from experiments.running.flags import execute
from experiments.running.resuming import resumable
from experiments.running.session import read_dataset
from experiments.running.start import start_classifier
from fundus_ml.training import fit
from tests.experiments.conftest import flags, own_client
from tracking import registry, results

pytestmark = pytest.mark.usefixtures("unrendered", "unexported")

SMALL = {
    "arch": "test_resnet", "weights": "none", "head_hidden": 8, "epochs": 3, "batch_size": 16,
    "bootstrap": 50, "precision": "fp32", "ema": 0.9, "augment": "full",
}  # fmt: skip


def weights_of(name):
    """Weights of a name's newest version."""
    versions = own_client().search_model_versions(f"name = '{name}'")
    newest = max(int(version.version) for version in versions)
    folder = registry.download_files(f"models:/{name}/{newest}", Path(f"weights-{name}-{newest}"))
    return load_file(folder / "weights.safetensors")


def assert_same_bits(one, other):
    first, second = weights_of(one), weights_of(other)
    assert first.keys() == second.keys()
    assert all((first[key] == second[key]).all() for key in first)


def interrupted(config, run, *, after):
    """Do what ``train`` does, up to a step."""

    class Interrupted(Exception):  # noqa: N818
        pass

    def stop(done, _total):
        if done == after:
            raise Interrupted

    dataset = read_dataset(run, config.dataset, context="train", verify="full")
    classifier, _ = start_classifier(config, dataset, run)
    splits = dataset.split("train"), dataset.split("val")
    with pytest.raises(Interrupted), resumable("train", config, run, dataset=dataset) as kept:
        fit(classifier, *splits, config, checkpoints=kept, on_step=stop)
    return run.run_id


@pytest.mark.slow
def test_the_same_command_goes_on_where_it_stood(chain, capsys):
    """Same bits, whole curves, and both runs say how they belong together."""
    small = SMALL | {"dataset": chain.dataset}
    train.main(flags(small | {"register_as": "whole"}))
    config = train.TrainConfig(**small, register_as="parts", checkpoint_minutes=1e-6)
    earlier = execute("train", lambda c, run: interrupted(c, run, after=6), config)
    capsys.readouterr()
    train.main(flags(small | {"register_as": "parts", "checkpoint_minutes": 1e-6}))
    assert "goes on with the training in checkpoints/train-" in capsys.readouterr().out
    assert_same_bits("whole", "parts")
    client = own_client()
    version = registry.resolve("models:/parts/1")
    run = client.get_run(version.run_id)
    assert run.data.tags["continues"] == earlier
    assert client.get_run(earlier).data.tags["continued_by"] == version.run_id
    losses = client.get_metric_history(version.run_id, "train/loss")
    assert sorted(point.step for point in losses) == [1, 2, 3]
    assert not list(Path("checkpoints").iterdir())


@pytest.mark.slow
def test_a_folder_that_is_named_holds_one_training(chain, capsys):
    small = SMALL | {"dataset": chain.dataset, "checkpoints": "mine", "register_as": "mine"}
    config = train.TrainConfig(**small, checkpoint_minutes=1e-6)
    execute("train", lambda c, run: interrupted(c, run, after=3), config)
    with pytest.raises(SystemExit, match="2"):
        train.main(flags(small | {"lr": 0.5}))
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("train: lr=0.5: the training begun in checkpoints=mine has lr=0.001;")
    with FileLock("mine/lock"), pytest.raises(SystemExit, match="2"):
        train.main(flags(small))
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == "train: checkpoints=mine: another process works there"
    train.main(flags(small))
    assert not Path("mine").exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"checkpoint_minutes": 0}, "checkpoint_minutes=0.0: must be above 0"),
        ({"checkpoints": "file"}, "checkpoints=file: cannot be written (File exists)"),
        ({"batch_size": 4096}, "batch_size=4096: larger than the "),
    ],
)
def test_mistakes_end_in_one_line(chain, capsys, values, said):
    Path("file").write_text("mine")
    with pytest.raises(SystemExit, match="2"):
        train.main(flags(SMALL | {"dataset": chain.dataset} | values))
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert Path("file").read_text() == "mine"


def command(entry_point, values, *, processes=1):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    start = launcher if processes > 1 else []
    return [sys.executable, *start, "-m", f"experiments.{entry_point}", *flags(values)]


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_in_the_same_bits(chain):
    """SIGKILL inside epochs and while writing: it writes after every step, so mostly then."""
    small = SMALL | {"dataset": chain.dataset, "epochs": 6, "checkpoint_minutes": 1e-6}
    # As many threads as the killed ones have: sums of other threads round otherwise.
    unkilled = command("train", small | {"register_as": "unkilled"})
    subprocess.run(unkilled, env=environment(), check=True)
    killed = small | {"register_as": "killed", "checkpoints": "killed"}
    dice, begun = random.Random(0), 0
    while begun < 5:
        process = subprocess.Popen(
            command("train", killed), env=environment(), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        before = steps_kept()
        while steps_kept() == before and process.poll() is None:
            time.sleep(0.005)
        time.sleep(dice.uniform(0, 1.5))
        assert process.poll() is None, "it ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        begun += 1
    subprocess.run(command("train", killed), env=environment(), check=True)
    assert_same_bits("unkilled", "killed")
    assert not Path("killed").exists()


def steps_kept():
    return max(
        (p.name for p in Path("killed").glob("step-*") if p.suffix != ".partial"), default=""
    )


@pytest.mark.slow
def test_two_processes_leave_one_run_and_one_version(chain):
    """The curve of one process, and every eye counted once."""
    client = own_client()
    small = SMALL | {"dataset": chain.dataset, "register_as": "shared", "optimizer": "sgd"}
    # At larger rates rounding alone, as between one thread and two, moves the losses by 1e-4.
    small |= {"lr": 1e-4}
    before = runs(client)
    subprocess.run(command("train", small, processes=2), env=environment(), check=True)
    (run,) = runs(client) - before
    assert registry.resolve("models:/shared/1").run_id == run
    alone = command("train", small | {"register_as": "alone"})
    subprocess.run(alone, env=environment(), check=True)
    alone = registry.resolve("models:/alone/1").run_id
    for name in ("train/loss", "val/loss", "val/auroc"):
        one = [p.value for p in client.get_metric_history(run, name)]
        other = [p.value for p in client.get_metric_history(alone, name)]
        assert one == pytest.approx(other, abs=1e-4), name
    small = {"dataset": chain.dataset, "model": "models:/shared/1", "eps": "0.5", "bootstrap": 50}
    subprocess.run(command("evaluate", small, processes=2), env=environment(), check=True)
    shared = results.predictions(model="models:/shared/1")
    assert shared["attack"].value_counts().nunique() == 1
    assert not shared.duplicated(["image_id", "attack", "eps"]).any()
    clean = client.get_run(run).data.metrics["test/auroc"]
    assert clean == pytest.approx(client.get_run(alone).data.metrics["test/auroc"], abs=1e-3)


@pytest.mark.slow
def test_what_runs_as_one_refuses_several_processes(chain):  # noqa: ARG001
    values = {"patients": 6, "size": 32, "workers": 1, "out": "never"}
    done = subprocess.run(
        command("preprocess", values, processes=2), env=environment(), check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode
    assert "torchrun: 2 processes, but this entry point runs as one" in done.stderr
    assert not Path("never").exists()


def runs(client):
    experiments = [e.experiment_id for e in client.search_experiments()]
    return {run.info.run_id for run in client.search_runs(experiments)}
