"""Whose gradient lies on edges of its own eye: networks whose gradients are known."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from fundus_ml.errors import InputError
from fundus_ml.robust_evaluation.perceptual_gradient import edge_alignment, input_gradients

SIZE = 32


class Contrast(nn.Module):
    """Its gradient at a pixel is how far the pixel differs from the next ones."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images):
        across = (images - images.roll(1, -1)).abs() + (images - images.roll(1, -2)).abs()
        return self.weight * (images * across.detach()).sum((1, 2, 3))


class Fixed(nn.Module):
    """Linear: one gradient for all eyes."""

    def __init__(self, size):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(3, size, size, generator=generator))

    def forward(self, images):
        return (images * self.weight).sum((1, 2, 3))


class Blots:
    """Smooth blots of its own in every eye; two eyes of each person."""

    size = SIZE

    def __init__(self, people=14):
        self.frame = pd.DataFrame({"person_group": np.repeat(np.arange(people), 2)})
        drawn = np.random.default_rng(0).normal(size=(2 * people, SIZE, SIZE))
        drawn = gaussian_filter(drawn, (0, 2, 2))
        self._blots = np.clip(128 + 40 * drawn / drawn.std(), 30, 255).astype(np.uint8)

    def pixels(self, rows):
        return np.repeat(self._blots[rows][..., None], 3, axis=3)


@pytest.fixture(scope="module")
def eyes():
    return Blots()


HOW = {"batch_size": 5, "resamples": 200, "seed": 0}


def test_a_gradient_on_edges_gains_and_a_fixed_one_does_not(eyes):
    seeing, fixed = (
        edge_alignment(Contrast(), eyes, **HOW),
        edge_alignment(Fixed(SIZE), eyes, **HOW),
    )
    assert seeing.eyes == eyes.frame["person_group"].nunique() == 14
    assert seeing.gain.low > 0.2
    assert abs(seeing.others.value) < 0.15
    assert fixed.gain.low < 0 < fixed.gain.high
    assert seeing.gain.value == pytest.approx(seeing.own.value - seeing.others.value)
    assert set(seeing.metrics()) >= {"gate/edge_alignment", "gate/edge_alignment_low"}
    assert str(seeing).startswith("gradients correlate with edges of their own eye 0.")


def test_gradients_are_those_of_the_logit(eyes):
    model, pixels = Fixed(SIZE), eyes.pixels(np.arange(3))
    found = input_gradients(model, pixels, batch_size=2)
    wanted = model.weight.detach().abs().mean(0).numpy()
    np.testing.assert_allclose(found, np.stack([wanted] * 3), rtol=1e-5)
    assert model.weight.requires_grad


def test_an_equal_gradient_has_no_correlation(eyes):
    model = Fixed(SIZE)
    torch.nn.init.ones_(model.weight)
    found = edge_alignment(model, eyes, **HOW)
    assert (found.own.value, found.gain.value) == (0, 0)


def test_one_person_is_refused():
    with pytest.raises(InputError, match="dataset: one person, whose gradients"):
        edge_alignment(Fixed(SIZE), Blots(people=1), **HOW)
