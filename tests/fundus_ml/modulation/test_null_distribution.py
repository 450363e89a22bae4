"""Chance over networks: the interval against simulated networks, the table against loops."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fundus_ml.errors import InputError
from fundus_ml.modulation.control_table import MODULATION, SHUFFLED_MODEL
from fundus_ml.modulation.null_distribution import (
    is_shuffled,
    null_conditions,
    null_interval,
    null_p,
    null_table,
)


@pytest.mark.parametrize(
    "networks", [2, *(pytest.param(many, marks=pytest.mark.slow) for many in (3, 12))]
)
def test_the_next_network_falls_inside_as_often_as_promised(networks):
    """4,000 studies of log-normal enrichments: 95 % of the next ones, and p is uniform."""
    generator = np.random.default_rng(networks)
    drawn = np.exp(generator.normal(1.2, 0.6, (4000, networks + 1)))
    ends = [null_interval(row[:-1]) for row in drawn]
    low, high = np.array([(each.low, each.high) for each in ends]).T
    inside = (low <= drawn[:, -1]) & (drawn[:, -1] <= high)
    assert inside.mean() == pytest.approx(0.95, abs=0.012)
    p = np.array([null_p(row[-1], row[:-1]) for row in drawn])
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    assert np.array_equal(p >= 0.05, inside)


def test_it_is_a_t_test_with_one_case():
    """SciPy's two-sample t-test of one number against the rest, on logarithms."""
    found, own = [5.9, 17.0, 10.8, 4.4, 3.3, 7.8], 30.9
    wanted = stats.ttest_ind(np.log([own]), np.log(found)).pvalue
    assert null_p(own, found) == pytest.approx(wanted)
    assert null_interval(found).value == pytest.approx(stats.gmean(found))


def test_networks_that_agree_leave_no_room():
    """Equal enrichments: anything else is beyond chance, the same is not."""
    assert null_p(2.0, [3.0, 3.0, 3.0]) == 0
    assert null_p(3.0, [3.0, 3.0, 3.0]) == 1
    assert null_interval([3.0, 3.0]).high == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("found", "message"),
    [([4.0], "1 null models: 2 or more"), ([4.0, 0.0], r"found=\[4.0, 0.0\]: must be")],
)
def test_refusals(found, message):
    """One network, and a enrichment of nothing."""
    with pytest.raises(InputError, match=message):
        null_interval(found)


def enrichments(networks):
    """Two budgets and two parts of a modulation, an edge map, and null models."""
    generator = np.random.default_rng(3)
    conditions = [MODULATION, *null_conditions(networks), "edge map"]
    return pd.DataFrame(
        [
            {
                "condition": condition,
                "eps": eps,
                "part": part,
                "enrichment": generator.uniform(0.5, 9),
            }
            for condition in conditions
            for eps in (1.0, 2.0)
            for part in ("disc", "macula")
        ]
    )


def test_the_table_asks_the_modulation_and_no_other_control():
    """A row per budget and part; only null models are chance."""
    enrichment = enrichments(3)
    table = null_table(enrichment)
    assert table[["eps", "part"]].to_numpy().tolist() == [
        [1.0, "disc"], [1.0, "macula"], [2.0, "disc"], [2.0, "macula"],
    ]  # fmt: skip
    assert set(table["condition"]) == {MODULATION}
    assert set(table["networks"]) == {3}
    for row in table.to_dict("records"):
        same = enrichment[enrichment["eps"].eq(row["eps"]) & enrichment["part"].eq(row["part"])]
        found = same.loc[same["condition"].str.startswith("shuffled"), "enrichment"]
        interval = null_interval(found)
        assert (row["null_low"], row["null_high"]) == (interval.low, interval.high)
        assert row["p"] == null_p(row["enrichment"], found)


def test_what_did_not_change_is_left_out():
    """One network, no region maps, an condition or a network without a change."""
    assert null_table(enrichments(1)).empty
    assert null_table(enrichments(0).iloc[:0]).empty
    enrichment = enrichments(2)
    enrichment.loc[
        enrichment["part"].eq("disc") & enrichment["condition"].eq(MODULATION), "enrichment"
    ] = np.nan
    one = enrichment["condition"].eq(null_conditions(2)[0]) & enrichment["eps"].eq(1)
    enrichment.loc[one, "enrichment"] = 0.0
    assert null_table(enrichment)[["eps", "part"]].to_numpy().tolist() == [[2.0, "macula"]]


def test_names():
    """Numbered only where there are several."""
    assert null_conditions(1) == [SHUFFLED_MODEL]
    assert null_conditions(2) == ["shuffled model 1", "shuffled model 2"]
    assert [is_shuffled(name) for name in (SHUFFLED_MODEL, "shuffled model 2", MODULATION)] == [
        True, True, False,
    ]  # fmt: skip
