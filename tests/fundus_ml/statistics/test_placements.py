"""Intervals of few people and a test between parts, against DeLong, bounds and simulation."""

import numpy as np
import pytest
from scipy.stats import norm, t

from fundus_ml.errors import InputError
from fundus_ml.statistics.clustered import auroc, clustered_auroc
from fundus_ml.statistics.placements import auroc_apart, logit_auroc


def eyes(rng, people, value, *, alike=0.8):
    """Two alike eyes of ``people`` people of each class."""
    person = np.repeat(np.arange(2 * people), 2)
    labels = (person < people).astype(int)
    noise = np.sqrt(alike) * rng.normal(size=2 * people)[person]
    noise += np.sqrt(1 - alike) * rng.normal(size=4 * people)
    return labels, noise + np.sqrt(2) * norm.ppf(value) * labels, person


def slow_error(labels, scores):
    """DeLong's standard error of single eyes, pair by pair."""
    pairs = np.greater.outer(scores[labels == 1], scores[labels == 0]).astype(float)
    pairs += np.equal.outer(scores[labels == 1], scores[labels == 0]) / 2
    spread = [pairs.mean(axis=axis).var(ddof=1) / pairs.shape[1 - axis] for axis in (1, 0)]
    return np.sqrt(sum(spread))


def test_single_eyes_have_the_error_of_delong():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 60), np.round(rng.normal(size=60), 1)
    scores += labels
    found = logit_auroc(labels, scores, np.arange(60))
    assert found.value == pytest.approx(auroc(labels, scores))
    reach = slow_error(labels, scores) * t.isf(0.025, np.bincount(labels).min() - 1)
    reach /= found.value * (1 - found.value)
    odds = np.array([found.low / (1 - found.low), found.high / (1 - found.high)])
    middle = np.log(found.value / (1 - found.value))
    assert np.log(odds) == pytest.approx([middle - reach, middle + reach])


def test_copies_of_an_eye_add_nothing():
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 2, 40), rng.normal(size=40)
    twice = [np.repeat(values, 2) for values in (labels, scores, np.arange(40))]
    once = logit_auroc(labels, scores, np.arange(40))
    both = logit_auroc(*twice)
    assert (both.low, both.high) == pytest.approx((once.low, once.high))


def test_all_ranked_rightly_leaves_a_bound():
    """Ten disjoint pairs are all in order with probability 0.025 at the bound."""
    labels, person = np.repeat([0, 1], [12, 10]), np.arange(22)
    found = logit_auroc(labels, labels + 0.0, person)
    assert (found.value, found.high) == (1, 1)
    assert found.low**10 == pytest.approx(0.025)
    flipped = logit_auroc(labels, -labels + 0.0, person)
    assert (flipped.low, flipped.high) == pytest.approx((0, 1 - found.low))
    assert np.isnan(logit_auroc([0, 0, 1], [1.0, 2.0, 3.0], [0, 1, 2]).low)


def test_a_high_auroc_of_few_is_covered():
    """Where the percentile interval misses one truth in five."""
    rng, held = np.random.default_rng(3), []
    for seed in range(150):
        drawn = eyes(rng, 10, 0.97)
        both = logit_auroc(*drawn), clustered_auroc(*drawn, resamples=60, seed=9000 + seed)
        held.append([found.low <= 0.97 <= found.high for found in both])
    logit, percentile = np.mean(held, axis=0)
    assert logit >= 0.94
    assert percentile < 0.85


@pytest.mark.slow
def test_equal_parts_differ_at_the_level_and_unequal_ones_are_found():
    rng, equal, unequal, sides = np.random.default_rng(4), [], [], []
    for _ in range(300):
        labels, scores, person = eyes(rng, 60, 0.8)
        inside = person % 60 < 25
        equal.append(auroc_apart(labels, scores, inside, person).pvalue)
        sides.append(auroc_apart(labels, scores, np.arange(240) % 2 == 0, person).pvalue)
        moved = scores + 1.2 * labels * inside
        unequal.append(auroc_apart(labels, moved, inside, person).pvalue)
    at_level = 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 300)
    assert np.mean(np.array(equal) <= 0.05) <= at_level
    # One eye of each person on either side: a pair, whose level holds too.
    assert 0.01 <= np.mean(np.array(sides) <= 0.05) <= at_level
    assert np.mean(np.array(unequal) <= 0.05) > 0.7


def test_the_difference_is_that_of_the_parts():
    labels, scores, person = eyes(np.random.default_rng(5), 20, 0.8)
    inside = person % 20 < 8
    found = auroc_apart(labels, scores, inside, person)
    parts = [auroc(labels[rows], scores[rows]) for rows in (inside, ~inside)]
    assert found.difference == pytest.approx(parts[0] - parts[1])
    right = np.where(inside, labels, scores)
    assert np.isnan(auroc_apart(labels, right, inside, person).pvalue)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: logit_auroc([1, 1], [0.1, 0.2], [0, 1]), "labels: all 2 are 1"),
        (lambda: logit_auroc([0, 1], [0.1, 0.2], [0]), "lengths differ: labels 2, groups 1"),
        (
            lambda: auroc_apart([0, 1], [0.1, 0.2], [True], [0, 1]),
            "lengths differ: labels 2, scores 2, inside 1, groups 2",
        ),
        (lambda: auroc_apart([0, 1], [0.1, 0.2], [True, False], [0, 1]), "labels: all 1 are 0"),
    ],
)
def test_mistakes_end_in_one_clear_line(call, message):
    with pytest.raises(InputError, match=message):
        call()
