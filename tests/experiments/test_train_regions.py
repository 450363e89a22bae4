"""A training from the command line: what it writes, what the run keeps, what it refuses."""

import json

import pytest
from filelock import FileLock

from experiments import train_regions
from experiments.train_regions import TrainRegionsConfig
from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.trained import read_trained
from fundus_ml.region_training import learning, vessel_learning
from tests.experiments.conftest import enter, flags
from tests.experiments.tiny_versions import newest
from tests.fundus_ml.region_training.test_vessel_marks import write_chase, write_drive
from tests.fundus_ml.region_training.tiny_marks import marked_folder
from tests.tracking.conftest import end_all_runs
from tracking.stores import initialise_tracking

SMALL = {
    "marks": "marks",
    "start": "packaged",
    "steps": 1,
    "batch_size": 2,
    "patients": 1,
    "variants": 1,
}


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regions")
    marked_folder(folder / "marks", patients=2)
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        patch.setattr(learning, "VAL_PATIENTS", 1)
        train_regions.main(flags(SMALL))
    return folder


@pytest.fixture
def trained(trained_once, monkeypatch):
    enter(trained_once, monkeypatch)
    monkeypatch.setattr(learning, "VAL_PATIENTS", 1)
    yield trained_once
    end_all_runs()


def test_weights_and_card_lie_in_the_folder_and_on_the_run(trained):
    card = read_trained("landmarks", trained / "regions").card
    assert card["start"] == "packaged weights"
    assert card["data"]["learned_from"] == ["painted"]
    run = newest("train_regions")
    client = initialise_tracking()
    kept = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"landmarks.safetensors", "landmarks.json"} <= kept
    assert run.data.metrics["test_disc_in_box"] == card["figures"]["test_disc_in_box"]
    assert {"disc", "cup", "centre", "fovea"} <= set(run.data.metrics)


def test_the_same_command_goes_on_and_gives_the_same_bytes(trained):
    """It was whole already: nothing is learned twice."""
    before = (trained / "regions" / "landmarks.json").read_bytes()
    train_regions.main(flags(SMALL))
    assert (trained / "regions" / "landmarks.json").read_bytes() == before
    assert "fovea" not in newest("train_regions").data.metrics


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"marks": "nowhere"}, "marks=nowhere: has no anatomy.csv"),
        ({"steps": 2}, "steps=2: the training begun in checkpoints="),
        ({"sources": "painted,IDRiD"}, "sources=IDRiD: the marks know painted"),
        ({"out": "marks/anatomy.csv"}, "out=marks/anatomy.csv: cannot be written"),
    ],
)
def test_a_mistake_ends_in_one_line(trained, capsys, changes, line):  # noqa: ARG001
    with pytest.raises(SystemExit, match="2"):
        train_regions.main(flags(SMALL | changes))
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"train_regions: {line}")


def test_a_home_is_expanded_and_a_busy_folder_refused(trained, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(trained))
    with (
        FileLock(trained / "regions" / train_regions.LOCK),
        pytest.raises(SystemExit, match="2"),
    ):
        train_regions.main(flags(SMALL | {"marks": "~/marks", "out": "~/regions"}))
    (said,) = capsys.readouterr().err.splitlines()
    assert said == f"train_regions: out={trained}/regions: another train_regions works there"
    train_regions.main(flags(SMALL | {"marks": "~/marks", "out": "~/regions"}))
    assert not (trained / "~").exists()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"part": "nose"}, "part=nose: allowed: landmarks, vessels"),
        ({"start": "luck"}, "start=luck: allowed: imagenet, packaged"),
        ({"marked": 1.5}, "marked=1.5: must be from 0 to 1"),
        ({"variants": 0}, "variants=0: must be at least 1"),
    ],
)
def test_a_flag_out_of_range_is_refused(changes, line):
    with pytest.raises(InputError, match=line):
        TrainRegionsConfig(marks="marks", **changes)


def test_the_card_is_plain_json(trained):
    card = json.loads((trained / "regions" / "landmarks.json").read_text())
    assert card["part"] == "landmarks"


@pytest.mark.slow
def test_vessels_are_learned_from_two_releases_and_measured_on_each(trained, monkeypatch):
    """Few eyes, one step: the run keeps weights, card and what each release gave."""
    monkeypatch.setattr(vessel_learning, "PAINTED", 1)
    write_drive(trained / "traced/drive")
    write_chase(trained / "traced/chase_db1")
    small = {"part": "vessels", "marks": "traced", "out": "vessels", "steps": 1, "batch_size": 1}
    train_regions.main(flags(small))
    run = newest("train_regions")
    assert {"drive_auroc", "chase_dice", "drive_chase_loss"} <= set(run.data.metrics)
    card = read_trained("vessels", trained / "vessels").card
    assert card["left_out"]["drive_auroc"] == pytest.approx(
        run.data.metrics["drive_auroc"], abs=1e-4
    )


def test_a_folder_without_traced_vessels_is_told_in_one_line(trained, capsys):  # noqa: ARG001
    with pytest.raises(SystemExit, match="2"):
        train_regions.main(flags({"part": "vessels", "marks": "marks"}))
    (said,) = capsys.readouterr().err.splitlines()
    assert "DRIVE" in said
