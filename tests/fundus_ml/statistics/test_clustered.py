"""AUROC, means, medians and ratios against scikit-learn, closed forms and slow rewrites."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from fundus_ml.errors import InputError
from fundus_ml.statistics.clustered import (
    auroc,
    cluster_counts,
    clustered_auroc,
    clustered_mean,
    clustered_median,
    clustered_ratio,
    paired_auroc_difference,
    weighted_auroc,
)


def make_eyes(rng, patients=40, *, effect=1.0, correlation=0.8, ties=False):
    """Two eyes per patient, binormal scores of unit variance that share the patient's part."""
    groups = rng.permutation(np.repeat(np.arange(patients), 2))
    labels = np.tile([0, 1], (patients + 1) // 2)[:patients][groups]
    shared = rng.normal(size=patients)[groups] * np.sqrt(correlation)
    scores = effect * labels + shared + rng.normal(size=2 * patients) * np.sqrt(1 - correlation)
    return labels, np.round(scores, 0) if ties else scores, groups


@pytest.fixture
def rng():
    """One seeded generator per test."""
    return np.random.default_rng(7)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=30))
@settings(deadline=None)
def test_auroc_equals_scikit_learn_with_ties(rows):
    """AUROC is scikit-learn's, ties included; one class is refused."""
    labels, scores = np.array(rows).T
    if labels.min() == labels.max():
        with pytest.raises(InputError, match="AUROC needs both classes"):
            auroc(labels, scores)
    else:
        assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


@pytest.mark.parametrize("ties", [False, True])
def test_each_replicate_equals_weighted_scikit_learn(rng, ties):
    """Every bootstrap replicate is the weighted AUROC of a slow loop."""
    labels, scores, groups = make_eyes(rng, ties=ties)
    counts = cluster_counts(groups, resamples=25, seed=3)
    slow = [roc_auc_score(labels, scores, sample_weight=weights) for weights in counts]
    np.testing.assert_allclose(weighted_auroc(labels, scores, counts), slow, rtol=1e-12)
    found = clustered_auroc(labels, scores, groups, resamples=25, seed=3)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])))
    assert found.value == pytest.approx(roc_auc_score(labels, scores))


def test_a_weight_repeats_a_row(rng):
    """A whole-number weight counts a row that many times."""
    labels, scores, _ = make_eyes(rng, ties=True)
    weights = rng.integers(0, 4, size=(1, len(labels)))
    repeated = roc_auc_score(np.repeat(labels, weights[0]), np.repeat(scores, weights[0]))
    assert weighted_auroc(labels, scores, weights)[0] == pytest.approx(repeated)


def test_replicate_without_a_class_is_undefined():
    """A weighting that leaves one class out has no AUROC."""
    assert np.isnan(weighted_auroc([0, 1], [0.1, 0.9], np.array([[2, 0], [0, 2]]))).all()


def test_copying_every_eye_changes_nothing(rng):
    """Two identical eyes per patient carry what one carries: the eye-level bootstrap denies it."""
    labels, scores, _ = make_eyes(rng)
    patients = np.arange(len(labels))
    twice = np.repeat(labels, 2), np.repeat(scores, 2), np.repeat(patients, 2)
    once = clustered_auroc(labels, scores, patients, resamples=400)
    copied = clustered_auroc(*twice, resamples=400)
    assert (copied.value, copied.low, copied.high) == pytest.approx(
        (once.value, once.low, once.high)
    )
    eye_level = clustered_auroc(*twice[:2], np.arange(2 * len(labels)), resamples=400)
    narrowing = (eye_level.high - eye_level.low) / (once.high - once.low)
    assert narrowing == pytest.approx(1 / np.sqrt(2), rel=0.12)


def test_intervals_cover_the_truth(rng):
    """Binormal truth is known: by patient about 95 % of intervals hold it, by eye fewer."""
    effect, trials = 1.0, 300
    truth = norm.cdf(effect / np.sqrt(2))
    covered = {"patient": 0, "eye": 0}
    for _ in range(trials):
        labels, scores, groups = make_eyes(rng, 60, effect=effect)
        for level, clusters in (("patient", groups), ("eye", np.arange(len(labels)))):
            found = clustered_auroc(labels, scores, clusters, resamples=250)
            covered[level] += found.low <= truth <= found.high
    assert 0.90 <= covered["patient"] / trials <= 0.99
    assert covered["eye"] / trials < 0.90


def test_mean_of_single_eyes_has_the_textbook_width(rng):
    """With one eye per patient the interval is mean ± 1.96 SE."""
    values = rng.normal(5, 2, size=400)
    found = clustered_mean(values, np.arange(400), resamples=4000)
    half_width = 1.96 * values.std() / np.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half_width, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half_width, abs=0.03)


def test_ratio_equals_a_slow_loop(rng):
    """Cluster sums give what resampling every row gives."""
    groups = rng.integers(0, 12, size=50)
    above, below = rng.random(50), rng.random(50)
    counts = cluster_counts(groups, resamples=200, seed=5)
    slow = [(above * row).sum() / (below * row).sum() for row in counts]
    found = clustered_ratio(above, below, groups, resamples=200, seed=5)
    assert found.value == pytest.approx(above.sum() / below.sum())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])))


