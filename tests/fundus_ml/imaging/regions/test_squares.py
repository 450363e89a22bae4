"""What lies on a square lies at the same place of the photograph, and the other way round."""

import math

import numpy as np
import pytest

from fundus_ml.imaging.field import Cut
from fundus_ml.imaging.field_of_view import FieldOfView, crop_to_field_of_view
from fundus_ml.imaging.regions.finding import find_regions
from fundus_ml.imaging.regions.squares import Square, field_on_square, field_that_fills
from fundus_ml.imaging.regions.structures import (
    Ellipse,
    Landmark,
    ellipse_of_spread,
    spread_of,
    stretched,
)

FIELDS = (FieldOfView(210.3, 148.7, 130.2), FieldOfView(180.0, 150.0, 141.0, aspect=0.8))


@pytest.mark.parametrize("field", FIELDS)
def test_a_bright_pixel_lands_where_the_square_says(field):
    """The judge is the crop itself."""
    image = np.zeros((300, 400, 3), np.uint8)
    image[140:149, 200:209] = 255
    square = Square.around(image, field, size=256)
    rows, columns = square.pixels[..., 0].nonzero()
    weights = square.pixels[rows, columns, 0].astype(float)
    point = square.point_in(Landmark(x=204, y=144))
    assert point.x == pytest.approx(np.average(columns, weights=weights), abs=0.1)
    assert point.y == pytest.approx(np.average(rows, weights=weights), abs=0.1)


@pytest.mark.parametrize("field", FIELDS)
def test_there_and_back_again(field):
    square = Square.around(np.zeros((300, 400, 3), np.uint8), field, size=256)
    ellipse = Ellipse(x=200.5, y=120.25, width=30, height=41, angle=0.3, confidence=0.7)
    back = square.ellipse_out(square.ellipse_in(ellipse))
    for name in ("x", "y", "width", "height", "angle", "confidence"):
        assert getattr(back, name) == pytest.approx(getattr(ellipse, name))
    point = Landmark(x=90.5, y=20.25, confidence=0.4)
    back = square.point_out(square.point_in(point))
    assert (back.x, back.y, back.confidence) == pytest.approx((point.x, point.y, 0.4))


@pytest.mark.parametrize("angle", [-0.7, 0.0, 0.5])
def test_moments_of_a_drawn_ellipse_are_those_of_the_formula(angle):
    """Pixel by pixel, an independent count."""
    drawn = Ellipse(x=100.3, y=90.8, width=60, height=84, angle=angle)
    rows, columns = drawn.mask((200, 200)).nonzero()
    np.testing.assert_allclose(spread_of(drawn), np.cov(columns, rows), rtol=0.01, atol=2)
    found = ellipse_of_spread(columns.mean(), rows.mean(), np.cov(columns, rows))
    assert found.width == pytest.approx(60, rel=0.01)
    assert found.height == pytest.approx(84, rel=0.01)
    assert found.angle == pytest.approx(angle, abs=0.02)


def test_a_stretched_ellipse_is_the_ellipse_of_the_stretched_picture():
    drawn = Ellipse(x=0, y=0, width=40, height=60, angle=0.4)
    wide = stretched(drawn, 1.5, 0.9)
    at = np.linspace(0, 2 * math.pi, 50)
    cos, sin = math.cos(0.4), math.sin(0.4)
    across = 1.5 * (20 * np.cos(at) * cos - 30 * np.sin(at) * sin)
    down = 0.9 * (20 * np.cos(at) * sin + 30 * np.sin(at) * cos)
    cos, sin = math.cos(wide.angle), math.sin(wide.angle)
    along, athwart = across * cos + down * sin, down * cos - across * sin
    on_border = (2 * along / wide.width) ** 2 + (2 * athwart / wide.height) ** 2
    np.testing.assert_allclose(on_border, 1, atol=1e-6)


@pytest.mark.parametrize("squashed", [1.0, 0.8])
def test_a_field_on_its_square_shows_what_the_frame_and_its_cuts_left_of_it(squashed):
    """The judge is the crop of a photograph that is white where it was lit."""
    cut = Cut("bottom", 0.05, 1, 255)
    field = FieldOfView(150, 130, 140, aspect=squashed, cut=("top", "bottom"), cuts=(cut,))
    white = np.full((280, 310, 3), 255, np.uint8)
    square = crop_to_field_of_view(white, field, size=320, surround="black")
    on_square = field_on_square(field, frame=(280, 310), size=320)
    assert on_square.cut == ("top", "bottom")
    # White is the colour of no retina: only the field is told.
    retina = find_regions(square, field=on_square).retina
    lit = square[..., 0] > 127
    assert 0.7 < lit.mean() < 0.77
    assert (retina != lit).mean() < 0.006


@pytest.mark.parametrize("size", [128, 320, 640])
@pytest.mark.parametrize(("slope", "sides"), [(0.0, ["top", "bottom"]), (0.06, ["bottom"])])
def test_straight_edges_of_what_was_photographed_are_read_from_its_mask(size, slope, sides):
    down, across = np.mgrid[:size, :size] - (size - 1) / 2
    seen = np.hypot(across, down) <= size / 2
    seen &= down + slope * across <= 0.35 * size
    if "top" in sides:
        seen &= down >= -0.4 * size
    field = field_that_fills(seen)
    assert [cut.side for cut in field.cuts] == sides
    inside = np.hypot(across - field.x + (size - 1) / 2, down) <= field.radius
    rows, columns = np.mgrid[:size, :size]
    for cut in field.cuts:
        inside &= cut.across * columns + cut.down * rows <= cut.limit
    assert (inside != seen).mean() < 0.002


def test_a_whole_circle_and_an_empty_mask_have_no_straight_edges():
    down, across = np.mgrid[:256, :256] - 127.5
    assert not field_that_fills(np.hypot(across, down) <= 128).cuts
    assert not field_that_fills(np.zeros((256, 256), bool)).cuts


def test_an_ellipse_contains_the_pixels_of_its_mask():
    ellipse = Ellipse(x=20.3, y=14.6, width=12.0, height=21.0, angle=-0.6)
    told = [[ellipse.contains(x, y) for x in range(40)] for y in range(30)]
    np.testing.assert_array_equal(told, ellipse.mask((30, 40)))
