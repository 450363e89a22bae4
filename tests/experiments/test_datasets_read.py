"""What every entry point does before it uses a dataset: check it, settle it, say so."""

import shutil

import numpy as np
import pandas as pd
import pytest

from experiments import (
    audit,
    average,
    compare,
    evaluate,
    modulate,
    pretrain,
    promote,
    robustify,
    train,
    tune,
)
from experiments.running.session import LINKS, read_dataset
from experiments.running.versions import possibly_trained_on
from fundus_ml.data.record import read_dataset_json
from fundus_ml.imaging.keypoints import FEATURE_SHAPE
from tests.experiments.conftest import flags
from tests.experiments.tiny_versions import newest
from tests.fundus_ml.tiny_eyes import make_manifest, write_folder, write_record
from tests.fundus_ml.tiny_learning import make_dataset
from tracking.registry import resolve
from tracking.results import predictions
from tracking.runs import start_run

SLOW = [average, compare, modulate, pretrain, promote, robustify, tune]
GIVEN = {
    average: {"models": "models:/eye/1,models:/eye/2"},
    evaluate: {"model": "models:/eye/1"},
    train: {"weights": "none", "arch": "test_resnet"},
}


@pytest.fixture
def flipped(versions, tmp_path):
    """Site A with every label flipped in its manifest."""
    folder = tmp_path / "flipped"
    shutil.copytree(versions.a, folder)
    frame = pd.read_parquet(folder / "manifest.parquet")
    sex = np.where(frame["sex"] == "male", "female", "male")
    changed = frame.assign(label=1 - frame["label"], sex=sex)
    changed.to_parquet(folder / "manifest.parquet", index=False)
    return folder


@pytest.mark.parametrize(
    "module",
    [evaluate, train, audit, *(pytest.param(m, marks=pytest.mark.slow) for m in SLOW)],
)
def test_flipped_labels_stop_every_entry_point_before_it_works(flipped, module, capsys):
    """One line, exit code 2, no row in the results."""
    with pytest.raises(SystemExit, match="2"):
        module.main(flags({"dataset": flipped} | GIVEN.get(module, {})))
    name = module.__name__.rpartition(".")[2]
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"{name}: dataset={flipped}: manifest.parquet is not the file that was written "
        "(first row that differs: 0, a/train0_left); run preprocess again"
    )
    assert newest(name).info.status == "FAILED"
    assert predictions().empty


def shared_file(folder):
    """Two folders: an eye of the first's training is a test eye of the second; the paths."""
    nothing = np.zeros((7, *FEATURE_SHAPE), np.uint8)
    first, second = make_manifest(source="x"), make_manifest(source="y")
    second.loc[2, "sha256"] = first.loc[5, "sha256"]
    second.loc[2, ["sex", "label"]] = first.loc[5, ["sex", "label"]]
    second.loc[3, ["sex", "label"]] = first.loc[5, ["sex", "label"]]
    for seed, (name, frame) in enumerate({"x": first, "y": second}.items()):
        write_folder(folder / name, source=name, frame=frame, seed=seed, keypoints=nothing)
    return f"{folder / 'x'},{folder / 'y'}"


def test_a_composite_says_in_one_line_what_its_folders_share(versions, tmp_path, capsys):  # noqa: ARG001
    """The run is tagged with it; the pairs are kept in the project's folder."""
    paths = shared_file(tmp_path)
    for _ in range(2):
        with start_run("audit", {}) as run:
            dataset = read_dataset(run, paths, context="audit", verify="full")
    said = (
        "people in several folders: 1 (1 equal files, 0 equal ids, 0 pairs of alike eyes), each "
        "one person in one split; moved to the held-out split of their person: 2 eyes"
    )
    assert capsys.readouterr().err == f"{paths}: {said}\n" * 2
    tags = newest("audit").data.tags
    assert tags["linkage"] == said
    assert tags["verified"] == "full"
    assert tags["dataset_digest"] == dataset.digest
    assert len(list(LINKS.iterdir())) == 1


def test_a_version_whose_training_eyes_are_held_out_here_is_warned_of(versions, tmp_path, capsys):
    """Version 1 learned from site A, one of whose eyes is a test eye of another folder."""
    make_dataset(tmp_path / "z", people={"train": 2, "test": 2}, name="z")
    shared = pd.read_parquet(f"{versions.a}/manifest.parquet")["sha256"][0]
    frame = pd.read_parquet(tmp_path / "z" / "manifest.parquet")
    frame.loc[frame["image_id"] == "z/test0_left", "sha256"] = shared
    frame.to_parquet(tmp_path / "z" / "manifest.parquet", index=False)
    write_record(tmp_path / "z", read_dataset_json(tmp_path / "z"))
    with start_run("compare", {}) as run:
        paths = f"{versions.a},{tmp_path / 'z'}"
        dataset = read_dataset(run, paths, context="compare", verify="quick")
        possibly_trained_on(run, [resolve("models:/eye/1")], dataset, split="test")
    assert newest("compare").data.tags["possibly_trained_on"] == "models:/eye/1"
    assert "models:/eye/1: was trained on another dataset" in capsys.readouterr().err
