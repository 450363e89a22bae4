"""Pairs of conditions against the statistics beneath, column by column."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from fundus_ml.statistics.pairwise import pairwise_differences
from fundus_ml.statistics.sign_flips import paired_means

GROUPS = np.repeat([f"p{place}" for place in range(9)], 2)
SIZE, AREA, DISC = ("size", ""), ("share", "area"), ("share", "disc")


def values_of(seed, *measures):
    rng = np.random.default_rng(seed)
    found = {measure: rng.normal(0.1 * seed, 0.2, len(GROUPS)) for measure in measures}
    found[measures[-1]][seed] = np.nan
    return found


@pytest.fixture
def values():
    return {
        "one": values_of(0, SIZE, AREA, DISC),
        "two": values_of(1, DISC, SIZE),
        "three": values_of(2, SIZE, AREA, DISC),
    }


def test_every_pair_is_subtracted_in_what_both_have(values):
    found = pairwise_differences(values, GROUPS, permutations=499, seed=3)
    keys = found[["condition", "other", "measure", "part"]].itertuples(index=False, name=None)
    assert list(keys) == [
        ("one", "two", *SIZE), ("one", "two", *DISC),
        ("one", "three", *SIZE), ("one", "three", *AREA), ("one", "three", *DISC),
        ("two", "three", *DISC), ("two", "three", *SIZE),
    ]  # fmt: skip
    for row in found.to_dict("records"):
        measure = row["measure"], row["part"]
        gap = values[row["condition"]][measure] - values[row["other"]][measure]
        wanted = paired_means(gap[:, None], GROUPS, permutations=499, seed=3)
        assert row["difference"] == pytest.approx(np.nanmean(gap))
        assert (row["low"], row["high"]) == pytest.approx((wanted.low[0], wanted.high[0]))
        assert row["p"] == pytest.approx(wanted.pvalue[0])
        assert (row["eyes"], row["people"]) == (np.isfinite(gap).sum(), wanted.people[0])
    for _, rows in found.groupby("measure"):
        assert rows["q"].to_numpy() == pytest.approx(false_discovery_control(rows["p"]))


def test_conditions_apart_meet_the_others_alone(values):
    found = pairwise_differences(values, GROUPS, apart=("one", "three"), permutations=99)
    assert set(zip(found["condition"], found["other"], strict=True)) == {
        ("one", "two"), ("two", "three"),
    }  # fmt: skip


def test_a_pair_without_a_row_in_common_has_no_number(values):
    values["two"][SIZE][:] = np.nan
    found = pairwise_differences(values, GROUPS, permutations=99).set_index(["condition", "other"])
    none = found[(found["measure"] == "size") & (found["eyes"] == 0)]
    assert set(none.index) == {("one", "two"), ("two", "three")}
    assert none[["difference", "low", "high", "p", "q"]].isna().all(axis=None)
    assert found["p"].notna().sum() == len(found) - 2


def test_nothing_to_subtract_leaves_an_empty_table(values):
    alone = pairwise_differences({"one": values["one"]}, GROUPS)
    assert alone.empty
    assert list(alone) == list(pairwise_differences(values, GROUPS, permutations=9))
