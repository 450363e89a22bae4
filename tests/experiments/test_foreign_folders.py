"""Folders that are not ours, named by mistake: one line before any work, and nothing is touched."""

import json
from pathlib import Path

import pytest

from experiments import main, modulate, preprocess, pretrain, robustify, train
from experiments.protocol.kept_pictures import KEPT, batches_of, kept_pictures
from experiments.protocol.resuming import ResumableOptions, resumable
from fundus_ml.control_table import CLEAN_MODEL, MODULATION
from fundus_ml.dataset import open_dataset
from fundus_ml.dataset_folder import DATASET_FILES
from fundus_ml.errors import InputError
from fundus_ml.owned_folders import MARKER, FolderBusyError, alone_in
from tests.experiments.conftest import flags
from tests.fundus_ml.trees import plant, tree
from tracking.runs import start_run

FOREIGN = {"repository": [".git/HEAD", "train.py"], "somebodys": ["run.json", "training.json"]}
TRAINING = {"epochs": 1, "batch_size": 8, "bootstrap": 50}
MADE = {
    train: {"flag": "checkpoints", **TRAINING, "arch": "resnet18", "weights": "none"},
    robustify: {"flag": "checkpoints", **TRAINING, "model": "models:/fundus-sex/1", "eps": 1},
    pretrain: {"flag": "checkpoints", **TRAINING, "arch": "resnet18", "probe": "false"},
    modulate: {"flag": "kept", "bootstrap": 50, "model": "models:/fundus-sex/1", "images": 2},
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
def test_a_folder_of_others_is_not_taken(chain, refused, tmp_path, module):
    how = dict(MADE[module])
    flag = how.pop("flag")
    for name, planted in FOREIGN.items():
        plant(tmp_path / name, planted)
    before = tree(tmp_path)
    for name in FOREIGN:
        line = refused(module, dataset=chain.dataset, **how, **{flag: tmp_path / name})
        assert f": {flag}={tmp_path / name}: " in line
        assert line.endswith("; name a new or empty folder")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("demo/dataset", "lies in the dataset folder"),
        ("demo/dataset/kept", "lies in the dataset folder"),
        (".", "is the working folder"),
        ("/", "is your home or lies around it"),
        ("loop", "cannot be "),
        ("loop/below", "cannot be "),
        ("n" * 256, "cannot be "),
    ],
)
def test_a_place_where_nothing_may_be_kept(chain, folder, said, monkeypatch):
    """The rule of both flags, before a step is learned."""
    monkeypatch.chdir(chain.folder)
    Path("loop").unlink(missing_ok=True)
    Path("loop").symlink_to("loop")
    dataset = open_dataset("demo/dataset")
    before = tree(Path("demo/dataset"))
    config = ResumableOptions(checkpoints=folder)
    with start_run("train", {}) as run:
        for flag, keeping in (
            ("checkpoints", resumable("train", config, run, dataset=dataset)),
            ("kept", kept_pictures(folder, identity(), run, datasets=dataset.paths)),
        ):
            with pytest.raises(InputError, match=f"^{flag}={folder}: {said}"):
                keeping.__enter__()
    assert tree(Path("demo/dataset")) == before


def release(folder):
    """A table and what stands for its photographs."""
    plant(folder, ["a.png"])
    (folder / "labels.csv").write_text("file,patient_id,sex\na.png,1,f\n")


@pytest.mark.parametrize("out", ["own", "own/", "own/out", ".", "link/out", "other"])
def test_preprocess_writes_neither_over_nor_into_what_it_reads(refused, tmp_path, chain, out):  # noqa: ARG001
    """Nor over a folder whose ``dataset.json`` is another program's."""
    release(tmp_path / "own")
    release(tmp_path / "other")
    (tmp_path / "other" / "dataset.json").write_text(json.dumps({"name": "", "training": []}))
    (tmp_path / "link").symlink_to("own")
    before = tree(tmp_path)
    line = refused(preprocess, source="folder", root=tmp_path / "own", out=tmp_path / out)
    assert line.startswith("preprocess: out=")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("out", ["/", ".", "~", "a,b", "~nobody-at-all/x", "", "n" * 256])
