"""Splits hold whole people, the shares asked for, and still when rows are added or moved."""

from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundus_ml.errors import InputError
from fundus_ml.splits import FEWEST_PEOPLE, assign_splits, check_fractions


def make_people(eyes, *, source="a", labels=None):
    """One person per entry of ``eyes``, with that many rows."""
    people = np.repeat(np.arange(len(eyes)), eyes)
    sexes = np.arange(len(eyes)) % 2 if labels is None else np.asarray(labels)
    return pd.DataFrame(
        {
            "person_group": [f"{source}/{person}" for person in people],
            "source": source,
            "label": sexes[people],
        }
    )


@given(
    eyes=st.lists(st.integers(1, 4), min_size=6, max_size=60),
    fractions=st.tuples(st.floats(0, 0.45), st.floats(0, 0.45)),
    seed=st.integers(0, 3),
)
@settings(deadline=None, max_examples=60)
def test_people_are_whole_and_every_stratum_is_near_its_share(eyes, fractions, seed):
    """No person is cut; a stratum misses its share by less than its largest person or the floor."""
    val, test = fractions
    frame = make_people(eyes)
    split = assign_splits(frame, val_fraction=val, test_fraction=test, seed=seed)
    assert split.index.equals(frame.index)
    assert split.groupby(frame["person_group"]).nunique().max() == 1
    for _, stratum in frame.assign(split=split).groupby("label"):
        people = stratum.groupby("split")["person_group"].nunique()
        assert len(stratum["person_group"].unique()) >= FEWEST_PEOPLE
        largest = stratum["person_group"].value_counts().max()
        for name, share in (("val", val), ("test", test)):
            assert people.get(name, 0) >= (share > 0)
            got = (stratum["split"] == name).sum()
            assert abs(got - share * len(stratum)) <= 2 * largest
        assert people.get("train", 0) >= 1


def test_shares_come_out_as_asked_where_everyone_has_one_eye():
    """With 200 people of one eye each the cut is exact in every stratum."""
    frame = pd.concat([make_people([1] * 200, source=name) for name in "ab"], ignore_index=True)
    split = assign_splits(frame, val_fraction=0.1, test_fraction=0.25)
    counts = frame.assign(split=split).groupby(["source", "label", "split"]).size()
    for source in "ab":
        for label in (0, 1):
            assert counts[source, label].to_dict() == {"test": 25, "train": 65, "val": 10}


def test_order_of_rows_and_people_added_in_another_source_move_nobody():
    """The cut depends on who is in a stratum alone."""
    frame = make_people([1, 2, 2, 1, 3, 2, 1, 1, 2, 2])
    split = assign_splits(frame)
    mixed = frame.sample(frac=1, random_state=1)
    pd.testing.assert_series_equal(assign_splits(mixed).sort_index(), split)
    more = pd.concat([frame, make_people([2] * 9, source="b")], ignore_index=True)
    pd.testing.assert_series_equal(assign_splits(more).iloc[: len(frame)], split)


def test_a_person_of_two_sources_keeps_the_split_of_the_first():
    """Rows of a second source follow the person and do not count in the first source's shares."""
    frame = make_people([1] * 12)
    split = assign_splits(frame, val_fraction=0.2, test_fraction=0.2)
    again = pd.concat([frame, frame.assign(source="b")], ignore_index=True)
    both = assign_splits(again, val_fraction=0.2, test_fraction=0.2)
    assert list(both) == [*split, *split]


def test_a_person_of_both_sexes_is_not_cut():
    """Rows that disagree on sex go one way."""
    frame = make_people([2] * 10)
    frame.loc[::2, "label"] = 1 - frame["label"]
    split = assign_splits(frame, val_fraction=0.3, test_fraction=0.3)
    assert split.groupby(frame["person_group"]).nunique().max() == 1


def test_another_seed_is_another_cut_and_the_same_seed_the_same():
    """The seed alone decides."""
    frame = make_people([2] * 40)
    first, again, other = (assign_splits(frame, seed=seed) for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)


def test_no_held_out_share_leaves_everyone_in_train():
    """The limit case of both fractions 0."""
    assert assign_splits(make_people([2] * 9), val_fraction=0, test_fraction=0).eq("train").all()


def test_each_person_lands_by_the_hash_of_seed_and_name():
    """A slow rewrite: people sorted by SHA-256, the first to test, the next to val."""
    frame = make_people([1] * 20, labels=[0] * 20)
    split = assign_splits(frame, val_fraction=0.15, test_fraction=0.25, seed=5)
    people = sorted(frame["person_group"], key=lambda who: sha256(f"5/{who}".encode()).hexdigest())
    expected = dict(zip(people, ["test"] * 5 + ["val"] * 3 + ["train"] * 12, strict=True))
    assert list(split) == [expected[who] for who in frame["person_group"]]


@pytest.mark.parametrize(
    ("val", "test", "rule"),
    [
        (-0.1, 0.1, "val_fraction=-0.1: must be at least 0 and below 1"),
        (0.1, 1.0, "test_fraction=1.0: must be at least 0 and below 1"),
        (float("nan"), 0.1, "val_fraction=nan"),
        (0.5, 0.5, "must sum to less than 1, train gets the rest"),
    ],
)
def test_fractions_that_leave_nothing_are_refused(val, test, rule):
    """By the check and by the cut, with the value."""
    with pytest.raises(InputError, match=rule):
        check_fractions(val_fraction=val, test_fraction=test)
    with pytest.raises(InputError, match=rule):
        assign_splits(make_people([1] * 9), val_fraction=val, test_fraction=test)


def test_too_few_people_for_train_are_refused():
    """One person cannot be held out and trained on."""
    with pytest.raises(InputError, match=r"test_fraction=0.6: leave no eye of 1 people for train"):
        assign_splits(make_people([2]), val_fraction=0.0, test_fraction=0.6)
