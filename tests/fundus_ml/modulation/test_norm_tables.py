"""Minimal perturbation norms: who was asked, Kaplan-Meier, conditions against one another."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from fundus_ml.modulation import flipped_table, min_norm_table
from fundus_ml.modulation.control_table import MODULATION
from fundus_ml.modulation.saliency import GRADIENT, SMOOTHGRAD
from fundus_ml.statistics.clustered import clustered_median
from fundus_ml.statistics.survival import paired_log_rank, survival_curve

PEOPLE = [f"p{i // 2}" for i in range(12)]
EYES = pd.DataFrame({"person_group": PEOPLE})
DISC = np.r_[0.0, np.nan, np.full(5, np.inf), 1.0, 2.0, 3.0, 4.0, 5.0]
WHOLE = np.r_[np.zeros(2), np.linspace(1, 2, 10)]
HOW = {"resamples": 200, "seed": 1}


def test_who_was_asked_counts_flipped_or_not():
    """Neither eyes that looked like the target already nor those without the region."""
    min_norms = {MODULATION: {"whole": WHOLE, "disc": DISC, "macula": np.full(12, np.nan)}}
    table = min_norm_table(min_norms, EYES, against=MODULATION, **HOW)
    assert table["region"].tolist() == ["whole", "disc"]
    assert table["eyes"].tolist() == [10, 10]
    assert table["already"].tolist() == [2, 1]
    assert table["flipped"].tolist() == [1.0, 0.5]
    median = clustered_median(DISC[2:], PEOPLE[2:], **HOW)
    assert table["min_norm"].tolist()[1] == median.value == 5.0
    assert table["min_norm_high"].tolist()[1] == np.inf
    assert table[["log_rank", "p", "q"]].isna().all(axis=None)
    assert min_norm_table({}, EYES, against=MODULATION, resamples=2, seed=0).empty


@pytest.mark.parametrize("found", [WHOLE, DISC])
def test_the_median_is_that_of_kaplan_meier(found):
    """The first norm at which no more than half are left, of all who were asked."""
    table = min_norm_table({MODULATION: {"whole": found}}, EYES, against=MODULATION, **HOW)
    asked = found > 0
    curve = survival_curve(found[asked], np.asarray(PEOPLE)[asked], **HOW)
    half = curve.loc[curve["unsolved"] <= 0.5, "norm"].iloc[0]
    assert table["min_norm"].item() == half


def test_each_condition_is_tested_on_the_eyes_asked_of_both():
    """By the paired log-rank test; q over the table."""
    slower, alike = np.where(WHOLE > 0, 1.5 * WHOLE, 0), WHOLE.copy()
    slower[[0, 2]] = 3.0, 0.0  # one eye asked of either alone
    min_norms = {
        name: {"whole": found}
        for name, found in ((MODULATION, WHOLE), (GRADIENT, slower), (SMOOTHGRAD, alike))
    }
    table = min_norm_table(min_norms, EYES, against=MODULATION, **HOW).set_index("condition")
    both = slice(3, None)
    wanted = paired_log_rank(WHOLE[both], slower[both], PEOPLE[both], seed=1)
    assert table.loc[GRADIENT, "log_rank"] == wanted.ratio
    assert wanted.ratio > 1
    assert table.loc[GRADIENT, "p"] == wanted.pvalue
    assert (table.loc[SMOOTHGRAD, "log_rank"], table.loc[SMOOTHGRAD, "p"]) == (1, 1)
    tested = table.loc[[GRADIENT, SMOOTHGRAD]]
    np.testing.assert_allclose(tested["q"], false_discovery_control(tested["p"]))
    assert np.isnan(table.loc[MODULATION, "p"])


def test_shares_flipped_at_each_budget():
    """None of all asked below the first norm, and no more than the search ever flipped."""
    min_norms = {MODULATION: {"disc": DISC}}
    table = flipped_table(min_norms, EYES, eps=(0.5, 2.0, 99.0), **HOW)
    assert table["eps"].tolist() == [0.5, 2.0, 99.0]
    assert table["flipped"].tolist() == pytest.approx([0, 0.2, 0.5])
    assert (table["flipped_low"] <= table["flipped"]).all()
    assert (table["flipped_high"] >= table["flipped"]).all()
    assert table["eyes"].tolist() == [10] * 3


def test_a_norm_of_exactly_the_budget_flips_within_it():
    """Pixels are 32-bit numbers, in which 4/255 comes out above 4/255."""
    norms = {MODULATION: {"whole": np.array([0.01568630, 0.5, 0.5])}}
    eyes = pd.DataFrame({"person_group": list("abc")})
    found = flipped_table(norms, eyes, eps=[4 / 255], **HOW)
    assert found["flipped"].item() == pytest.approx(1 / 3)
