"""The bootstrap draws whole patients, by the seed alone."""

import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.statistics import bootstrap
from fundus_ml.statistics.bootstrap import cluster_counts, percentile_interval


def test_counts_draw_whole_clusters():
    """Rows of a cluster share a multiplicity, which is binomial."""
    groups = np.array(["b", "a", "b", "c", "c", "c"])
    counts = cluster_counts(groups, resamples=4000, seed=1)
    assert counts.shape == (4000, 6)
    np.testing.assert_array_equal(counts[:, 0], counts[:, 2])
    np.testing.assert_array_equal(counts[:, 3], counts[:, 5])
    np.testing.assert_array_equal(counts[:, [0, 1, 3]].sum(axis=1), 3)
    binomial_variance = 3 * (1 / 3) * (2 / 3)
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.05)
    np.testing.assert_allclose(counts.var(axis=0), binomial_variance, atol=0.05)


def test_counts_depend_on_the_seed_alone(monkeypatch):
    """Row order and block size move no draw."""
    groups = np.array(["b", "a", "b", "c", "c", "c"])
    counts = cluster_counts(groups, resamples=50, seed=1)
    np.testing.assert_array_equal(counts, cluster_counts(groups, resamples=50, seed=1))
    assert (counts != cluster_counts(groups, resamples=50, seed=2)).any()
    order = np.array([5, 2, 0, 3, 1, 4])
    np.testing.assert_array_equal(
        counts[:, order], cluster_counts(groups[order], resamples=50, seed=1)
    )
    monkeypatch.setattr(bootstrap, "BLOCK_VALUES", 7)
    np.testing.assert_array_equal(counts, cluster_counts(groups, resamples=50, seed=1))


def test_interval_is_the_middle_95_percent():
    """Ends are the 2.5 and 97.5 percentiles; undefined replicates do not count."""
    replicates = np.append(np.linspace(0, 1, 201), [np.nan] * 5)
    found = percentile_interval(0.4, replicates)
    assert (found.value, found.low, found.high) == pytest.approx((0.4, 0.025, 0.975))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cluster_counts([], resamples=1, seed=0), "groups: empty"),
        (
            lambda: cluster_counts(np.array(["p", None], object), resamples=1, seed=0),
            "1 of 2 rows have no group",
        ),
        (lambda: cluster_counts(["p"], resamples=0, seed=0), "resamples=0: must be 1 or more"),
        (
            lambda: percentile_interval(0.4, np.array([0.4, np.nan])),
            "50% of the resamples hold one class only or nothing to divide by",
        ),
    ],
)
def test_mistakes_end_in_one_clear_line(call, message):
    """Each raise names what is wrong."""
    with pytest.raises(InputError, match=message):
        call()
