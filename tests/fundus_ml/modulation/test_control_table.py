"""A modulation beside its controls, each figure against its definition."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.modulation.control_table import MODULATION, control_table
from fundus_ml.modulation.effects import area_under_path
from fundus_ml.statistics.clustered import clustered_mean, clustered_median

PEOPLE = [f"p{i // 2}" for i in range(12)]


def effects(seed, *, independent=False):
    """Twelve eyes of six people at two budgets."""
    generator = np.random.default_rng(seed)
    prob = generator.random((2, 12))
    frame = pd.DataFrame(
        {
            "image_id": [f"e{i}" for i in range(12)] * 2,
            "patient_id": PEOPLE * 2,
            "person_group": PEOPLE * 2,
            "eps": np.repeat([1.0, 3.0], 12),
            "prob_target_before": np.tile(generator.random(12), 2),
            "prob_target": prob.ravel(),
            "success": prob.ravel() > 0.5,
            "l2": np.repeat([0.9, 2.7], 12),
        }
    )
    if independent:
        seen = generator.random(24)
        frame = frame.assign(
            evaluator_prob_before=0.4, evaluator_prob_target=seen, transferred=seen > 0.5
        )
    return frame


def test_one_row_per_origin():
    """At the largest budget, over the path, and the median minimal perturbation norm, each with its
    interval."""
    own, other = effects(0, independent=True), effects(1, independent=True)
    min_norms = np.r_[0.0, np.linspace(0.1, 2, 9), np.inf, np.nan]
    how = {"resamples": 300, "seed": 2}
    table = control_table({MODULATION: own, "edge map": other}, {MODULATION: min_norms}, **how)
    assert table["condition"].tolist() == [MODULATION, "edge map"]
    for row, eyes in zip(table.to_dict("records"), (own, other), strict=True):
        strongest = eyes[eyes["eps"] == 3]
        assert (row["eyes"], row["eps"], row["l2"]) == (12, 3.0, pytest.approx(2.7))
        for name, interval in {
            "success": clustered_mean(strongest["success"].to_numpy(float), PEOPLE, **how),
            "transferred": clustered_mean(strongest["transferred"].to_numpy(float), PEOPLE, **how),
            "area": area_under_path(eyes, **how),
            "evaluator_area": area_under_path(eyes, column="evaluator_prob_target", **how),
        }.items():
            assert row[name] == interval.value
            assert (row[f"{name}_low"], row[f"{name}_high"]) == (interval.low, interval.high)
    median = clustered_median(min_norms[1:11], PEOPLE[1:11], **how)
    assert table["min_norm"].tolist()[0] == median.value
    assert np.isnan(table["min_norm"].tolist()[1])


def test_without_evaluator_and_search_nothing_is_claimed():
    """No columns of either."""
    table = control_table({MODULATION: effects(0)}, {}, resamples=20, seed=0)
    assert not {"transferred", "evaluator_area", "min_norm"} & set(table)
