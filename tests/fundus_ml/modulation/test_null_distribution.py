"""Chance over networks: the interval against simulated networks, the table against loops."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fundus_ml.errors import InputError
from fundus_ml.modulation.control_table import MODULATION, SHUFFLED_MODEL
from fundus_ml.modulation.null_distribution import (
    chance_interval,
    chance_p,
    chance_table,
    is_shuffled,
    shuffled_origins,
)


@pytest.mark.parametrize("networks", [2, 3, 12])
def test_the_next_network_falls_inside_as_often_as_promised(networks):
    """4,000 studies of log-normal densities: 95 % of the next ones, and p is uniform."""
    generator = np.random.default_rng(networks)
    drawn = np.exp(generator.normal(1.2, 0.6, (4000, networks + 1)))
    ends = [chance_interval(row[:-1]) for row in drawn]
    low, high = np.array([(each.low, each.high) for each in ends]).T
    inside = (low <= drawn[:, -1]) & (drawn[:, -1] <= high)
    assert inside.mean() == pytest.approx(0.95, abs=0.012)
    p = np.array([chance_p(row[-1], row[:-1]) for row in drawn])
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    assert np.array_equal(p >= 0.05, inside)


def test_it_is_a_t_test_with_one_case():
    """SciPy's two-sample t-test of one number against the rest, on logarithms."""
    found, own = [5.9, 17.0, 10.8, 4.4, 3.3, 7.8], 30.9
    wanted = stats.ttest_ind(np.log([own]), np.log(found)).pvalue
    assert chance_p(own, found) == pytest.approx(wanted)
    assert chance_interval(found).value == pytest.approx(stats.gmean(found))


def test_networks_that_agree_leave_no_room():
    """Equal densities: anything else is beyond chance, the same is not."""
    assert chance_p(2.0, [3.0, 3.0, 3.0]) == 0
    assert chance_p(3.0, [3.0, 3.0, 3.0]) == 1
    assert chance_interval([3.0, 3.0]).high == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("found", "message"),
    [([4.0], "1 networks at chance: 2 or more"), ([4.0, 0.0], r"found=\[4.0, 0.0\]: must be")],
)
def test_refusals(found, message):
    """One network, and a density of nothing."""
    with pytest.raises(InputError, match=message):
        chance_interval(found)


def densities(networks):
    """Two budgets and two parts of a modulation, an edge map, and networks at chance."""
    generator = np.random.default_rng(3)
    origins = [MODULATION, *shuffled_origins(networks), "edge map"]
    return pd.DataFrame(
        [
            {"origin": origin, "eps": eps, "part": part, "density": generator.uniform(0.5, 9)}
            for origin in origins
            for eps in (1.0, 2.0)
            for part in ("disc", "macula")
        ]
    )


def test_the_table_asks_the_modulation_and_no_other_control():
    """A row per budget and part; only networks at chance are chance."""
    density = densities(3)
    table = chance_table(density)
    assert table[["eps", "part"]].to_numpy().tolist() == [
        [1.0, "disc"], [1.0, "macula"], [2.0, "disc"], [2.0, "macula"],
    ]  # fmt: skip
    assert set(table["origin"]) == {MODULATION}
    assert set(table["networks"]) == {3}
    for row in table.to_dict("records"):
        same = density[density["eps"].eq(row["eps"]) & density["part"].eq(row["part"])]
        found = same.loc[same["origin"].str.startswith("shuffled"), "density"]
        interval = chance_interval(found)
        assert (row["chance_low"], row["chance_high"]) == (interval.low, interval.high)
        assert row["p"] == chance_p(row["density"], found)


def test_what_did_not_change_is_left_out():
    """One network, no region maps, an origin or a network without a change."""
    assert chance_table(densities(1)).empty
    assert chance_table(densities(0).iloc[:0]).empty
    density = densities(2)
    density.loc[density["part"].eq("disc") & density["origin"].eq(MODULATION), "density"] = np.nan
    one = density["origin"].eq(shuffled_origins(2)[0]) & density["eps"].eq(1)
    density.loc[one, "density"] = 0.0
    assert chance_table(density)[["eps", "part"]].to_numpy().tolist() == [[2.0, "macula"]]


def test_names():
    """Numbered only where there are several."""
    assert shuffled_origins(1) == [SHUFFLED_MODEL]
    assert shuffled_origins(2) == ["shuffled model 1", "shuffled model 2"]
    assert [is_shuffled(name) for name in (SHUFFLED_MODEL, "shuffled model 2", MODULATION)] == [
        True, True, False,
    ]  # fmt: skip
