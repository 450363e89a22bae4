"""The curve of flipped eyes and the median distance, against NumPy and plain resampling."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.robust_evaluation import flip_curve, median_distances
from fundus_ml.statistics.bootstrap import cluster_counts
from fundus_ml.statistics.clustered import clustered_median

INF = float("inf")


@pytest.fixture
def probes():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "person_group": np.repeat(np.arange(30), 2),
            "label": np.repeat([0.0, 1.0], 30),
            "min_norm": np.r_[rng.uniform(0, 1, 30), rng.uniform(1, 2, 28), INF, INF],
        }
    )


def test_the_curve_is_the_share_of_each_sex_flipped_by_so_small_a_change(probes):
    curve = flip_curve(probes, resamples=100, seed=0)
    assert (curve["low"] <= curve["share"]).all()
    assert (curve["share"] <= curve["high"]).all()
    for sex, label in (("female", 0), ("male", 1)):
        drawn, eyes = curve[curve["class"] == sex], probes[probes["label"] == label]
        assert drawn["share"].tolist() == [
            pytest.approx((eyes["min_norm"] <= eps).mean()) for eps in drawn["eps"]
        ]
    assert curve.groupby("class")["share"].last().to_dict() == {"female": 1.0, "male": 28 / 30}
    assert curve["eps"].max() == probes["min_norm"].replace(INF, 0).max()


def test_nothing_flipped_leaves_a_curve_of_one_point(probes):
    curve = flip_curve(probes.assign(min_norm=INF), resamples=20, seed=0)
    assert curve[["eps", "share"]].to_numpy().tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_the_median_is_that_of_each_sex(probes):
    medians = median_distances(probes, resamples=200, seed=0)
    for sex, label in (("female", 0), ("male", 1)):
        distances = probes.loc[probes["label"] == label, "min_norm"]
        value = np.quantile(distances, 0.5, method="inverted_cdf")
        assert medians[sex].value == value
        assert medians[sex].low < value < medians[sex].high < INF


def test_the_interval_resamples_people():
    rng = np.random.default_rng(1)
    values, groups = rng.normal(size=21), np.repeat(np.arange(7), 3)
    found = clustered_median(values, groups, resamples=400, seed=3)
    plain = [
        np.quantile(np.repeat(values, counts), 0.5, method="inverted_cdf")
        for counts in cluster_counts(groups, resamples=400, seed=3)
    ]
    assert found.low == np.quantile(plain, 0.025, method="inverted_cdf")
    assert found.high == np.quantile(plain, 0.975, method="inverted_cdf")


def test_a_median_may_be_beyond_all_that_was_found():
    found = clustered_median([1.0, INF, INF], [0, 1, 2], resamples=50, seed=0)
    assert found.value == found.high == INF
    assert np.isnan(clustered_median([1.0, 2.0], [0, 0]).low)
