"""Folders that are not ours, named by mistake: one line before any work, and nothing is touched."""

import json
from pathlib import Path

import pytest

from experiments import main, modulate, preprocess, pretrain, robustify, train
from experiments.running.kept_pictures import KEPT, batches_of, kept_pictures
from experiments.running.options import ResumableOptions
from experiments.running.resuming import resumable
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.owned_folders import MARKER, FolderBusyError, alone_in
from fundus_ml.errors import InputError
from fundus_ml.modulation.control_table import CLEAN_MODEL, MODULATION
from tests.experiments.conftest import flags
from tests.fundus_ml.tiny_eyes import write_folder
from tests.fundus_ml.trees import plant, tree
from tracking.runs import start_run

pytestmark = pytest.mark.usefixtures("unrendered")

IDENTITY = {"eps": [1]}
"""Everything that decides the pictures of these tests."""
FOREIGN = ["run.json", "training.json", "step-notes/a.txt", "modulation/a.txt"]
TRAINING = {"epochs": 1, "batch_size": 8, "warmup": 0}
MADE = {
    train: {"flag": "checkpoints", **TRAINING, "arch": "test_resnet", "weights": "none"},
    robustify: {"flag": "checkpoints", **TRAINING, "model": "models:/eye/1", "eps": 1},
    pretrain: {"flag": "checkpoints", **TRAINING, "arch": "test_resnet", "probe": "false"},
    modulate: {"flag": "kept", "model": "models:/eye/1", "images": 2},
}
"""Who keeps unfinished work in a folder: by which flag, and small."""


@pytest.fixture
def refused(capsys):
    """Run an entry point that must refuse; give back its line."""

    def run(module, **values):
        with pytest.raises(SystemExit, match="2"):
            module.main(flags(values))
        return capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]

    return run


@pytest.mark.parametrize("module", MADE)
def test_a_folder_of_others_is_not_taken(versions, refused, tmp_path, module):
    how = dict(MADE[module])
    flag = how.pop("flag")
    disk = tmp_path / "disk"
    plant(disk, FOREIGN)
    before = tree(disk)
    line = refused(module, dataset=versions.a, **how, **{flag: disk})
    assert f": {flag}={disk}: holds " in line
    assert line.endswith("; name a new or empty folder")
    assert tree(disk) == before


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("data", "lies in the dataset folder"),
        ("data/kept", "lies in the dataset folder"),
        (".", "is the working folder"),
        ("/", "is your home or lies around it"),
        ("loop", "cannot be "),
        ("loop/below", "cannot be "),
        ("n" * 256, "cannot be "),
    ],
)
@pytest.mark.usefixtures("versions")
def test_a_place_where_nothing_may_be_kept(folder, said):
    """The rule of both flags, before a step is learned."""
    Path("loop").symlink_to("loop")
    write_folder(Path("data"))
    dataset, before = open_dataset("data"), tree(Path("data"))
    config = ResumableOptions(checkpoints=folder)
    with start_run("train", {}) as run:
        for flag, keeping in (
            ("checkpoints", resumable("train", config, run, dataset=dataset)),
            ("kept", kept_pictures(folder, IDENTITY, run, datasets=dataset.paths)),
        ):
            with pytest.raises(InputError, match=f"^{flag}={folder}: {said}"):
                keeping.__enter__()
    assert tree(Path("data")) == before


def release(folder):
    """A table and what stands for its photographs."""
    plant(folder, ["a.png"])
    (folder / "labels.csv").write_text("file,patient_id,sex\na.png,1,f\n")


@pytest.mark.parametrize("out", ["own", "own/", "own/out", ".", "link/out", "other"])
@pytest.mark.usefixtures("versions")
def test_preprocess_writes_neither_over_nor_into_what_it_reads(refused, tmp_path, out):
    """Nor over a folder whose ``dataset.json`` is another program's."""
    disk = tmp_path / "disk"
    release(disk / "own")
    release(disk / "other")
    (disk / "other" / "dataset.json").write_text(json.dumps({"name": "", "training": []}))
    (disk / "link").symlink_to("own")
    before = tree(disk)
    line = refused(preprocess, source="folder", root=disk / "own", out=disk / out)
    assert line.startswith("preprocess: out=")
    assert tree(disk) == before


