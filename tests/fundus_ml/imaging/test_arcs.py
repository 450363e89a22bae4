"""What a few arcs say about the rest of an outline, against shapes known in closed form."""

import numpy as np
import pytest

from fundus_ml.imaging.arcs import unseen_error
from fundus_ml.imaging.circles import Circle

CIRCLE = Circle(150.0, 110.0, 140.0, 1.0)
CORNERS = np.deg2rad([38, 142, 218, 322])


def outline(turns, distance, *, half, noise=0.3, points=30):
    """Points around ``turns`` at ``distance(turn)`` radii, with the noise of a pixel outline."""
    around = (turns[:, None] + np.linspace(-half, half, points)).ravel()
    away = 1 + distance(around, turns.repeat(points)) if distance else np.ones_like(around)
    away = CIRCLE.radius * away + np.random.default_rng(0).normal(scale=noise, size=around.shape)
    return np.column_stack([CIRCLE.x + away * np.cos(around), CIRCLE.y + away * np.sin(around)])


def test_four_corner_arcs_of_a_circle_leave_little_open():
    """A tenth of the turn in four places."""
    assert unseen_error(CIRCLE, outline(CORNERS, None, half=0.16)) < 0.1


@pytest.mark.parametrize(
    ("shape", "least"),
    [
        (lambda around, middle: 1 / np.cos(around - middle) - 1, 0.1),
        (lambda around, middle: -((around - middle) ** 2), 0.1),
        (lambda around, _: 0.05 * np.cos(2 * around), 0.05),
    ],
    ids=["corners cut straight", "rounded corners", "squashed"],
)
def test_arcs_of_another_shape_say_how_far_the_circle_is_off(shape, least):
    """Straight chops, corners of half the radius, and an ellipse of 0.9."""
    assert unseen_error(CIRCLE, outline(CORNERS, shape, half=0.16)) > least


def test_the_shorter_the_arcs_the_more_is_open():
    """Until nothing is known."""
    errors = [unseen_error(CIRCLE, outline(CORNERS, None, half=half)) for half in (0.2, 0.1, 0.04)]
    assert errors == sorted(errors)
    assert errors[-1] > 0.3


@pytest.mark.parametrize("corners", [1, 2])
def test_arcs_on_one_side_leave_the_other_open(corners):
    """However many points they have."""
    side = outline(CORNERS[:corners], None, half=0.45, noise=0.01, points=200)
    assert unseen_error(CIRCLE, side) == float("inf")


def test_too_few_points_say_nothing():
    """Not even without noise."""
    few = outline(CORNERS[:3], None, half=0.2, noise=0.0, points=3)
    assert unseen_error(CIRCLE, few) == float("inf")


def test_a_whole_circle_leaves_nothing_open():
    """Without noise the error is that of floating point."""
    whole = outline(np.array([0.0]), None, half=np.pi, noise=0.0, points=100)
    assert unseen_error(CIRCLE, whole) == pytest.approx(0, abs=1e-6)
