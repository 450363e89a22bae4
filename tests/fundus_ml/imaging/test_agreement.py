"""Shares that a circle agrees by, against areas and turns known in closed form."""

import numpy as np
import pytest

from fundus_ml.imaging.agreement import Agreement, measure_agreement
from fundus_ml.imaging.circles import Circle
from fundus_ml.imaging.lit_area import edge_points, measure_light
from tests.fundus_ml.tiny_eyes import draw_field


def agreement_of(image, circle):
    """Agreement of a circle with what is lit in a drawing."""
    light = measure_light(image)
    lit = light.lit(0.08)
    return measure_agreement(circle, edge_points(lit), lit, light)


def test_a_circle_on_its_own_drawing_agrees_wholly():
    """All edge, all sectors, all filled; brightness falls from the retina's to the surround's."""
    image = draw_field(200, 240, x=120.0, y=100.0, radius=80.0)
    found = agreement_of(image, Circle(120.0, 100.0, 80.0, 1.0))
    assert min(found[:4]) > 0.98
    assert (found.rim, found.step) == (1, 1)
    assert found.confidence == min(found[:4])


def test_the_frame_takes_sectors_away_but_no_confidence():
    """Above and below the frame there is nothing to see: 48 % of the turn is left."""
    image = draw_field(120, 300, x=150.0, y=60.0, radius=90.0)
    found = agreement_of(image, Circle(150.0, 60.0, 90.0, 1.0))
    assert found.turn == pytest.approx(4 * np.arcsin(58 / 90) / (2 * np.pi), abs=0.03)
    assert min(found.edge, found.sectors, found.filled) > 0.97


def test_a_circle_twice_as_wide_is_a_quarter_filled():
    """And no edge lies on it."""
    image = draw_field(300, 300, x=150.0, y=150.0, radius=60.0)
    found = agreement_of(image, Circle(150.0, 150.0, 120.0, 1.0))
    assert found.filled == pytest.approx(0.25, abs=0.01)
    assert (found.edge, found.sectors, found.turn, found.step) == (0, 0, 0, 0)


@pytest.mark.parametrize("side", ["left", "top", "right", "bottom"])
def test_a_straight_cut_does_not_count_and_a_crooked_one_does(side):
    """The same piece missing, cut along the frame and slantwise."""
    circle = Circle(150.0, 150.0, 110.0, 1.0)
    turns = {"top": 0, "left": 1, "bottom": 2, "right": 3}[side]
    straight = np.rot90(draw_field(301, 301, x=150.0, y=150.0, radius=110.0)).copy()
    straight[:80] = 0
    slanted = draw_field(301, 301, x=150.0, y=150.0, radius=110.0)
    rows, columns = np.indices((301, 301))
    slanted[(rows - 150) + (columns - 150) < -70 * np.sqrt(2)] = 0
    cut, crooked = (
        agreement_of(np.rot90(each, turns).copy(), circle) for each in (straight, slanted)
    )
    assert min(cut.edge, cut.sectors) > 0.95
    assert max(crooked.edge, crooked.sectors) < 0.82
    assert cut.turn == pytest.approx(crooked.turn, abs=0.03)


def test_the_step_is_a_share_of_the_retinas_light():
    """A halo half as bright as the retina."""
    image = draw_field(300, 300, x=150.0, y=150.0, radius=120.0, colour=(100, 100, 100))
    image = np.maximum(
        image, draw_field(300, 300, x=150.0, y=150.0, radius=90.0, colour=(200, 9, 9))
    )
    outer, inner = (agreement_of(image, Circle(150.0, 150.0, r, 1.0)) for r in (120.0, 90.0))
    assert (outer.rim, outer.step) == (0.5, 0.5)
    assert (inner.rim, inner.step) == (1.0, 0.5)


def test_a_circle_out_of_sight_agrees_with_nothing():
    """No sector of it lies in the frame."""
    image = draw_field(100, 100, x=50.0, y=50.0, radius=40.0)
    found = agreement_of(image, Circle(900.0, 50.0, 40.0, 1.0))
    assert found.confidence == 0
    assert (found.rim, found.step) == (0, 0)


@pytest.mark.parametrize(
    ("shares", "confidence", "weakest"),
    [
        ((0.7, 0.8, 0.9, 0.5, 0, 0), 0.7, "70% of the lit edge lies on it"),
        ((1.0, 0.8, 0.9, 0.5, 0, 0), 0.8, "80% of what the frame shows of it is edge"),
        ((1.0, 1.0, 0.9, 0.5, 0, 0), 0.9, "90% of it is lit"),
        ((1.0, 1.0, 0.9, 0.2, 0.4, 0), 0.6, "20% of its turn is seen"),
        ((1.0, 1.0, 0.9, 0.1, 0.05, 0), 0.8, "10% of its turn is seen"),
        ((1.0, 1.0, 0.9, 0.1, 0.3, 0), 0.55, "10% of its turn is seen"),
        ((1.0, 1.0, 0.9, 0.5, 0, 0.2), 0.67, "an area 20% of its size is lit beside it"),
        ((1.0, 1.0, 1.0, 1.0, 0, 0), 1.0, "100%"),
    ],
)
def test_the_weakest_share_decides(shares, confidence, weakest):
    """A third of the turn is as good as all of it, and less may do where it fixes the circle."""
    found = Agreement(*shares, rim=1.0, step=0.5)
    assert found.confidence == pytest.approx(confidence)
    assert found.weakest.startswith(weakest)


def agreement_with(confidence, step):
    """Agreement of a circle that is seen all around."""
    return Agreement(confidence, 1.0, 1.0, 1.0, unseen=0.0, beside=0.0, rim=1.0, step=step)


@pytest.mark.parametrize(
    ("confidence", "step", "better"),
    [
        (0.93, 0.41, True),
        (0.93, 0.35, False),
        (0.91, 0.41, False),
        (0.9, 0.53, True),
        (0.7, 0.99, False),
    ],
)
def test_a_circle_within_must_be_surer_or_much_steeper(confidence, step, better):
    """Against one of confidence 0.9 and a step of 0.4."""
    assert agreement_with(confidence, step).is_better_than(agreement_with(0.9, 0.4)) is better
