"""Weights make equal what they were asked to, cost what Kish says, and name what they cannot do."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundus_ml.data.ages import age_bands
from fundus_ml.data.balance import balance_weights, effective_size, unbalanced_cells
from fundus_ml.data.options import FACTORS, check_factors
from fundus_ml.errors import InputError


def make_frame(cells):
    """As many eyes as each ``(split, source, age, sex)`` says."""
    rows = [cell for cell, count in cells.items() for _ in range(count)]
    return pd.DataFrame(rows, columns=["split", "source", "age", "sex"])


@pytest.fixture
def frame():
    """Two sources, two bands and an unknown one, one cell of women only, a small val."""
    return make_frame(
        {
            ("train", "a", 35.0, "female"): 6,
            ("train", "a", 35.0, "male"): 2,
            ("train", "a", 72.0, "female"): 1,
            ("train", "a", 72.0, "male"): 3,
            ("train", "b", 35.0, "female"): 2,
            ("train", "b", np.nan, "male"): 5,
            ("train", "b", np.nan, "female"): 1,
            ("val", "a", 35.0, "female"): 1,
            ("val", "b", 72.0, "male"): 2,
        }
    )


def totals(frame, weights, *names):
    """Weight of each group."""
    columns = {"age": age_bands(frame["age"])}
    keys = [columns.get(name, frame[name]) for name in names]
    return weights.groupby(keys).sum()


def test_sexes_alone_by_hand(frame):
    """A cell's weight stays its number of eyes, half to each sex it has; one sex stays at 1."""
    weights = balance_weights(frame, by=("sex",))
    train = frame[frame["split"] == "train"].assign(weight=weights)
    expected = {
        ("a", 35.0, "female"): 8 / 2 / 6,
        ("a", 35.0, "male"): 8 / 2 / 2,
        ("a", 72.0, "female"): 4 / 2 / 1,
        ("a", 72.0, "male"): 4 / 2 / 3,
        ("b", 35.0, "female"): 1.0,
    }
    for (source, age, sex), weight in expected.items():
        rows = train[(train["source"] == source) & (train["age"] == age) & (train["sex"] == sex)]
        np.testing.assert_allclose(rows["weight"], weight)
    unknown = train[train["age"].isna()].groupby("sex")["weight"].first()
    assert unknown.to_dict() == pytest.approx({"female": 6 / 2 / 1, "male": 6 / 2 / 5})


def test_all_three_by_hand(frame):
    """Half of train to each source, half of ``a`` to each band, half of a cell to each sex."""
    sums = totals(frame, balance_weights(frame), "split", "source", "age", "sex")["train"]
    assert sums.to_dict() == pytest.approx(
        {
            ("a", "30-39", "female"): 2.5,
            ("a", "30-39", "male"): 2.5,
            ("a", "70-79", "female"): 2.5,
            ("a", "70-79", "male"): 2.5,
            # Of the 8 eyes of ``b``, the 6 of unknown age keep their three quarters.
            ("b", "30-39", "female"): 2.5,
            ("b", "unknown", "female"): 3.75,
            ("b", "unknown", "male"): 3.75,
        }
    )


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (("source",), {"a": 10, "b": 10}),
        (("source", "sex"), {"a": 10, "b": 10}),
        (("age",), {("a", "30-39"): 6, ("a", "70-79"): 6, ("b", "30-39"): 2, ("b", "unknown"): 6}),
    ],
)
def test_one_factor_is_equal_within_train(frame, by, expected):
    """Sources among each other, bands within their source, whether or not sexes are balanced."""
    names = ("source", "age") if by[0] == "age" else by[:1]
    sums = totals(frame, balance_weights(frame, by=by), "split", *names)["train"]
    assert sums.to_dict() == pytest.approx(expected)


def test_no_factor_leaves_every_eye_at_1(frame):
    """The limit case."""
    assert balance_weights(frame, by=()).tolist() == [1.0] * len(frame)