def test_ratio_of_proportional_sums_is_certain(rng):
    """Proportional sums have one ratio in every resample."""
    area = rng.random(30)
    found = clustered_ratio(3 * area, area, np.arange(30) // 2, resamples=100)
    assert (found.value, found.low, found.high) == pytest.approx((3, 3, 3))


def test_paired_difference_resamples_both_models_together(rng):
    """Both AUROCs of a replicate see the same patients."""
    labels, scores, groups = make_eyes(rng)
    other = scores + rng.normal(size=len(scores)) * 0.5
    counts = cluster_counts(groups, resamples=60, seed=2)
    slow = [
        roc_auc_score(labels, scores, sample_weight=row)
        - roc_auc_score(labels, other, sample_weight=row)
        for row in counts
    ]
    found = paired_auroc_difference(labels, scores, other, groups, resamples=60, seed=2)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])))
    assert found.value == pytest.approx(
        roc_auc_score(labels, scores) - roc_auc_score(labels, other)
    )
    same = paired_auroc_difference(labels, scores, scores, groups, resamples=60)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_one_patient_has_a_value_and_no_interval():
    """One patient leaves nothing to resample."""
    for found in (
        clustered_auroc([0, 1, 1], [0.1, 0.2, 0.3], ["p"] * 3),
        clustered_mean([1, 1, 1], ["p"] * 3),
    ):
        assert found.value == 1
        assert np.isnan([found.low, found.high]).all()


def test_resamples_of_one_class_are_refused_when_many():
    """An interval from few usable resamples is refused."""
    with pytest.raises(InputError, match="one class only"):
        clustered_auroc([0, 1], [0.1, 0.9], ["p", "q"], resamples=200)
    with pytest.raises(InputError, match="nothing to divide by"):
        clustered_ratio([1, 1], [0, 1], ["p", "q"], resamples=200)


def test_few_resamples_of_one_class_are_left_out(rng):
    """Up to 5 % undefined replicates are left out of the quantiles."""
    labels = np.array([0] * 4 + [1] * 40)
    scores = labels + rng.normal(size=44)
    counts = cluster_counts(np.arange(44), resamples=500, seed=0)
    replicates = weighted_auroc(labels, scores, counts)
    assert 0 < np.isnan(replicates).sum() < 25
    found = clustered_auroc(labels, scores, np.arange(44), resamples=500)
    low, high = np.nanquantile(replicates, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: auroc([0, 1], [0.1]), "lengths differ: labels 2, scores 1"),
        (lambda: auroc([0, 2], [0.1, 0.2]), "labels: each must be 0 or 1"),
        (lambda: auroc([1, 1], [0.1, 0.2]), "all 2 are 1, AUROC needs both classes"),
        (lambda: auroc([0, 1], [0.1, np.nan]), "scores: 1 of 2 not finite"),
        (lambda: auroc([], []), "labels: must be one row of numbers"),
        (lambda: weighted_auroc([0, 1], [0, 1], np.ones((1, 3))), r"must be \(m, 2\)"),
        (lambda: clustered_auroc([0, 1], [0, 1], ["p"]), "lengths differ"),
        (lambda: clustered_mean([1.0], ["p", "q"]), "lengths differ"),
        (lambda: clustered_mean([1.0], ["p"], resamples=0), "resamples=0: must be 1 or more"),
        (lambda: clustered_ratio([1, 1], [0, 0], ["p", "q"]), "each must be 0 or more"),
        (lambda: clustered_ratio([1, 1], [2, -1], ["p", "q"]), "each must be 0 or more"),
    ],
)
def test_mistakes_end_in_one_clear_line(call, message):
    """Each raise names what is wrong."""
    with pytest.raises(InputError, match=message):
        call()


def test_median_equals_a_slow_rewrite():
    """People drawn one by one, their rows laid side by side, the lower median taken."""
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(9), [1, 2, 1, 3, 2, 1, 1, 2, 2])
    values = rng.exponential(size=len(groups))
    values[[3, 8]] = np.inf
    found = clustered_median(values, groups, resamples=400, seed=7)
    assert found.value == np.sort(values)[(len(values) - 1) // 2]
    medians = []
    for counts in cluster_counts(groups, resamples=400, seed=7):
        rows = np.sort(np.repeat(values, counts))
        medians.append(rows[(len(rows) - 1) // 2])
    low, high = np.quantile(medians, [0.025, 0.975], method="inverted_cdf")
    assert (found.low, found.high) == (low, high)


def test_median_of_one_person_has_no_interval():
    """Nothing to resample; and a missing value is no number."""
    alone = clustered_median([1.0, 2.0, 3.0], [0, 0, 0])
    assert alone.value == 2
    assert np.isnan(alone.low)
    with pytest.raises(InputError, match="values: NaN; a median needs every one"):
        clustered_median([1.0, np.nan], [0, 1])
    with pytest.raises(InputError, match=r"values.*2.*groups.*3"):
        clustered_median([1.0, 2.0], [0, 1, 2])
