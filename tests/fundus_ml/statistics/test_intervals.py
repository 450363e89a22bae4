"""Intervals where percentiles do not cover: against closed forms and limits."""

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.intervals import gap_interval, logit_interval, widened


def test_logit_interval_is_normal_on_the_logit():
    """Replicates normal on the logit give back the mean and the spread they were drawn with."""
    drawn = expit(1.2 + 0.3 * norm.ppf(np.linspace(0.0005, 0.9995, 1000)))
    found = logit_interval(expit(1.2), drawn)
    ends = expit(1.2 + 0.3 * norm.ppf([0.025, 0.975]))
    assert (found.low, found.high) == pytest.approx(ends, abs=2e-4)
    assert logit(found.high) + logit(found.low) == pytest.approx(2 * 1.2)


def test_logit_interval_of_a_certain_value_is_that_of_the_percentiles():
    found = logit_interval(1.0, np.array([1.0, 1.0, 0.9, 1.0]))
    assert (found.value, found.low, found.high) == pytest.approx((1, 0.9075, 1))
    alone = logit_interval(0.4, np.array([]))
    assert np.isnan([alone.low, alone.high]).all()


def test_gap_interval_turns_the_percentiles_round():
    """What the replicates lie above the value, the truth lies below it."""
    drawn = np.linspace(0.10, 0.14, 201)
    found = gap_interval(0.1, drawn, chance=np.full(201, 0.03))
    assert (found.low, found.high) == pytest.approx((0.2 - 0.139, 0.2 - 0.101))


def test_gap_interval_holds_no_gap_where_chance_explains_it():
    drawn = np.linspace(0.10, 0.14, 201)
    assert gap_interval(0.1, drawn, chance=np.full(201, 0.1)).low == 0
    # Everything below 0 is cut off.
    found = gap_interval(0.01, drawn, chance=np.zeros(201))
    assert (found.low, found.high) == (0, 0)
    alone = gap_interval(0.1, np.array([]), chance=np.array([]))
    assert np.isnan([alone.low, alone.high]).all()


@pytest.mark.parametrize(
    "interval", [logit_interval, lambda value, drawn: gap_interval(value, drawn, drawn)]
)
def test_many_undefined_replicates_are_refused(interval):
    with pytest.raises(InputError, match="50% of the resamples hold one class only"):
        interval(0.4, np.array([0.4, np.nan]))


def test_an_interval_for_the_best_of_several_is_wider():
    """One of one is as it was; of five, normal ends at 0.5 % in place of 2.5 %."""
    plain = Interval(0.1, 0.1 - 0.02 * norm.isf(0.025), 0.1 + 0.03 * norm.isf(0.025))
    assert widened(plain, among=1) == plain
    five = widened(plain, among=5)
    ends = (0.1 - 0.02 * norm.isf(0.005), 0.1 + 0.03 * norm.isf(0.005))
    assert (five.low, five.high) == pytest.approx(ends)
    with pytest.raises(InputError, match="among=0: must be 1 or more"):
        widened(plain, among=0)
