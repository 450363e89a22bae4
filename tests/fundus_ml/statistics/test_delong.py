"""DeLong's test against all pairs, against a simulation and against the paired bootstrap."""

import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.statistics.clustered import auroc, paired_auroc_difference
from tests.fundus_ml.statistics.delong import auroc_covariance, paired_delong


def make_scores(rng, count=400, *, gain=0.3, ties=False):
    """Two models that see much the same, the first a little better."""
    labels = rng.integers(0, 2, count)
    shared = rng.normal(size=count)
    first = (0.8 + gain) * labels + shared + 0.5 * rng.normal(size=count)
    second = 0.8 * labels + shared + 0.7 * rng.normal(size=count)
    return (labels, first.round(1), second.round(1)) if ties else (labels, first, second)


def all_pairs_covariance(labels, scores):
    """The definition: each pair compared, components averaged, without ranks."""
    parts = []
    for numbers in scores:
        men, women = numbers[labels == 1], numbers[labels == 0]
        wins = (men[:, None] > women) + 0.5 * (men[:, None] == women)
        parts.append((wins.mean(axis=1), wins.mean(axis=0)))
    over_men = np.cov([men for men, _ in parts]) / (labels == 1).sum()
    return over_men + np.cov([women for _, women in parts]) / (labels == 0).sum()


@pytest.mark.parametrize("ties", [False, True])
def test_covariance_is_that_of_all_pairs(ties):
    labels, first, second = make_scores(np.random.default_rng(1), 120, ties=ties)
    aurocs, covariance = auroc_covariance(labels, [first, second])
    assert aurocs == pytest.approx([auroc(labels, first), auroc(labels, second)])
    np.testing.assert_allclose(covariance, all_pairs_covariance(labels, [first, second]))


@pytest.mark.parametrize("ties", [False, True])
def test_it_agrees_with_the_paired_bootstrap_to_the_second_digit(ties):
    """Single eyes, where both hold: ends of the intervals within 0.005, errors within 5 %."""
    labels, first, second = make_scores(np.random.default_rng(2), ties=ties)
    exact = paired_delong(labels, first, second)
    drawn = paired_auroc_difference(labels, first, second, np.arange(400), resamples=4000)
    assert exact.value == pytest.approx(drawn.value)
    assert (exact.low, exact.high) == pytest.approx((drawn.low, drawn.high), abs=0.005)
    assert exact.high - exact.low == pytest.approx(drawn.high - drawn.low, rel=0.05)


def test_its_chance_is_uniform_where_there_is_no_difference():
    """Equally good models are told apart at p < 0.05 in about 5 % of the draws."""
    rng = np.random.default_rng(3)
    chances = []
    for _ in range(600):
        labels, shared = rng.integers(0, 2, 150), rng.normal(size=150)
        first, second = (labels + shared + rng.normal(size=150) for _ in range(2))
        chances.append(paired_delong(labels, first, second).p)
    assert 0.03 < np.mean(np.array(chances) < 0.05) < 0.07
    assert 0.45 < np.mean(chances) < 0.55


def test_scores_that_rank_alike_differ_by_nothing():
    labels, first, _ = make_scores(np.random.default_rng(4))
    same = paired_delong(labels, first, 2 * first + 1)
    assert (same.value, same.error, same.low, same.high, same.p) == pytest.approx((0, 0, 0, 0, 1))


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1, 1], [0.1, 0.2, 0.3], "1 are 0 and 2 are 1, DeLong needs 2 of each"),
        ([0, 0, 1, 1], [0.1, 0.2, 0.3], "lengths differ: labels 4, scores 3"),
        ([1, 1], [0.1, 0.2], "AUROC needs both classes"),
    ],
)
def test_mistakes_end_in_one_clear_line(labels, scores, message):
    with pytest.raises(InputError, match=message):
        paired_delong(labels, scores, scores)
