"""AUROC within strata against a slow count of pairs, and what it takes away."""

import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.statistics.clustered import cluster_counts, clustered_auroc
from fundus_ml.statistics.stratified import stratified_auroc


def slow(labels, scores, strata, weights):
    """Every pair of a positive and a negative of one stratum, one by one."""
    right = pairs = 0.0
    for i in np.flatnonzero(labels == 1):
        for j in np.flatnonzero((labels == 0) & (strata == strata[i])):
            weight = weights[i] * weights[j]
            pairs += weight
            right += weight * ((scores[i] > scores[j]) + (scores[i] == scores[j]) / 2)
    return right / pairs


@pytest.fixture
def eyes():
    rng = np.random.default_rng(3)
    labels, strata = rng.integers(0, 2, 60), rng.integers(0, 4, 60)
    labels[strata == 3] = 1  # a stratum of one class counts nothing
    return labels, np.round(rng.normal(size=60) + labels, 1), strata, np.arange(60) // 2


def test_it_counts_pairs_within_strata(eyes):
    labels, scores, strata, _ = eyes
    found = stratified_auroc(*eyes, resamples=200, seed=1)
    assert found.value == pytest.approx(slow(labels, scores, strata, np.ones(60)))
    assert found.low < found.value < found.high


def test_its_interval_draws_people(eyes):
    labels, scores, strata, groups = eyes

    counts = cluster_counts(groups, resamples=30, seed=5)
    replicates = [slow(labels, scores, strata, weights) for weights in counts]
    found = stratified_auroc(*eyes, resamples=30, seed=5)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(replicates, [0.025, 0.975])))


def test_one_stratum_is_the_plain_one(eyes):
    labels, scores, _, groups = eyes
    found = stratified_auroc(labels, scores, np.zeros(60), groups, resamples=50)
    assert found == clustered_auroc(labels, scores, groups, resamples=50)


def test_a_score_that_is_the_age_is_at_chance_within_it():
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 80, 4000)
    ill = (rng.uniform(size=4000) < (age - 20) / 80).astype(int)
    people = np.arange(4000)
    assert clustered_auroc(ill, age, people, resamples=20).value > 0.7
    within = stratified_auroc(ill, age, age // 10, people, resamples=200)
    assert within.value == pytest.approx(0.5, abs=0.06)


def test_strata_of_one_class_are_refused():
    with pytest.raises(InputError, match="strata: none holds both classes"):
        stratified_auroc([0, 0, 1, 1], [1, 2, 3, 4], [0, 0, 1, 1], [0, 1, 2, 3])
