"""The landmark network learns, resumes to the same bytes, and its loss is least at the truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.landmark_network import STRIDE, LandmarkMaps
from fundus_ml.imaging.regions.structures import Ellipse, spread_of
from fundus_ml.models.backbones import make_backbone
from fundus_ml.models.imagenet import imagenet_weights
from fundus_ml.region_training.landmark_loss import BLURRED, drawn, landmark_loss
from fundus_ml.region_training.landmarks import (
    LandmarkTraining,
    started_from_imagenet,
    train_landmarks,
)
from tests.fundus_ml.region_training.tiny_marks import few_examples

TINY = {"batch_size": 2, "size": 64, "small_size": 64, "minutes": 0}


def numbers(ellipse):
    spread = spread_of(ellipse)
    return torch.tensor([[ellipse.x, ellipse.y, spread[0, 0], spread[0, 1], spread[1, 1]]]).float()


def test_the_trunk_answers_as_imagenets_does_before_batchnorm_is_folded():
    """Against timm's own network on the same pixels."""
    backbone = make_backbone("efficientnet_lite0", outputs=1000, size=256)
    backbone.load_state_dict(imagenet_weights("efficientnet_lite0").state)
    backbone.eval()
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    network = started_from_imagenet(0)
    with torch.inference_mode():
        expected = backbone.forward_intermediates(
            (images - 0.5) / 0.5, indices=[3], intermediates_only=True
        )[0]
        ours = network.stem((images - 0.5) / 0.5)
        for stage in network.stages:
            ours = stage(ours)
    assert expected.shape == ours.shape
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3)


def test_drawn_ellipses_have_the_shares_that_fine_pixels_count():
    """Each cell against the mean of its pixels."""
    ellipse = Ellipse(x=70.3, y=55.8, width=36, height=48, angle=0.4)
    shares = drawn(numbers(ellipse), (32, 40))[0].numpy()
    mask = ellipse.mask((32 * STRIDE, 40 * STRIDE)).astype(float)
    counted = mask.reshape(32, STRIDE, 40, STRIDE).mean((1, 3))
    assert np.abs(shares - counted).max() < 0.35
    assert np.abs(shares - counted).mean() < 0.004
    assert shares.sum() == pytest.approx(counted.sum(), rel=0.02)


def perfect(disc, fovea, shape=(16, 16)):
    """Maps that say where they lie, as surely as they are asked to."""
    mask = drawn(disc, shape).clamp(1e-6, 1 - 1e-6).logit()
    points = torch.full((1, 2, shape[0] * shape[1] + 1), -50.0)
    down, across = torch.meshgrid(*(torch.arange(n) * STRIDE + 1.5 for n in shape), indexing="ij")
    for row, (x, y) in enumerate((disc[0, :2], fovea[0])):
        squared = (across - x) ** 2 + (down - y) ** 2
        points[0, row, :-1] = -(squared / (2 * (BLURRED * STRIDE) ** 2)).flatten()
    return LandmarkMaps(mask, mask, points)


def test_the_loss_is_least_at_the_truth():
    disc = numbers(Ellipse(x=29.5, y=33.5, width=16, height=18))
    fovea = torch.tensor([[49.5, 37.5]])
    right = landmark_loss(perfect(disc, fovea), disc, disc, fovea)
    moved = disc + torch.tensor([[8.0, 0, 0, 0, 0]])
    wrong = landmark_loss(perfect(moved, fovea - 12), disc, disc, fovea)
    assert all(right[name] < wrong[name] for name in right)
    slightly = disc + torch.tensor([[0.5, 0, 0, 0, 0]])
    near = landmark_loss(perfect(slightly, fovea + 0.5), disc, disc, fovea)
    assert all(right[name] < near[name] < wrong[name] for name in right)


def test_unknown_parts_cost_nothing_and_absent_ones_do():
    disc = numbers(Ellipse(x=29.5, y=33.5, width=16, height=18))
    fovea = torch.tensor([[49.5, 37.5]])
    maps = perfect(disc, fovea)
    gone = torch.full_like(disc, torch.inf)
    unknown = landmark_loss(maps, disc * torch.nan, disc * torch.nan, fovea * torch.nan)
    assert all(value == 0 for value in unknown.values())
    absent = landmark_loss(maps, gone, gone, gone[:, :2])
    assert all(value > 1 for value in absent.values())
    nowhere = torch.full_like(maps.points, -20.0)
    nowhere[..., -1] = 0
    none = LandmarkMaps(maps.disc * 0 - 20, maps.cup * 0 - 20, nowhere)
    told = landmark_loss(none, gone, gone, gone[:, :2])
    assert all(value < 1e-2 for value in told.values())


def test_a_few_steps_lower_the_loss(tmp_path):
    eyes, losses = few_examples(), []
    train_landmarks(
        eyes,
        eyes,
        LandmarkTraining(steps=24, lr=5e-3, **TINY),
        checkpoints=tmp_path / "checkpoints",
        on_step=lambda _step, _steps, parts: losses.append(sum(parts.values())),
    )
    assert np.mean(losses[-6:]) < 0.8 * np.mean(losses[:4])


class KilledError(Exception):
    pass


def test_an_interrupted_training_ends_with_the_same_bytes(tmp_path):
    eyes, training = few_examples(), LandmarkTraining(steps=4, **TINY | {"minutes": 1e-9})

    def stop(step, _steps, _losses):
        if step == 3:
            raise KilledError

    whole = train_landmarks(eyes, eyes, training, checkpoints=tmp_path / "whole")
    with pytest.raises(KilledError):
        train_landmarks(eyes, eyes, training, checkpoints=tmp_path / "cut", on_step=stop)
    seen = []
    resumed = train_landmarks(
        eyes, eyes, training, checkpoints=tmp_path / "cut",
        on_step=lambda step, *_: seen.append(step),
    )  # fmt: skip
    assert seen == [3, 4]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_another_training_in_the_folder_is_refused(tmp_path):
    eyes = few_examples()
    train_landmarks(eyes, eyes, LandmarkTraining(steps=1, **TINY), checkpoints=tmp_path)
    with pytest.raises(InputError, match=r"steps=2: the training begun in .* has steps=1"):
        train_landmarks(eyes, eyes, LandmarkTraining(steps=2, **TINY), checkpoints=tmp_path)


def test_corrected_marks_and_other_first_weights_are_another_training(tmp_path):
    """As many eyes as before, so their number does not tell."""
    eyes, training = few_examples(), LandmarkTraining(steps=1, **TINY)
    train_landmarks(eyes, eyes, training, checkpoints=tmp_path)
    corrected = replace(eyes, fovea=eyes.fovea + 1)
    with pytest.raises(InputError, match="marked="):
        train_landmarks(corrected, eyes, training, checkpoints=tmp_path)
    start = started_from_imagenet(seed=7)
    with pytest.raises(InputError, match="start="):
        train_landmarks(eyes, eyes, training, checkpoints=tmp_path, start=start)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"size": 16}, {"lr": -1.0}, {"seed": -1}])
def test_values_that_nothing_can_be_learned_with_are_refused(wrong):
    with pytest.raises(InputError, match=f"^{next(iter(wrong))}=.*: must be"):
        LandmarkTraining(**wrong)