@pytest.mark.parametrize("out", ["/", ".", "~", "a,b", "~nobody-at-all/x", "", "n" * 256])
@pytest.mark.parametrize("module", [preprocess, pytest.param(main, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("versions")
def test_an_out_is_refused_before_any_work(refused, module, out):
    line = refused(module, patients=6, workers=1, out=out)
    assert ": out=" in line
    assert out in line
    assert not [path for path in Path().iterdir() if not path.name.startswith(("ml", "results.db"))]


@pytest.mark.usefixtures("versions")
def test_a_training_that_ends_well_leaves_what_others_added(tmp_path, capsys):
    config = ResumableOptions(checkpoints=str(tmp_path / "c"))
    write_folder(tmp_path / "data")
    dataset = open_dataset(str(tmp_path / "data"))
    with (
        start_run("train", {}) as run,
        resumable("train", config, run, dataset=dataset) as checkpoints,
    ):
        checkpoints.save(1, {}, {})
        plant(tmp_path / "c", ["notes.txt"])
    assert tree(tmp_path / "c") == {"notes.txt": b"mine"}
    assert capsys.readouterr().err == f"{tmp_path / 'c'}: stays, for it holds notes.txt\n"


@pytest.mark.usefixtures("versions")
def test_a_modulation_that_ends_well_leaves_what_others_added(tmp_path, capsys):
    with (
        start_run("modulate", {}) as run,
        kept_pictures(str(tmp_path / "k"), IDENTITY, run, datasets=()) as kept,
    ):
        for origin in (MODULATION, CLEAN_MODEL):
            batches_of(kept, origin)("000000", dict)
        plant(kept, ["modulation/notes.txt"])
    assert tree(tmp_path / "k") == {"modulation": None, "modulation/notes.txt": b"mine"}
    assert capsys.readouterr().err == f"{tmp_path / 'k'}: stays, for it holds modulation\n"


@pytest.mark.usefixtures("versions")
def test_a_modulation_is_removed_under_its_lock(tmp_path, monkeypatch):
    """Else a second process could begin in a folder that the first one deletes."""
    unlink, seen = Path.unlink, []

    def watched(path, *, missing_ok=False):
        if path.suffix == ".npz":
            with pytest.raises(FolderBusyError):
                alone_in(tmp_path / "k", KEPT, named="kept").__enter__()
            seen.append(path.name)
        unlink(path, missing_ok=missing_ok)

    with (
        start_run("modulate", {}) as run,
        kept_pictures(str(tmp_path / "k"), IDENTITY, run, datasets=()) as kept,
    ):
        batches_of(kept, MODULATION)("000000", dict)
        monkeypatch.setattr(Path, "unlink", watched)
    assert seen == ["000000.npz"]
    assert not (tmp_path / "k").exists()


@pytest.mark.usefixtures("versions")
def test_a_modulation_of_an_older_version_is_gone_on_with(tmp_path, capsys):
    """Its folder has no marker; a digest and a run say whose it is."""
    with start_run("modulate", {}) as first, pytest.raises(KeyboardInterrupt):
        stop_in(tmp_path / "k", first)
    (tmp_path / "k" / MARKER).unlink()
    with (
        start_run("modulate", {}) as run,
        kept_pictures(str(tmp_path / "k"), IDENTITY, run, datasets=()) as kept,
    ):
        assert (kept / "modulation" / "000000.npz").is_file()
    assert "goes on with the modulation in" in capsys.readouterr().out
    assert not (tmp_path / "k").exists()


def stop_in(folder, run):
    with kept_pictures(str(folder), IDENTITY, run, datasets=()) as kept:
        batches_of(kept, MODULATION)("000000", dict)
        raise KeyboardInterrupt
