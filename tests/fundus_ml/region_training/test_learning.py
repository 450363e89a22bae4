"""From a folder of marks to weights that the package reads."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import write_png
from fundus_ml.imaging.regions.landmarks import landmark_network
from fundus_ml.imaging.regions.trained import read_trained
from fundus_ml.region_training import learning
from fundus_ml.region_training.examples import Examples, keep_examples
from fundus_ml.region_training.gathering import marked_examples
from fundus_ml.region_training.landmarks import LandmarkTraining
from fundus_ml.region_training.learning import learn_landmarks
from fundus_ml.region_training.marks import read_marks
from fundus_ml.region_training.measuring import border_scales, measured
from tests.fundus_ml.region_training.tiny_marks import few_examples, marked_folder

TINY = LandmarkTraining(steps=1, batch_size=2, size=64, small_size=64, lr=1e-4)


@pytest.fixture(scope="module")
def marks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("marks")
    marked_folder(folder, patients=3)
    return read_marks(folder)


@pytest.mark.slow
def test_a_training_leaves_weights_and_a_card_that_can_be_read(marks, tmp_path, monkeypatch):
    """One small step from the packaged weights, which stay as they are."""
    monkeypatch.setattr(learning, "VAL_PATIENTS", 1)
    before = {name: value.clone() for name, value in landmark_network().state_dict().items()}
    stages = set()
    trained = learn_landmarks(
        marks, TINY, tmp_path, patients=1, variants=1, packaged=True,
        on_progress=lambda stage, *_: stages.add(stage),
    )  # fmt: skip
    assert stages == {"cut out", "paint", "train", "calibrate"}
    assert trained.figures["test_disc_in_box"] == 1
    assert trained.figures["painted_cup_overlap"] > 0.4
    card = read_trained("landmarks", tmp_path).card
    assert card == json.loads(trained.card.read_text())
    assert {value.dtype for value in load_file(trained.weights).values()} == {torch.float16}
    assert sum(card["data"]["marked"].values()) == len(marks)
    network, moved = landmark_network(tmp_path), 0.0
    for name, value in landmark_network().state_dict().items():
        np.testing.assert_array_equal(value, before[name])
        moved += float((value - network.state_dict()[name]).abs().sum())
    assert moved > 0


def test_a_part_without_photographs_is_refused(marks, tmp_path):
    only = [eye for eye in marks if eye.part == "train"]
    with pytest.raises(
        InputError, match=r"^marks: none of the \d+ photographs falls into the part"
    ):
        learn_landmarks(only, TINY, tmp_path, patients=1, variants=1)


def test_photographs_that_are_not_taken_are_named(marks, tmp_path):
    dark, broken = tmp_path / "dark.png", tmp_path / "broken.png"
    write_png(np.zeros((400, 400, 3), np.uint8), dark)
    broken.write_bytes(b"no picture")
    bad = [replace(marks[0], path=path) for path in (dark, broken)]
    refused = []
    taken = marked_examples(
        [marks[0], *bad], on_refused=lambda path, _why: refused.append(path.name)
    )
    assert (len(taken), refused) == (1, ["dark.png", "broken.png"])
    gone = replace(marks[0], path=tmp_path / "gone.png")
    assert learning._digest([gone]) != learning._digest([marks[0]])
    with pytest.raises(InputError, match=r"^marks: none of 2 photographs is taken; the first, d"):
        marked_examples(bad)


def test_examples_are_kept_and_read_back(tmp_path):
    def fail():
        raise AssertionError

    made = keep_examples(tmp_path / "kept.npz", few_examples)
    again = keep_examples(tmp_path / "kept.npz", fail)
    assert isinstance(again, Examples)
    for name in vars(made):
        np.testing.assert_array_equal(getattr(made, name), getattr(again, name))


def test_painted_eyes_are_measured_well():
    card = read_trained("landmarks").card
    found = measured(landmark_network(), card["confidence"], card["scales"], few_examples())
    assert found["disc_in_box"] == found["fovea_near"] == 1
    assert found["disc_overlap"] > 0.85


def test_scales_bring_diameters_to_the_true_ones():
    """Diameters of eyes that are a tenth larger in numbers only grow by a tenth."""
    eyes = Examples(**{name: values[:2] for name, values in vars(few_examples()).items()})
    nothing = replace(eyes, disc=eyes.disc * np.nan)
    larger = replace(eyes, disc=eyes.disc * np.array([1, 1, 1.21, 1.21, 1.21]))
    first, second = (border_scales(landmark_network(), one, nothing) for one in (eyes, larger))
    assert second["disc"] == pytest.approx(1.1 * first["disc"])
    assert 0.9 < first["disc"] < 1.1
    none = border_scales(landmark_network(), nothing, nothing)
    assert none["disc"] == 1
