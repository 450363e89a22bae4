"""A training that was interrupted goes on to the same bits; what it left is whole or not there."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from fundus_ml.data.owned_folders import MARKER
from fundus_ml.errors import InputError
from fundus_ml.models import measured_precision
from fundus_ml.models.measured_precision import telling
from fundus_ml.training import Checkpoints, TrainingOptions, fit
from fundus_ml.training.checkpoints import fill_optimizer, flat_optimizer
from tests.fundus_ml.tiny_learning import SmallNetwork, make_dataset
from tests.fundus_ml.trees import plant, tree

ALWAYS = 1e-9
"""Minutes between checkpoints that are over before the next step."""
HOW = {
    "plain": {},
    "averaged": {"ema": 0.9, "augment": "full"},
    "sgd": {"optimizer": "sgd", "schedule": "onecycle", "balance": "sampler"},
    "scaled": {"precision": "fp16", "clip_norm": 1.0, "layer_decay": 0.7},
    "patient": {"patience": 2, "epochs": 8, "lr": 0.05},
}


class Interrupted(Exception):  # noqa: N818 (nothing went wrong)
    pass


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eyes") / "tiny"
    return make_dataset(folder, people={"train": 13, "val": 6})


def run(eyes, folder, options, *, stop_at=None, minutes=ALWAYS):
    """Fit with checkpoints, up to a step; give back the result and its rows."""
    checkpoints = Checkpoints(folder, {"lr": options.lr}, minutes=minutes)
    rows = []

    def on_step(done, _total):
        if done == stop_at:
            raise Interrupted

    fitted = fit(
        SmallNetwork(), eyes.split("train"), eyes.split("val"), options,
        checkpoints=checkpoints, on_step=on_step, on_epoch_end=rows.append,
    )  # fmt: skip
    return fitted, rows


def equal(first, second):
    theirs = second.model.state_dict()
    return all(torch.equal(v, theirs[k]) for k, v in first.model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "minutes"), [*((name, ALWAYS) for name in HOW), ("averaged", 0), ("patient", 0)]
)
def test_interrupted_anywhere_it_ends_in_the_same_bits(eyes, tmp_path, name, minutes):
    """At the start, inside an epoch, at its end, in the last epoch; twice in one training."""
    usual = {"epochs": 4, "batch_size": 8, "lr": 0.02, "precision": "fp32", "seed": 5}
    options = TrainingOptions(**usual | HOW[name])
    whole, whole_rows = run(eyes, tmp_path / "whole", options, minutes=minutes)
    for stop_at in (2, 3, 4, 8):
        with pytest.raises(Interrupted):
            run(eyes, tmp_path / "parts", options, stop_at=stop_at, minutes=minutes)
    resumed, rows = run(eyes, tmp_path / "parts", options, minutes=minutes)
    assert equal(resumed, whole)
    assert resumed.best_epoch == whole.best_epoch
    for row, wanted in zip(rows, whole_rows, strict=True):
        assert {**row, "seconds": 0} == {**wanted, "seconds": 0}
    assert resumed.seconds_per_step > 0


@pytest.mark.parametrize(("first", "then"), [("bf16", "fp32"), ("fp32", "bf16")])
def test_a_training_goes_on_in_the_precision_it_began_in(eyes, tmp_path, monkeypatch, first, then):
    """Also where the process that goes on would measure otherwise: the bits are the same."""

    def quicker(precision):
        """Let a new process find it to be so."""
        monkeypatch.setattr(measured_precision, "_CHOICES", {})
        monkeypatch.setattr(
            measured_precision, "seconds_of_step",
            lambda _model, _images, half, _patience: float((half is None) == (precision == "bf16")),
        )  # fmt: skip

    options = TrainingOptions(epochs=2, batch_size=8, lr=0.02, seed=5)
    quicker(first)
    whole, whole_rows = run(eyes, tmp_path / "whole", options)
    with pytest.raises(Interrupted):
        run(eyes, tmp_path / "parts", options, stop_at=2)
    quicker(then)
    heard = []
    with telling(heard.append):
        resumed, rows = run(eyes, tmp_path / "parts", options)
    assert equal(resumed, whole)
    assert [row["val_loss"] for row in rows] == [row["val_loss"] for row in whole_rows]
    assert {choice.words for choice in heard} == {f"precision=auto: {first}, as the training began"}
    quicker(then)
    assert not equal(run(eyes, tmp_path / "other", options)[0], whole)


def test_a_finished_training_is_only_read(eyes, tmp_path):
    options = TrainingOptions(epochs=2, batch_size=8, precision="fp32")
    first, rows = run(eyes, tmp_path / "c", options)
    again, replayed = run(eyes, tmp_path / "c", options, stop_at=1)
    assert equal(first, again)
    assert rows == replayed


def test_only_the_newest_is_kept(eyes, tmp_path):
    run(eyes, tmp_path / "c", TrainingOptions(epochs=2, batch_size=8, precision="fp32"))
    assert [p.name for p in (tmp_path / "c").glob("step-*")] == ["step-000000006"]


def test_nothing_in_it_is_a_pickle(eyes, tmp_path):
    run(eyes, tmp_path / "c", TrainingOptions(epochs=1, batch_size=8, precision="fp32"))
    files = {p.suffix for p in (tmp_path / "c").rglob("*") if p.is_file()}
    assert files == {".json", ".safetensors"}


def test_what_was_half_written_is_not_read(eyes, tmp_path):
    """A folder that was never renamed is no checkpoint, and goes."""
    options = TrainingOptions(epochs=2, batch_size=8, precision="fp32")
    with pytest.raises(Interrupted):
        run(eyes, tmp_path / "c", options, stop_at=4)
    (whole,) = (tmp_path / "c").glob("step-*")
    half = whole.with_name("step-000000099.partial")
    shutil.copytree(whole, half)
    (half / "progress.json").write_text("{")
    (half / ".tmpa1B2c3").write_bytes(
        b"a file of tensors that was cut off, as the library names it"
    )
    resumed, _ = run(eyes, tmp_path / "c", options)
    assert equal(resumed, run(eyes, tmp_path / "other", options)[0])
    assert not half.exists()


def test_inside_an_epoch_it_waits_its_minutes(tmp_path):
    assert not Checkpoints(tmp_path / "a", {}, minutes=10).due()
    assert not Checkpoints(tmp_path / "b", {}, minutes=0).due()
    assert Checkpoints(tmp_path / "c", {}, minutes=ALWAYS).due()


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ({"lr": 0.1, "seed": 1}, {"lr": 0.2, "seed": 1}, "lr=0.2: the training begun in .* lr=0.1"),
        ({"lr": 0.1}, {"lr": 0.1, "seed": 1}, "seed=1: the training begun in .* seed=nothing"),
        ({"lr": 0.1, "ema": 0.5}, {"lr": 0.1}, "ema=nothing: the training begun in .* ema=0.5"),
    ],
)
def test_another_training_is_refused_by_name(tmp_path, then, now, said):
    Checkpoints(tmp_path / "c", then)
    with pytest.raises(InputError, match=said):
        Checkpoints(tmp_path / "c", now)
    assert json.loads((tmp_path / "c" / "training.json").read_text())["identity"] == then


def test_values_that_json_writes_alike_are_alike(tmp_path):
    Checkpoints(tmp_path / "c", {"eps": (1.0, 2.0)})
    Checkpoints(tmp_path / "c", {"eps": [1.0, 2.0]})


def test_the_note_of_the_process_before_is_handed_on(tmp_path):
    assert Checkpoints(tmp_path / "c", {}, note={"run_id": "a"}).found_note == {}
    assert Checkpoints(tmp_path / "c", {}, note={"run_id": "b"}).found_note == {"run_id": "a"}
    assert Checkpoints(tmp_path / "c", {}, writes=False).found_note == {"run_id": "b"}
    assert Checkpoints(tmp_path / "c", {}).found_note == {"run_id": "b"}


@pytest.mark.parametrize(
    "planted",
    [
        ["step-000000001/model.safetensors"],
        ["step-notes/a.txt"],
        [".git/HEAD", "train.py"],
        ["dataset.json", "manifest.parquet", "pixels-00000.npy"],
        ["photos/a.jpg"],
        ["training.json"],
        ["run.json", "modulation/000000.npz"],
    ],
)
def test_a_folder_of_something_else_is_refused_untouched(tmp_path, planted):
    plant(tmp_path, planted)
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"checkpoints=.*; name a new or empty folder"):
        Checkpoints(tmp_path, {})
    assert tree(tmp_path) == before


def begun(folder):
    """A training that wrote two checkpoints."""
    checkpoints = Checkpoints(folder, {"lr": 0.1})
    for step in (1, 2):
        checkpoints.save(step, {"model": {"w": torch.ones(3)}}, {"step": step})
    return checkpoints


@pytest.mark.parametrize(
    "planted",
    [
        "notes.txt",
        "step-notes/a.txt",
        "step-1/model.safetensors",
        "step-000000002/notes.txt",
        "step-000000002/old/model.safetensors",
        "step-000000007.partial/notes.txt",
        "training.json.bak",
        "empty/",
    ],
)
def test_what_others_put_there_survives_saving_loading_and_the_end(tmp_path, planted):
    begun(tmp_path / "c")
    plant(tmp_path / "c", [planted])
    checkpoints = Checkpoints(tmp_path / "c", {"lr": 0.1})
    assert checkpoints.load().progress == {"step": 2}
    checkpoints.save(3, {"model": {"w": torch.ones(3)}}, {"step": 3})
    assert checkpoints.load().progress == {"step": 3}
    checkpoints.remove()
    plant(tmp_path / "alone", [planted])
    assert tree(tmp_path / "c") == tree(tmp_path / "alone")


def test_what_stays_is_named(tmp_path):
    checkpoints = begun(tmp_path / "c")
    plant(tmp_path / "c", ["step-000000002/notes.txt", "notes.txt"])
    assert checkpoints.remove() == ["notes.txt", "step-000000002"]


def test_a_link_is_never_followed(tmp_path):
    plant(tmp_path / "elsewhere", ["model.safetensors", "progress.json"])
    checkpoints = begun(tmp_path / "c")
    (tmp_path / "c" / "step-000000009.partial").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "c" / "step-000000001").symlink_to(tmp_path / "elsewhere")
    before = tree(tmp_path / "elsewhere")
    checkpoints.load()
    checkpoints.save(3, {"model": {"w": torch.ones(3)}}, {})
    checkpoints.remove()
    assert tree(tmp_path / "elsewhere") == before


def test_a_link_in_place_of_a_checkpoint_is_refused(tmp_path):
    begun(tmp_path / "c")
    (tmp_path / "c" / "step-000000009").symlink_to(tmp_path)
    with pytest.raises(InputError, match=r"checkpoints=.*c: holds step-000000009"):
        Checkpoints(tmp_path / "c", {"lr": 0.1})


def test_the_same_step_again_takes_no_file_of_others(tmp_path):
    checkpoints = begun(tmp_path / "c")
    plant(tmp_path / "c", ["step-000000002/notes.txt"])
    with pytest.raises(InputError, match=r"step-000000002: holds notes.txt; move that elsewhere"):
        checkpoints.save(2, {"model": {"w": torch.zeros(3)}}, {})
    assert torch.equal(checkpoints.load().tensors["model"]["w"], torch.ones(3))


def test_a_folder_of_an_older_version_goes_on(tmp_path):
    """It has no marker, and nothing in it but what that version wrote."""
    begun(tmp_path / "c")
    (tmp_path / "c" / MARKER).unlink()
    (tmp_path / "c" / "lock").touch()
    checkpoints = Checkpoints(tmp_path / "c", {"lr": 0.1})
    assert checkpoints.load().progress == {"step": 2}
    assert checkpoints.remove() == []
    assert not (tmp_path / "c").exists()


def test_the_rest_of_a_removal_is_no_training(tmp_path):
    """Killed after the description went: the next training there begins anew."""
    begun(tmp_path / "c")
    (tmp_path / "c" / "training.json").unlink()
    assert Checkpoints(tmp_path / "c", {"lr": 0.5}).load() is None
    assert not list((tmp_path / "c").glob("step-*"))


def test_a_damaged_description_is_refused(tmp_path):
    begun(tmp_path / "c")
    (tmp_path / "c" / "training.json").write_text("{}")
    with pytest.raises(InputError, match=r"its training.json is missing or not that of a training"):
        Checkpoints(tmp_path / "c", {"lr": 0.1})


@pytest.mark.parametrize("name", ["model.safetensors", "progress.json"])
def test_a_damaged_checkpoint_is_refused(eyes, tmp_path, name):
    options = TrainingOptions(epochs=2, batch_size=8, precision="fp32")
    with pytest.raises(Interrupted):
        run(eyes, tmp_path / "c", options, stop_at=4)
    (whole,) = (tmp_path / "c").glob("step-*")
    (whole / name).write_bytes(b"garbage")
    with pytest.raises(InputError, match=r"checkpoints=.*: cannot be read"):
        run(eyes, tmp_path / "c", options)


@pytest.mark.parametrize("make", [torch.optim.AdamW, lambda p: torch.optim.SGD(p, momentum=0.9)])
def test_an_optimizer_comes_back_in_its_layout(make):
    """Channels-last weights keep channels-last moments, or the next step is another one."""
    layer = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = make(layer.parameters())
    layer(torch.rand(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    tensors, plain = flat_optimizer(optimizer)
    plain = json.loads(json.dumps(plain))
    copied = {key: value.contiguous().clone() for key, value in tensors.items()}
    other = make(layer.parameters())
    fill_optimizer(other, copied, plain)
    for parameter in layer.parameters():
        for key, value in optimizer.state[parameter].items():
            found = other.state[parameter][key]
            assert torch.equal(found, value)
            assert found.stride() == value.stride()
    assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


def test_floats_come_back_to_the_last_bit(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", {})
    values = np.random.default_rng(0).random(50).tolist()
    checkpoints.save(3, {"model": {"w": torch.rand(3)}}, {"values": values, "low": float("-inf")})
    found = checkpoints.load()
    assert found.progress == {"values": values, "low": float("-inf")}
    checkpoints.remove()
    assert not (tmp_path / "c").exists()
