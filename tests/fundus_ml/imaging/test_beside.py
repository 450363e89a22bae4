"""What is lit beside a circle, against discs, labels and captions of known size."""

import cv2
import numpy as np
import pytest

from fundus_ml.imaging.beside import _channel_range, size_beside
from fundus_ml.imaging.circles import Circle
from fundus_ml.imaging.lit_area import measure_light
from tests.fundus_ml.tiny_eyes import draw_field

CIRCLE = Circle(100.0, 100.0, 80.0, 1.0)


def frame(surround=0, **second):
    """The circle's eye, and perhaps another beside it."""
    image = draw_field(200, 420, x=100.0, y=100.0, radius=80.0, surround=surround)
    if second:
        where = {"x": 300.0, "y": 100.0} | second
        other = draw_field(200, 420, **where, surround=surround)
        shown = draw_field(200, 420, **{**where, "colour": (255, 255, 255)})[..., 0] > 0
        image[shown] = other[shown]
    return image


def beside(image):
    """Size of what is lit beside the circle."""
    return size_beside(CIRCLE, measure_light(image))


@pytest.mark.parametrize("radius", [20.0, 40.0, 90.0])
@pytest.mark.parametrize("surround", [0, 90, 130])
def test_a_second_eye_is_measured_in_radii_of_the_first(radius, surround):
    """Smaller, and larger than the frame is high; on black and on grey pages."""
    shown = min(radius, 100.0) / 80.0
    found = beside(frame(surround, radius=radius))
    assert found == pytest.approx(shown, abs=0.06)


@pytest.mark.parametrize(
    ("surround", "colour"),
    [(0, (22, 12, 6)), (0, (90, 90, 90)), (120, (60, 30, 12)), (120, (120, 60, 20))],
    ids=["dark", "brighter on one side", "darker than the page", "as bright as the page"],
)
def test_a_second_eye_need_not_be_bright(surround, colour):
    """Dim, without colour but uneven, darker than grey, told from grey by its colour alone."""
    image = frame(surround, radius=70.0, colour=colour)
    if colour == (90, 90, 90):
        image[:, 210:] = image[:, 210:] * np.linspace(0.5, 2, 210)[None, :, None]
    assert beside(image) > 0.6


def test_nothing_beside_a_circle_is_nothing():
    """Nor is its own soft edge, or a halo hugging it."""
    halo = draw_field(200, 420, x=100.0, y=101.0, radius=92.0, colour=(20, 18, 16))
    assert beside(frame()) == 0
    assert beside(cv2.GaussianBlur(frame(), (0, 0), 1.5)) == 0
    assert beside(np.maximum(frame(), halo)) == 0


@pytest.mark.parametrize("level", [80, 160, 250])
def test_a_label_with_text_is_no_eye(level):
    """A box as large as the eye, white or grey, with lines written on it."""
    image = frame()
    image[30:170, 230:400] = level
    for line in range(4):
        ink = (0, 0, 0) if level > 100 else (255, 255, 255)
        cv2.putText(image, "OD 12.3.", (240, 60 + 30 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.7, ink)
    assert beside(image) == 0


def test_a_caption_and_a_spot_of_light_are_no_eyes():
    """Letters are thin, and a reflex is small."""
    image = frame()
    cv2.putText(image, "F 054Y OD", (200, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (235, 235, 235), 2)
    cv2.circle(image, (300, 150), 7, (250, 250, 240), -1)
    assert beside(image) == 0


def test_a_label_does_not_hide_an_eye():
    """Both lie beside the circle."""
    image = frame(radius=40.0)
    image[:40, 200:] = 240
    assert beside(image) == pytest.approx(0.5, abs=0.06)


def test_a_squashed_circle_is_measured_along_its_shorter_axis():
    """Two squashed eyes are of one size."""
    first = draw_field(200, 300, x=60.0, y=100.0, radius=90.0, aspect=0.6)
    both = np.maximum(first, draw_field(200, 300, x=200.0, y=100.0, radius=90.0, aspect=0.6))
    found = size_beside(Circle(60.0, 100.0, 90.0, 0.6), measure_light(both))
    assert found == pytest.approx(1.0, abs=0.06)


def test_the_range_of_channels_is_that_of_each_pixel():
    pixels = np.random.default_rng(0).integers(256, size=(20, 30, 3), dtype=np.uint8)
    least, largest = _channel_range(pixels)
    np.testing.assert_array_equal(least, pixels.min(axis=2))
    np.testing.assert_array_equal(largest, pixels.max(axis=2))
