"""What is lit, against drawings whose levels are known."""

import numpy as np
import pytest

from fundus_ml.imaging.lit_area import NoFieldOfView, edge_points, measure_light
from tests.fundus_ml.tiny_eyes import draw_field


def test_levels_are_those_of_the_darkest_corner_and_the_brightest_twentieth():
    """A bright corner label and a few bright pixels move neither."""
    image = draw_field(100, 140, x=70.0, y=50.0, radius=45.0, colour=(150, 80, 40), surround=12)
    image[:8, :30] = (90, 90, 90)
    image[40:44, 60:64] = 255
    light = measure_light(image)
    assert (light.surround, light.retina) == (12, 150)
    assert light.brightness.shape == (100, 140)
    assert not light.on_paper


@pytest.mark.parametrize(
    ("fraction", "lit"), [(0.25, [1, 1, 1]), (0.5, [0, 1, 1]), (0.9, [0, 0, 1])]
)
def test_lit_is_what_lies_above_a_share_of_the_way(fraction, lit):
    """Bands at 40, 70 and 100 % of the retina's level over black."""
    image = np.zeros((80, 120, 3), np.uint8)
    for band, level in enumerate((80, 140, 200)):
        image[20:60, 30 + 20 * band : 50 + 20 * band, band] = level
    found = measure_light(image).lit(fraction)
    assert [int(found[40, 40 + 20 * band]) for band in range(3)] == lit
    assert found[5, 5] == 0


def test_a_faint_surround_is_not_lit_however_dark_the_retina():
    """Below six grey levels of rise there is noise."""
    image = draw_field(80, 80, x=40.0, y=40.0, radius=30.0, colour=(25, 20, 10), surround=2)
    image[5:12, 34:46] = 7
    lit = measure_light(image).lit(0.08)
    assert lit[8, 40] == 0
    assert lit[40, 40] == 1


def test_paper_is_taken_away_only_where_it_reaches_a_corner():
    """A white reflex inside the eye stays lit."""
    image = draw_field(100, 100, x=50.0, y=50.0, radius=40.0)
    image[:15] = 255
    image[45:55, 45:55] = 255
    light = measure_light(image)
    assert light.on_paper
    lit = light.lit(0.08)
    assert lit[50, 50] == 1
    assert lit[:14].max() == 0


def test_the_edge_is_followed_in_order_without_the_frame():
    """The edge of the largest area alone: neighbours touch, nothing lies on the frame."""
    lit = np.zeros((60, 80), np.uint8)
    lit[20:, 30:60] = 1
    lit[5:10, 5:10] = 1
    points = edge_points(lit)
    steps = np.abs(np.diff(points, axis=0)).max(axis=1)
    assert (steps > 1).sum() <= 1
    assert points[:, 1].max() < 58
    assert set(points[:, 0]) == set(range(30, 60))
    assert {tuple(point) for point in points} >= {(30.0, 20.0), (59.0, 20.0), (30.0, 40.0)}


def test_darkness_is_refused():
    """With both levels."""
    with pytest.raises(NoFieldOfView, match="brightest 20 of 255 over a surround of 9"):
        measure_light(
            np.repeat(np.uint8([9, 20]), 30)[:, None, None] * np.ones((1, 60, 3), np.uint8)
        )


def test_nothing_lit_has_no_edge():
    """Not one outline."""
    with pytest.raises(NoFieldOfView, match="0 points of the lit area's edge are inside it"):
        edge_points(np.zeros((60, 80), np.uint8))
