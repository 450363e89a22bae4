"""The line of a learning curve and its interval."""

import numpy as np
import pytest

from benchmarks.learning_curve import extrapolate


def test_a_straight_line_goes_on():
    people = [100, 200, 400]
    assert extrapolate(people, [0.6, 0.62, 0.64], to=1600) == pytest.approx((0.68,) * 3)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """400 curves of nine noisy runs, far beyond them."""
    rng = np.random.default_rng(0)
    people = np.repeat([100, 200, 400], 3)
    truth = 0.5 + 0.02 * np.log2(people)
    held = 0
    for _ in range(400):
        _, low, high = extrapolate(people, truth + rng.normal(0, 0.01, 9), to=4000)
        held += low <= 0.5 + 0.02 * np.log2(4000) <= high
    assert 0.92 < held / 400 < 0.98
