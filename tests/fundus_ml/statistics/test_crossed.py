"""Means over networks and people: both intervals, against closed forms and simulation."""

import numpy as np
import pytest
from scipy import stats

from fundus_ml.errors import InputError
from fundus_ml.statistics.clustered import (
    auroc,
    clustered_auroc,
    clustered_mean,
    clustered_ratio,
)
from fundus_ml.statistics.crossed import crossed_auroc, crossed_mean, crossed_ratio

PEOPLE = np.repeat(np.arange(30), 2)


def rows(networks, *, between=0.0, seed=0):
    """Values of two eyes each of thirty people."""
    draw = np.random.default_rng(seed)
    of_people = draw.standard_normal(30)[PEOPLE]
    noise = 0.3 * draw.standard_normal((networks, len(PEOPLE)))
    return between * draw.standard_normal((networks, 1)) + of_people + noise


def test_one_network_has_the_clustered_interval_and_says_nothing_of_others():
    values = rows(1)
    found, own = crossed_mean(values, PEOPLE), clustered_mean(values[0], PEOPLE)
    assert vars(found.over_people) == pytest.approx(vars(own))
    assert np.isnan([found.over_both.low, found.over_both.high, found.between]).all()
    labels = PEOPLE % 2
    people = crossed_auroc(labels, values, PEOPLE).over_people
    assert vars(people) == pytest.approx(vars(clustered_auroc(labels, values[0], PEOPLE)))
    ratio = crossed_ratio(np.exp(values), np.ones_like(values), PEOPLE).over_people
    own = clustered_ratio(np.exp(values[0]), np.ones(60), PEOPLE)
    assert vars(ratio) == pytest.approx(vars(own))


def test_networks_that_agree_add_nothing():
    found = crossed_mean(np.repeat(rows(1), 4, axis=0), PEOPLE)
    assert vars(found.over_both) == pytest.approx(vars(found.over_people))
    assert found.between == pytest.approx(0.0)
    assert found.variance_ratio == pytest.approx(0.0)


def test_where_eyes_agree_the_interval_is_students():
    each = np.array([0.2, 0.5, 0.9, 0.4])
    found = crossed_mean(np.repeat(each[:, None], 60, axis=1), PEOPLE)
    low, high = stats.t.interval(0.95, 3, each.mean(), stats.sem(each))
    assert (found.over_both.low, found.over_both.high) == pytest.approx((low, high))
    assert found.over_people.low == pytest.approx(found.over_people.high)
    assert found.between == pytest.approx(each.std(ddof=1))


def test_each_is_the_value_of_each_network():
    values = rows(5, between=1)
    labels = PEOPLE % 2
    found = crossed_auroc(labels, values, PEOPLE, resamples=50)
    assert found.each == pytest.approx([auroc(labels, one) for one in values])
    assert found.over_both.value == pytest.approx(found.each.mean())
    above = np.exp(values)
    above[1, :6] = np.nan  # eyes that this network left as they were
    ratio = crossed_ratio(above, np.ones_like(above), PEOPLE, resamples=50)
    assert ratio.each == pytest.approx(np.nanmean(above, axis=1))
    assert ratio.over_both.value == pytest.approx(np.exp(np.log(ratio.each).mean()))
    assert ratio.columns("enrichment")["enrichment_between"] == pytest.approx(
        np.log(ratio.each).std(ddof=1)
    )


@pytest.mark.parametrize(("networks", "between"), [(3, 1.0), (10, 0.1)])
def test_the_interval_over_both_covers_where_the_one_over_people_does_not(networks, between):
    """The truth is 0; 150 cohorts, so that 95 % shows as 91 % and more."""
    found = [
        crossed_mean(rows(networks, between=between, seed=seed), PEOPLE, resamples=150)
        for seed in range(150)
    ]
    covered = np.mean([one.over_both.low < 0 < one.over_both.high for one in found])
    assert covered >= 0.91
    if between == 1:
        assert np.mean([one.over_people.low < 0 < one.over_people.high for one in found]) < 0.75


def test_what_has_no_value_is_refused():
    values = rows(3)
    with pytest.raises(InputError, match=r"values: shape must be \(networks, 60\), not \(60,\)"):
        crossed_mean(values[0], PEOPLE)
    with pytest.raises(InputError, match=r"denominators: shape must be \(3, 60\), not \(2, 60\)"):
        crossed_ratio(values, values[:2], PEOPLE)
    values[1] = np.nan
    with pytest.raises(InputError, match="networks: 1 of 3 have no value"):
        crossed_mean(values, PEOPLE)
    with pytest.raises(InputError, match="networks: 3 of 3 have no value, or 0 of a ratio"):
        crossed_ratio(np.zeros((3, 60)), np.ones((3, 60)), PEOPLE)
