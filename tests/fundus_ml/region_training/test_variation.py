"""Variants of an eye carry their marks along, and are drawn from the generator alone."""

import cv2
import numpy as np
import pytest

from fundus_ml.region_training.examples import EXAMPLE_SIZE, Examples
from fundus_ml.region_training.variation import Variation, no_eye, varied
from tests.fundus_ml.region_training.tiny_marks import few_examples

MOVES = Variation(strength=0.0, erased=0.0, turn=20.0, scale=(0.9, 1.2), shift=0.05)


def spotted():
    """Grey squares whose disc is a white ellipse and whose fovea is a black point."""
    pixels = np.full((1, EXAMPLE_SIZE, EXAMPLE_SIZE, 3), 90, np.uint8)
    cv2.ellipse(pixels[0], ((100.0, 130.0), (40.0, 60.0), 0.0), (255, 255, 255), cv2.FILLED)
    cv2.circle(pixels[0], (180, 150), 6, (10, 10, 10), cv2.FILLED)
    disc = np.array([[100.0, 130.0, 20**2 / 4, 0.0, 30**2 / 4]])
    fovea, names = np.array([[180.0, 150.0]]), np.array(["spots"])
    return Examples(pixels, disc, np.full((1, 5), np.nan), fovea, names)


def test_marks_go_where_the_pixels_go(monkeypatch):
    """The judge measures the white and the black pixels of each variant."""
    monkeypatch.setattr(
        "fundus_ml.region_training.variation._blotches", lambda pixels, *_, **__: pixels
    )
    eyes = spotted()
    for seed in range(12):
        one = varied(eyes, 0, 256, MOVES, np.random.default_rng(seed))
        grey = one.pixels.mean(2)
        levels = np.sort(np.unique(np.round(grey[grey > 0.02], 2)))
        rows, columns = (grey > 0.5 * (levels[-1] + np.median(grey))).nonzero()
        assert one.disc[:2] == pytest.approx((columns.mean(), rows.mean()), abs=3)
        assert one.disc[2] == pytest.approx(columns.var(), rel=0.35)
        assert one.disc[4] == pytest.approx(rows.var(), rel=0.35)
        column, row = np.rint(one.fovea).astype(int)
        near = grey[row - 9 : row + 10, column - 9 : column + 10]
        assert near.min() < 0.6 * np.median(near)
        assert np.isnan(one.cup).all()


def test_the_same_draws_give_the_same_variant():
    eyes = few_examples()
    first, again, other = (
        varied(eyes, 1, 96, Variation(), np.random.default_rng(seed)) for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert not np.array_equal(first.pixels, other.pixels)
    assert first.pixels.shape == (96, 96, 3)
    assert first.pixels.dtype == np.float32
    assert 0 <= first.pixels.min() <= first.pixels.max() <= 1


def test_an_erased_disc_is_gone_and_said_to_be():
    """Its place is as bright as the retina around it."""
    eyes, still = few_examples(), Variation(strength=0, turn=0, shift=0, scale=(1, 1), erased=1)
    for place in range(len(eyes)):
        one = varied(eyes, place, EXAMPLE_SIZE, still, np.random.default_rng(place))
        assert np.isinf(one.disc).all()
        assert np.isinf(one.cup).all()
        assert not np.isnan(one.fovea).any()


def test_what_is_moved_out_of_sight_is_said_to_be():
    eyes, far = few_examples(), Variation(scale=(3.0, 3.0), shift=0.6, strength=0, erased=0)
    ones = [varied(eyes, 0, 64, far, np.random.default_rng(seed)) for seed in range(30)]
    assert any(np.isinf(one.disc).all() for one in ones)
    assert any(np.isinf(one.fovea).all() for one in ones)


def test_no_eye_has_no_parts():
    one = no_eye(96, np.random.default_rng(0))
    assert one.pixels.shape == (96, 96, 3)
    assert np.isinf(one.disc).all()
    assert np.isinf(one.fovea).all()
