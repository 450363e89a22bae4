"""Sensitivity, bias and lapses, against integrals, published values and rearranged models."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from fundus_ml.reader_study.sensitivity import (
    accuracy_interval,
    criterion,
    d_prime,
    d_prime_interval,
    lapse_corrected,
    lapse_rate,
    log_linear,
)
from fundus_ml.statistics.bootstrap import Interval


@pytest.mark.parametrize("sensitivity", [-0.5, 0.0, 0.5, 1.0, 2.0, 3.5])
def test_d_prime_undoes_the_comparison_of_two_impressions(sensitivity):
    """P(right) is the chance that the stronger of two unit normals is the right one."""
    accuracy, _ = quad(lambda x: norm.pdf(x - sensitivity) * norm.cdf(x), -9, 12)
    assert d_prime(accuracy) == pytest.approx(sensitivity, abs=1e-6)


def test_d_prime_is_that_of_the_published_table():
    """Hacker & Ratcliff 1979, Percept. Psychophys. 26(2), two alternatives."""
    assert d_prime([0.5, 0.64, 0.76, 0.92]).round(2).tolist() == [0.0, 0.51, 1.0, 1.99]
    assert d_prime([0.0, 1.0]).tolist() == [-math.inf, math.inf]


def test_wilson_is_the_interval_of_the_score_test():
    """Its ends are the shares whose own standard error reaches just to what was seen."""
    found = accuracy_interval(41, 60)
    assert found.value == 41 / 60
    for end in (found.low, found.high):
        reach = abs(found.value - end) / math.sqrt(end * (1 - end) / 60)
        assert reach == pytest.approx(norm.ppf(0.975))
    assert math.isnan(accuracy_interval(0, 0).value)


def test_shares_of_0_and_1_move_by_half_an_answer():
    found = log_linear([0, 3, 10, 0], [10, 10, 10, 0])
    np.testing.assert_allclose(found, [0.5 / 11, 0.3, 10.5 / 11, np.nan])


def test_the_interval_of_d_prime_has_the_ends_of_the_accuracy():
    found = d_prime_interval(Interval(0.76, 0.5, 0.92), 50)
    assert (found.value, found.low, found.high) == pytest.approx((1, 0, 1.99), abs=0.01)
    perfect = d_prime_interval(Interval(1.0, 0.76, 1.0), 20)
    assert perfect.value == pytest.approx(math.sqrt(2) * norm.ppf(20.5 / 21))
    assert perfect.low == pytest.approx(1, abs=0.01)
    assert perfect.high == math.inf
    assert math.isnan(d_prime_interval(Interval(math.nan, math.nan, math.nan), 0).value)


@pytest.mark.parametrize("bias", [-0.8, 0.0, 0.6])
def test_the_criterion_is_where_the_difference_is_cut(bias):
    """The right side gains ``bias``: answers "left" where left - right, N(±d, 2), exceeds it."""
    hits, false = (norm.sf(bias, loc=mean, scale=math.sqrt(2)) * 1e6 for mean in (1.2, -1.2))
    assert criterion(hits, 1e6, false, 1e6) == pytest.approx(bias / math.sqrt(2), abs=1e-9)
    assert math.isnan(criterion(3, 4, 0, 0))


def test_lapses_are_twice_the_misses():
    np.testing.assert_allclose(
        lapse_rate([0, 1, 3, 5, 0], [6, 6, 6, 6, 0]), [0, 1 / 3, 1, 1, np.nan]
    )


@pytest.mark.parametrize("lapse", [0.0, 0.05, 0.6])
def test_the_correction_undoes_lapses(lapse):
    looked = np.array([0.2, 0.5, 0.9, 1.0])
    answered = (1 - lapse) * looked + lapse / 2
    np.testing.assert_allclose(lapse_corrected(answered, lapse), looked)


def test_the_correction_stays_a_share():
    assert lapse_corrected([0.9, 0.1], 0.5).tolist() == [1, 0]
    assert lapse_corrected([0.4, 0.5, 0.6], 1.0).tolist() == [0, 0.5, 1]
    assert np.isnan(lapse_corrected(0.7, math.nan))
