"""Circles through points: exact without noise, steady with it, squashed when nothing else fits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from fundus_ml.imaging.circles import TOLERANCE, Circle, fit_circle

LOW, HIGH = 40.0, 400.0


def points_on(circle, count=300, *, start=0.0, turn=2 * np.pi):
    """Points of ``turn`` radians of a circle."""
    angles = start + np.linspace(0, turn, count, endpoint=False)
    across = circle.x + circle.aspect * circle.radius * np.cos(angles)
    return np.column_stack([across, circle.y + circle.radius * np.sin(angles)])


@given(
    x=st.floats(-50, 300),
    y=st.floats(-50, 300),
    radius=st.floats(60, 300),
    aspect=st.sampled_from([1.0, 0.6, 0.75, 0.9, 1.25, 1.6]),
)
@settings(deadline=None, max_examples=25)
def test_points_of_any_circle_give_it_back(x, y, radius, aspect):
    """Without noise the fit is the closed form, round or squashed."""
    circle = Circle(x, y, radius, aspect)
    fitted = fit_circle(points_on(circle), low=LOW, high=HIGH)
    np.testing.assert_allclose(fitted, circle, rtol=1e-6, atol=1e-6)


def test_a_round_circle_stays_exactly_round_in_noise():
    """Pixel noise is no reason to squash a photograph."""
    circle = Circle(130.0, 120.0, 110.0, 1.0)
    noise = np.random.default_rng(0).normal(scale=0.5, size=(300, 2))
    fitted = fit_circle(points_on(circle) + noise, low=LOW, high=HIGH)
    assert fitted.aspect == 1.0
    np.testing.assert_allclose(fitted[:3], circle[:3], atol=0.15)


@pytest.mark.parametrize("aspect", [1.0, 0.8])
def test_points_of_something_else_are_outvoted(aspect):
    """A third of the points on a straight cut moves nothing."""
    circle = Circle(130.0, 120.0, 110.0, aspect)
    cut = np.column_stack([np.linspace(60, 200, 150), np.full(150, 60.0)])
    fitted = fit_circle(np.vstack([points_on(circle), cut]), low=LOW, high=HIGH)
    np.testing.assert_allclose(fitted, circle, rtol=0.01)


def test_the_refined_circle_is_the_least_squares_one():
    """Gauss-Newton against SciPy on the same distances."""
    circle = Circle(130.0, 120.0, 110.0, 0.8)
    noisy = points_on(circle) + np.random.default_rng(1).normal(scale=0.3, size=(300, 2))

    def away(parameters):
        x, y, radius, aspect = parameters
        return np.hypot((noisy[:, 0] - x) / aspect, noisy[:, 1] - y) - radius

    judge = least_squares(away, circle, xtol=1e-12, ftol=1e-12).x
    np.testing.assert_allclose(fit_circle(noisy, low=LOW, high=HIGH), judge, rtol=1e-5)


def test_a_fifth_of_a_turn_is_enough():
    """As where a frame shows one side of the edge."""
    circle = Circle(130.0, 120.0, 110.0, 1.0)
    arc = points_on(circle, start=0.4, turn=2 * np.pi / 5)
    np.testing.assert_allclose(fit_circle(arc, low=LOW, high=HIGH), circle, rtol=1e-6)


def test_no_circle_of_the_allowed_radii_is_none():
    """Too large, and a straight line."""
    large = points_on(Circle(100.0, 100.0, 2000.0, 1.0))
    line = np.column_stack([np.arange(100.0), 2 * np.arange(100.0)])
    for points in (large, line):
        assert fit_circle(points, low=LOW, high=HIGH) is None


def test_points_of_a_smaller_circle_are_not_explained_by_an_allowed_one():
    """What touches them stays within the radii and holds few of them."""
    noise = np.random.default_rng(0).normal(scale=0.5, size=(300, 2))
    points = points_on(Circle(100.0, 100.0, 20.0, 1.0)) + noise
    fitted = fit_circle(points, low=LOW, high=HIGH)
    assert LOW * 0.95 <= fitted.radius <= HIGH * 1.05
    assert fitted.holds(points).mean() < 0.4


def test_a_circle_holds_points_within_its_tolerance():
    """Measured across and down in its own unsquashed pixels."""
    circle = Circle(50.0, 60.0, 100.0, 0.5)
    share = 1 + TOLERANCE * np.array([-1.01, -0.99, 0.0, 0.99, 1.01])
    across = np.column_stack([50 + 50 * share, np.full(5, 60.0)])
    down = np.column_stack([np.full(5, 50.0), 60 + 100 * share])
    for points in (across, down):
        assert circle.holds(points).tolist() == [False, True, True, True, False]