def test_preprocess_and_main_refuse_an_out_before_any_work(refused, chain, out):  # noqa: ARG001
    before = sorted(Path().iterdir())
    for module in (preprocess, main):
        line = refused(module, patients=6, workers=1, out=out)
        assert f": out={out}" in line or "File name too long" in line
    assert sorted(Path().iterdir()) == before


def test_preprocess_reads_again_what_it_wrote_below_a_home(tmp_path, monkeypatch, chain):  # noqa: ARG001
    """Both in the same command and as ``dataset=~/…`` in the next."""
    monkeypatch.setenv("HOME", str(tmp_path))
    small = {"patients": 12, "size": 32, "workers": 1, "permutations": 1}
    preprocess.main(flags(small | {"out": "~/data"}))
    assert len(open_dataset("~/data"))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_every_file_of_a_dataset_folder_is_listed(chain):
    """Or it could never be replaced: name the new file in ``DATASET_FILES``."""
    assert DATASET_FILES.foreign(Path(chain.dataset)) == []


def test_main_replaces_no_summary_of_others(refused, tmp_path, chain):
    plant(tmp_path, ["summary.html", "photo.jpg"])
    before = tree(tmp_path)
    line = refused(main, out=tmp_path)
    assert line.startswith(f"main: out={tmp_path}: holds summary.html, which main did not write")
    assert tree(tmp_path) == before
    for name in ("summary.html", "summary.json"):
        (tmp_path / name).write_bytes((chain.folder / "demo" / name).read_bytes())
    (tmp_path / "dataset").mkdir()
    plant(tmp_path / "dataset", ["mine"])
    refused(main, out=tmp_path)
    assert tree(tmp_path) == {"photo.jpg": b"mine", "dataset": None, "dataset/mine": b"mine"}


def identity():
    return {"eps": [1]}


def test_a_training_that_ends_well_leaves_what_others_added(chain, tmp_path, capsys):
    config = ResumableOptions(checkpoints=str(tmp_path / "c"))
    dataset = open_dataset(chain.dataset)
    with (
        start_run("train", {}) as run,
        resumable("train", config, run, dataset=dataset) as checkpoints,
    ):
        checkpoints.save(1, {}, {})
        plant(tmp_path / "c", ["notes.txt"])
    assert tree(tmp_path) == {"c": None, "c/notes.txt": b"mine"}
    assert capsys.readouterr().err == f"{tmp_path / 'c'}: stays, for it holds notes.txt\n"


def test_a_modulation_that_ends_well_leaves_what_others_added(chain, tmp_path, capsys):  # noqa: ARG001
    with (
        start_run("modulate", {}) as run,
        kept_pictures(str(tmp_path / "k"), identity(), run, datasets=()) as kept,
    ):
        for origin in (MODULATION, CLEAN_MODEL):
            batches_of(kept, origin)("000000", dict)
        plant(kept, ["modulation/notes.txt"])
    assert tree(tmp_path / "k") == {"modulation": None, "modulation/notes.txt": b"mine"}
    assert capsys.readouterr().err == f"{tmp_path / 'k'}: stays, for it holds modulation\n"


def test_a_modulation_is_removed_under_its_lock(chain, tmp_path, monkeypatch):  # noqa: ARG001
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
        kept_pictures(str(tmp_path / "k"), identity(), run, datasets=()) as kept,
    ):
        batches_of(kept, MODULATION)("000000", dict)
        monkeypatch.setattr(Path, "unlink", watched)
    assert seen == ["000000.npz"]
    assert not (tmp_path / "k").exists()


def test_a_modulation_of_an_older_version_is_gone_on_with(chain, tmp_path, capsys):  # noqa: ARG001
    """Its folder has no marker; a digest and a run say whose it is."""
    with start_run("modulate", {}) as first, pytest.raises(KeyboardInterrupt):
        stop_in(tmp_path / "k", first)
    (tmp_path / "k" / MARKER).unlink()
    with (
        start_run("modulate", {}) as run,
        kept_pictures(str(tmp_path / "k"), identity(), run, datasets=()) as kept,
    ):
        assert (kept / "modulation" / "000000.npz").is_file()
    assert "goes on with the modulation in" in capsys.readouterr().out
    assert not (tmp_path / "k").exists()


def stop_in(folder, run):
    with kept_pictures(str(folder), identity(), run, datasets=()) as kept:
        batches_of(kept, MODULATION)("000000", dict)
        raise KeyboardInterrupt
