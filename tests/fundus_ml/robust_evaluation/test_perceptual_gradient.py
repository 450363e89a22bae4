"""Whose gradient lies on edges of its own eye: networks whose gradients are known."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from fundus_ml.errors import InputError
from fundus_ml.robust_evaluation.perceptual_gradient import edge_alignment, input_gradients
from tests.fundus_ml.tiny_learning import SIZE, make_dataset

PEOPLE = {"train": 2, "val": 2, "test": 14}


class Contrast(nn.Module):
    """Sum of squared differences of neighbours: its gradient lies on edges."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images):
        across = (images[..., 1:] - images[..., :-1]) ** 2
        down = (images[..., 1:, :] - images[..., :-1, :]) ** 2
        return self.weight * (across.sum((1, 2, 3)) + down.sum((1, 2, 3)))


class Fixed(nn.Module):
    """Linear: one gradient for all eyes."""

    def __init__(self, size):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(3, size, size, generator=generator))

    def forward(self, images):
        return (images * self.weight).sum((1, 2, 3))


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    """Smooth blots of its own in every eye, both eyes of a person in the test split."""
    folder = tmp_path_factory.mktemp("eyes")
    dataset = make_dataset(folder / "a", people=PEOPLE, signal=14, seed=0).split("test")
    rng = np.random.default_rng(0)
    drawn = gaussian_filter(rng.normal(size=(len(dataset), SIZE, SIZE)), (0, 3, 3))
    blots = np.clip(128 + 60 * drawn / drawn.std(), 30, 255).astype(np.uint8)

    class Blots:
        frame, size = dataset.frame, SIZE

        def pixels(self, rows):
            return np.repeat(blots[rows][..., None], 3, axis=3)

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


def test_one_person_is_refused(eyes):
    class One:
        frame, size = eyes.frame.iloc[:1], SIZE

    with pytest.raises(InputError, match="dataset: one person, whose gradients"):
        edge_alignment(Fixed(SIZE), One(), **HOW)
