"""Border, padding and tint, measured on squares whose answer is known."""

import numpy as np
import pytest

from fundus_ml.imaging.margins import BORDER, COLOUR, measure_margins

SIZES = (64, 96, 300)


def disc(size, *, inner=(120, 80, 40), outer=(0, 0, 0)):
    along = (2 * np.arange(size) + 1 - size) / size
    inside = np.hypot(along[:, None], along) <= 1
    return np.where(inside[..., None], np.array(inner), np.array(outer)).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_a_flat_disc_measures_as_drawn(size):
    measured = measure_margins(np.stack([disc(size), disc(size, outer=(30, 60, 90))]))
    assert list(measured) == [*BORDER, *COLOUR]
    np.testing.assert_allclose(measured["outside_mean"], [0, 60])
    np.testing.assert_allclose(measured["rim_mean"], 80)
    np.testing.assert_allclose(measured[["red", "green", "blue"]], [[120, 80, 40]] * 2)
    np.testing.assert_allclose(measured["green_to_red"], 80 / 120)
    np.testing.assert_allclose(measured["blue_to_red"], 40 / 120)
    for name in ("outside_std", "rim_std", "rim_fall", "black_share", "red_spread"):
        np.testing.assert_allclose(measured[name], 0, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_a_lit_corner_is_found_where_it_is(size):
    eye = disc(size)
    eye[: size // 10, -size // 10 :] = 255
    measured = measure_margins(eye[None]).iloc[0]
    assert measured["upper_right"] > 20
    assert (measured[["upper_left", "lower_left", "lower_right"]] == 0).all()


@pytest.mark.parametrize("size", SIZES)
def test_padding_inside_the_circle_is_its_share(size):
    eye = disc(size)
    eye[: size // 2] = 0
    measured = measure_margins(eye[None]).iloc[0]
    assert measured["black_share"] == pytest.approx(0.5, abs=0.02)


def test_a_small_bright_disc_hardly_moves_the_tint():
    """The optic disc is anatomy: a fiftieth of the field, two hundred levels brighter."""
    rng = np.random.default_rng(0)
    eye = np.clip(disc(96) + rng.normal(0, 8, (96, 96, 1)), 0, 255).astype(np.uint8)
    bright = eye.copy()
    bright[40:53, 60:72] = 255
    plain, changed = (measure_margins(one[None])[list(COLOUR[:3])] for one in (eye, bright))
    assert (abs(changed - plain).to_numpy() < 0.02 * 255).all()