@given(
    eyes=st.lists(
        st.tuples(
            st.sampled_from(["train", "val", "test"]),
            st.sampled_from("ab"),
            st.sampled_from([25.0, 44.0, 45.0, np.nan]),
            st.sampled_from(["female", "male"]),
        ),
        min_size=1,
        max_size=40,
    ),
    by=st.lists(st.sampled_from(FACTORS), unique=True),
)
@settings(deadline=None, max_examples=30)
def test_weights_average_1_and_balance_every_cell_they_can(eyes, by):
    """In any table, for any factors; the order of rows and factors changes nothing."""
    frame = pd.DataFrame(eyes, columns=["split", "source", "age", "sex"])
    weights = balance_weights(frame, by=by)
    assert (weights > 0).all()
    np.testing.assert_allclose(weights.groupby(frame["split"]).mean(), 1)
    backwards = balance_weights(frame[::-1], by=by[::-1])
    np.testing.assert_allclose(backwards.sort_index(), weights)
    if "sex" in by:
        sums = totals(frame, weights, "split", "source", "age", "sex").groupby(level=[0, 1, 2])
        np.testing.assert_allclose(sums.max(), sums.min())
    if "source" in by:
        sums = totals(frame, weights, "split", "source").groupby("split")
        np.testing.assert_allclose(sums.max(), sums.min())
    if "age" in by:
        known = frame["age"].notna()
        sums = totals(frame[known], weights[known], "split", "source", "age")
        sums = sums.groupby(level=[0, 1])
        np.testing.assert_allclose(sums.max(), sums.min())


def test_cells_of_one_sex_are_named(frame):
    """Train first, then val, with what is there and what is not."""
    assert unbalanced_cells(frame) == [
        "train b 30-39: 2 female, no male",
        "val a 30-39: 1 female, no male",
        "val b 70-79: 2 male, no female",
    ]
    men = frame[frame["sex"] == "male"]
    assert unbalanced_cells(men)[0] == "train a 30-39: 2 male, no female"
    assert unbalanced_cells(frame[frame["source"].eq("a") & frame["split"].eq("train")]) == []


def test_ages_are_not_held_equal_where_age_is_asked(frame):
    """Eyes of either answer weigh the same within a source, however few years lie between them."""
    asked = frame.assign(sex=np.where(frame["age"] > 60, "old", "young"))[frame["age"].notna()]
    for by in (("sex",), FACTORS):
        sums = totals(asked, balance_weights(asked, by=by, of_age=True), "split", "source", "sex")
        assert sums["train", "a", "old"] == pytest.approx(sums["train", "a", "young"])
    assert unbalanced_cells(asked, classes=("young", "old"), of_age=True) == [
        "train b all ages: 2 young, no old",
        "val a all ages: 1 young, no old",
        "val b all ages: 2 old, no young",
    ]


def test_effective_size_by_closed_form():
    """Equal weights lose nothing; k of n eyes count as k; one eye as one."""
    assert effective_size(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_size([1, 1, 1, 0, 0]) == pytest.approx(3)
    assert effective_size(pd.Series([1.0, 3.0])) == pytest.approx(16 / 10)


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [2.0, -1.0], [np.nan, 1.0]])
def test_weights_without_weight_are_refused(weights):
    """None, none above 0, one below, one unknown."""
    with pytest.raises(InputError, match="weights: must be at least 0, and one above"):
        effective_size(weights)


@pytest.mark.parametrize(
    ("by", "rule"),
    [
        (("sex", "camera"), "balance=camera: allowed: sex, source, age"),
        (("age", "age"), "balance=age,age: a factor stands twice"),
    ],
)
def test_unknown_and_doubled_factors_are_refused(frame, by, rule):
    """By the check and by the weights."""
    with pytest.raises(InputError, match=rule):
        check_factors(by)
    with pytest.raises(InputError, match=rule):
        balance_weights(frame, by=by)
