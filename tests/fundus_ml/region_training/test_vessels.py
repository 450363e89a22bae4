import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, recall_score, roc_auc_score

from fundus_ml.errors import InputError
from fundus_ml.imaging.field_of_view import FieldOfView
from fundus_ml.imaging.regions.vessel_network import VesselNetwork
from fundus_ml.region_training.painted_vessels import paint_marked
from fundus_ml.region_training.vessel_crops import STORED, draw_crop, store
from fundus_ml.region_training.vessel_marks import TracedEye
from fundus_ml.region_training.vessel_scores import (
    THRESHOLDS,
    _dice_from,
    choose_threshold,
    vessel_auroc,
    vessel_scores,
)
from fundus_ml.region_training.vessels import VesselTraining, train_vessel_network, vessel_loss

TINY = {"crop_size": 64, "batch_size": 4, "warmup": 2, "save_every": 3, "precision": "fp32"}


@pytest.fixture(scope="module")
def eyes():
    return paint_marked(1, seed=2)


def trained(eyes, steps=6, *, seen=None, **given):
    config = VesselTraining(**TINY, steps=steps)
    return train_vessel_network(config, {"painted": (1.0, eyes)}, on_step=seen, **given)


def same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


@pytest.mark.slow
def test_training_lowers_the_loss(eyes):
    losses = []
    trained(eyes, 24, seen=lambda _, loss: losses.append(loss))
    assert len(losses) == 24
    assert np.mean(losses[-6:]) < 0.9 * np.mean(losses[:6])


def test_an_interrupted_training_goes_on_to_the_same_bytes(eyes, tmp_path):
    whole = trained(eyes)

    def stop(step, _):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(eyes, checkpoints=tmp_path / "kept", seen=stop)
    steps = []
    resumed = trained(eyes, checkpoints=tmp_path / "kept", seen=lambda step, _: steps.append(step))
    assert steps == [4, 5, 6]
    assert same(whole, resumed)
    assert not resumed.training
    # Finished: nothing is left to learn.
    assert same(resumed, trained(eyes, checkpoints=tmp_path / "kept", seen=stop))


def test_checkpoints_of_another_training_are_refused(eyes, tmp_path):
    trained(eyes, 1, checkpoints=tmp_path)
    with pytest.raises(InputError, match=r"^steps=2: the training begun in .* has steps=1"):
        trained(eyes, 2, checkpoints=tmp_path)
    other = [eye._replace(vessels=~eye.vessels) for eye in eyes]
    with pytest.raises(InputError, match=r"^releases="):
        trained(other, 1, checkpoints=tmp_path)


@pytest.mark.parametrize("releases", [{}, {"painted": (1.0, [])}])
def test_nothing_to_learn_from_is_one_line(releases):
    with pytest.raises(InputError, match=r"^releases=.*: each must have eyes to learn from$"):
        train_vessel_network(VesselTraining(**TINY), releases)


def test_values_outside_their_range_are_refused():
    with pytest.raises(InputError, match=r"^crop_size=70: must be a multiple of 16$"):
        VesselTraining(crop_size=70)
    with pytest.raises(InputError, match=r"^steps=0: must be at least 1$"):
        VesselTraining(steps=0)
    with pytest.raises(InputError, match=r"^seed=-1: must be from 0"):
        VesselTraining(seed=-1)
    with pytest.raises(InputError, match=r"^precision=fp8"):
        VesselTraining(precision="fp8")


def test_the_loss_is_entropy_and_dice_where_it_counts():
    logits = torch.tensor([[[0.0, 3.0], [-2.0, 50.0]]])
    vessels = torch.tensor([[[0.0, 1.0], [0.25, 0.0]]])
    weight = torch.tensor([[[1.0, 1.0], [1.0, 0.0]]])
    p, v = 1 / (1 + np.exp([0.0, -3.0, 2.0])), np.array([0, 1, 0.25])
    entropy = -(v * np.log(p) + (1 - v) * np.log(1 - p)).mean()
    dice = (2 * (p * v).sum() + 1) / (p.sum() + v.sum() + 1)
    assert float(vessel_loss(logits, vessels, weight)) == pytest.approx(entropy + 1 - dice, 1e-5)
    nothing = vessel_loss(logits, vessels, torch.zeros_like(weight))
    assert float(nothing) == pytest.approx(0, abs=1e-6)


def test_marks_move_with_their_photograph():
    """An eye that is its own mark: dark exactly where the crop's marks are."""
    generator = np.random.default_rng(0)
    marks = np.kron(generator.random((20, 20)) < 0.3, np.ones((10, 10))) > 0
    image = np.where(marks[..., None], np.uint8(60), np.uint8(160)).repeat(3, axis=2)
    whole = np.ones_like(marks)
    eye = store(TracedEye("a", "a", image, FieldOfView(99.5, 99.5, 100), marks, whole))
    assert eye.full.shape == (STORED, STORED, 6)
    for _ in range(8):
        contrast, vessels, weight = draw_crop(eye, size=128, generator=generator)
        assert contrast.shape == (3, 128, 128)
        assert contrast.dtype == vessels.dtype == np.float32
        counted = weight > 0
        assert counted.mean() > 0.2
        assert np.corrcoef(contrast[1][counted], vessels[counted])[0, 1] < -0.5


def test_crops_follow_from_the_generator_alone(eyes):
    kept = store(eyes[0])
    one, two, other = (
        draw_crop(kept, size=64, generator=np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(one[0], other[0])


def test_scores_are_those_of_another_library(eyes):
    generator = np.random.default_rng(0)
    marked = eyes[0]
    probability = np.clip(
        0.4 * marked.vessels + generator.normal(0.3, 0.2, marked.vessels.shape), 0, 1
    ).astype(np.float32)
    found = probability > 0.5
    truth, ours = marked.vessels[marked.counted], found[marked.counted]
    scores = vessel_scores(found, marked.vessels, marked.counted)
    assert scores.dice == pytest.approx(f1_score(truth, ours))
    assert scores.sensitivity == pytest.approx(recall_score(truth, ours))
    assert scores.specificity == pytest.approx(recall_score(~truth, ~ours))
    judge = roc_auc_score(truth, probability[marked.counted])
    assert vessel_auroc(probability, marked) == pytest.approx(judge)


def test_dice_at_all_thresholds_is_that_at_each():
    generator = np.random.default_rng(0)
    probability = generator.random(5000).astype(np.float32).round(2)
    marked = generator.random(5000) < probability
    judge = [f1_score(marked, probability >= np.float32(at)) for at in THRESHOLDS]
    np.testing.assert_allclose(_dice_from(probability, marked), judge)


def test_the_threshold_is_where_dice_is_best():
    class Known(VesselNetwork):
        """Calls what is dark 0.35, all else 0.1."""

        def forward(self, contrast):
            prob = torch.where(contrast[:, 1] < -1, 0.35, 0.1)
            return torch.logit(prob)

    image = np.full((200, 200, 3), 150, np.uint8)
    marks = np.zeros((200, 200), bool)
    marks[40:160:20, 40:160] = marks[41:160:20, 40:160] = True
    image[marks] = 90
    eye = TracedEye("a", "a", image, FieldOfView(99.5, 99.5, 99), marks, np.ones_like(marks))
    threshold = choose_threshold(Known(), [eye])
    assert 0.1 < threshold <= 0.35
    with pytest.raises(InputError, match=r"^eyes=0: a threshold needs marked eyes"):
        choose_threshold(Known(), [])
