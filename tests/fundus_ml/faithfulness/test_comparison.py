"""Tables of methods against plain means, and paired tests against the statistics beneath."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from fundus_ml.errors import InputError
from fundus_ml.faithfulness.comparison import method_differences, method_table
from fundus_ml.statistics.clustered import clustered_mean
from fundus_ml.statistics.sign_flips import paired_means

COUNT = 18
EYES = pd.DataFrame({"person_group": np.repeat([f"p{place}" for place in range(9)], 2)})
KEYS = (("gini", ""), ("relevance_mass", "disc"), ("relevance_mass", "sham disc"))


def rows_of(seed, *, shift=0.0, keys=KEYS, missing=()):
    rng = np.random.default_rng(seed)
    rows = []
    for score, part in keys:
        values = rng.normal(shift, 0.1, COUNT)
        if part:
            values[list(missing)] = np.nan
        rows += [
            {"row": row, "score": score, "part": part, "value": value}
            for row, value in enumerate(values)
        ]
    return pd.DataFrame(rows).sample(frac=1, random_state=seed)


def values_of(rows, score, part):
    own = rows[(rows["score"] == score) & (rows["part"] == part)]
    return own.sort_values("row")["value"].to_numpy()


@pytest.fixture
def scores():
    return {
        "good": rows_of(0, shift=0.5, missing=(0, 1, 5)),
        "other": rows_of(1, missing=(5, 6)),
        "random": rows_of(2, keys=KEYS[:2]),
        "edges": rows_of(3),
    }


def test_the_table_counts_who_abstains(scores):
    table = method_table(scores, EYES, resamples=100, seed=0).set_index(["method", "score", "part"])
    assert len(table) == 3 * 3 + 2
    people = EYES["person_group"].to_numpy()
    for (method, score, part), row in table.iterrows():
        values = values_of(scores[method], score, part)
        known = ~np.isnan(values)
        wanted = clustered_mean(values[known], people[known], resamples=100, seed=0)
        assert row["value"] == pytest.approx(values[known].mean())
        assert (row["value_low"], row["value_high"]) == (wanted.low, wanted.high)
        assert row["eyes"] + row["abstained"] == COUNT
        assert row["eyes"] == known.sum()
        assert row["better"] == "more"
    assert table.loc[("good", "relevance_mass", "disc"), "abstained"] == 3
    assert table.loc[("good", "relevance_mass", "disc"), "people"] == 8
    assert table.loc[("good", "gini", ""), "abstained"] == 0


def test_a_score_that_nobody_has_stays_in_the_table():
    rows = {"none": rows_of(0, missing=range(COUNT))}
    table = method_table(rows, EYES, resamples=10, seed=0).set_index("part")
    assert table.loc["disc", "eyes"] == 0
    assert table.loc["disc", "abstained"] == COUNT
    assert np.isnan(table.loc["disc", "value"])
    both = method_differences(rows | {"some": rows_of(1)}, EYES, permutations=99)
    assert both.loc[both["part"] == "disc", ["p", "q", "difference"]].isna().all(axis=None)
    assert (both.loc[both["part"] == "disc", "abstained"] == COUNT).all()


def test_differences_are_paired_and_controls_are_not_compared(scores):
    found = method_differences(scores, EYES, controls=("random", "edges"), permutations=499, seed=3)
    pairs = list(dict.fromkeys(zip(found["method"], found["other"], strict=True)))
    assert pairs == [
        ("good", "other"), ("good", "random"), ("good", "edges"),
        ("other", "random"), ("other", "edges"),
    ]  # fmt: skip
    assert len(found) == 3 + 2 + 3 + 2 + 3
    for row in found.to_dict("records"):
        one, other = (
            values_of(scores[row[name]], row["score"], row["part"]) for name in ("method", "other")
        )
        gap = one - other
        wanted = paired_means(gap[:, None], EYES["person_group"], permutations=499, seed=3)
        assert row["difference"] == pytest.approx(np.nanmean(gap))
        assert row["p"] == pytest.approx(wanted.pvalue[0])
        assert (row["low"], row["high"]) == pytest.approx((wanted.low[0], wanted.high[0]))
        assert row["eyes"] == (~np.isnan(gap)).sum() == COUNT - row["abstained"]
        assert row["people"] == wanted.people[0]
    for _, rows in found.groupby("score"):
        assert rows["q"].to_numpy() == pytest.approx(false_discovery_control(rows["p"]))
    planted = found[(found["method"] == "good") & (found["score"] == "gini")]
    assert (planted["q"] < 0.05).all()
    assert (planted["low"] > 0.3).all()


def test_one_method_has_no_differences():
    found = method_differences({"only": rows_of(0)}, EYES)
    assert found.empty
    assert "q" in found


@pytest.mark.parametrize("table", [method_table, method_differences])
def test_what_does_not_fit_is_refused(table, scores):
    how = {"resamples": 9} if table is method_table else {}
    with pytest.raises(InputError, match=r"^scores: no method$"):
        table({}, EYES, **how, seed=0)
    unknown = scores["good"].replace({"score": {"gini": "sharpness"}})
    with pytest.raises(InputError, match=r"^score=sharpness: allowed: deletion_mean, "):
        table({"one": unknown}, EYES, **how, seed=0)
    said = r"^scores of other: gini: must have each row from 0 to 17 once, has 17 rows$"
    fewer = scores["other"][lambda rows: (rows["score"] != "gini") | (rows["row"] != 4)]
    with pytest.raises(InputError, match=said):
        table({"good": scores["good"], "other": fewer}, EYES, **how, seed=0)
    twice = pd.concat([scores["edges"], scores["edges"]])
    with pytest.raises(InputError, match=r"has 36 rows$"):
        table({"edges": twice}, EYES, **how, seed=0)


def test_a_control_that_is_no_method_is_refused(scores):
    said = r"^controls=noise: no such method; there are good, other, random and 1 more$"
    with pytest.raises(InputError, match=said):
        method_differences(scores, EYES, controls=("noise",))
