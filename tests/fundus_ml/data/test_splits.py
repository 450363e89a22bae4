"""Splits hold whole people, the shares asked for, and still when rows are added or moved."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundus_ml.data.ages import age_bands
from fundus_ml.data.options import check_fractions
from fundus_ml.data.splits import (
    FEWEST_PEOPLE,
    assign_splits,
    kept_splits,
    person_leakage,
)
from fundus_ml.errors import InputError


def make_people(eyes, *, source="a", labels=None, ages=50.0):
    """One person per entry of ``eyes``, with that many rows."""
    people = np.repeat(np.arange(len(eyes)), eyes)
    sexes = np.arange(len(eyes)) % 2 if labels is None else np.asarray(labels)
    return pd.DataFrame(
        {
            "image_id": [f"{source}/{row}" for row in range(len(people))],
            "person_group": [f"{source}/{person}" for person in people],
            "source": source,
            "label": sexes[people],
            "age": np.broadcast_to(ages, len(eyes))[people],
        }
    )


@given(
    eyes=st.lists(st.integers(1, 4), min_size=6, max_size=60),
    fractions=st.tuples(st.floats(0, 0.45), st.floats(0, 0.45)),
    seed=st.integers(0, 3),
)
@settings(deadline=None, max_examples=30)
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


def slow_splits(frame, *, val, test, seed):
    """A slow rewrite for people who are each of one source, sex and age."""
    placed = {}
    for (source, label), stratum in frame.groupby(["source", "label"]):
        line = []
        for person, rows in stratum.groupby("person_group"):
            band = age_bands(rows["age"]).iloc[0]
            texts = (f"{seed}/{source}/{label}/{band}", f"{seed}/{person}")
            lead, place = (hashlib.sha256(text.encode()).hexdigest() for text in texts)
            line.append((lead, place, person, len(rows)))
        shares = {"train": 1 - val - test, "val": val, "test": test}
        given, dealt, total = dict.fromkeys(shares, 0), {}, 0
        for _, place, person, eyes in sorted(line):
            total += eyes
            lacking = {name: share * total - given[name] for name, share in shares.items()}
            most = max(lacking.values())
            equals = [name for name in shares if abs(lacking[name] - most) < 1e-9 and shares[name]]
            dealt[person] = equals[int(place, 16) % len(equals)]
            given[dealt[person]] += eyes
        for name, share in shares.items():
            if len(line) >= FEWEST_PEOPLE and share > 0 and name not in dealt.values():
                counts = [list(dealt.values()).count(each) for each in shares]
                largest = list(shares)[counts.index(max(counts))]
                dealt[[who for who in dealt if dealt[who] == largest][-1]] = name
        placed |= dealt
    return [placed[who] for who in frame["person_group"]]


@given(
    people=st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 1), st.sampled_from([20.0, 45.0, np.nan])),
        min_size=4,
        max_size=40,
    ),
    fractions=st.sampled_from([(0.15, 0.15), (0.2, 0.1), (0.0, 0.3), (0.02, 0.02)]),
    seed=st.integers(0, 3),
)
@settings(deadline=None, max_examples=25)
def test_splits_are_those_of_a_slow_rewrite(people, fractions, seed):
    """People lined up by SHA-256, each to the split that lacks most."""
    eyes, labels, ages = (list(column) for column in zip(*people, strict=True))
    frame = make_people(eyes, labels=labels, ages=np.array(ages))
    val, test = fractions
    split = assign_splits(frame, val_fraction=val, test_fraction=test, seed=seed)
    assert list(split) == slow_splits(frame, val=val, test=test, seed=seed)


def test_every_age_band_of_every_stratum_is_near_its_share():
    """Uneven bands, unknown ages among them: each within two people of what was asked."""
    rng = np.random.default_rng(2)
    ages = np.where(rng.random(600) < 0.1, np.nan, rng.normal(55, 18, 600).clip(18, 95))
    frame = make_people(rng.integers(1, 3, 600), ages=ages)
    split = assign_splits(frame, val_fraction=0.1, test_fraction=0.2)
    cells = frame.assign(split=split).groupby(["label", age_bands(frame["age"])])
    assert len(cells) == 16
    for _, cell in cells:
        for name, share in (("val", 0.1), ("test", 0.2), ("train", 0.7)):
            assert abs((cell["split"] == name).sum() - share * len(cell)) <= 4


def people_with_findings():
    """400 people; one in eight shows the rare finding, and most of these the common one too."""
    rng = np.random.default_rng(2)
    frame = make_people(rng.integers(1, 3, 400), ages=rng.uniform(20, 80, 400))
    shows = rng.uniform(size=(400, 2))
    person = frame["person_group"].str.removeprefix("a/").astype(int)
    return frame.assign(
        rare=(shows[person, 0] < 0.125).astype(float), common=(shows[person, 1] < 0.6).astype(float)
    )


def test_every_finding_is_near_its_share():
    frame = people_with_findings()
    split = assign_splits(frame, findings=("common", "rare"))
    for finding in ("rare", "common"):
        for _, eyes in frame[frame[finding].eq(1)].assign(split=split).groupby("label"):
            for name in ("val", "test"):
                got = (eyes["split"] == name).sum()
                assert abs(got - 0.15 * len(eyes)) <= 4
    assert split.groupby(frame["person_group"]).nunique().max() == 1


def test_findings_nobody_shows_or_said_move_nobody():
    frame = people_with_findings()
    plain = assign_splits(frame)
    assert assign_splits(frame.assign(none=0.0), findings=("none",)).equals(plain)
    assert assign_splits(frame.assign(none=np.nan), findings=("none",)).equals(plain)
    assert not assign_splits(frame, findings=("rare",)).equals(plain)


def test_no_age_is_kept_for_train():
    """Four people of four bands, 100 seeds: every band is held out as often as the others."""
    frame = make_people([1] * 4, labels=[0] * 4, ages=np.array([20.0, 45.0, 65.0, np.nan]))
    held_out = [
        assign_splits(frame, val_fraction=0.2, test_fraction=0.2, seed=seed).ne("train")
        for seed in range(100)
    ]
    # Binomial: 100 draws of one half have a standard deviation of 5.
    assert np.abs(np.sum(held_out, axis=0) - 50).max() < 20


def test_two_splits_of_one_share_are_served_alike():
    """Strata too small for both a person of val and one of test favour neither."""
    frames = [make_people([1, 1], labels=[0, 0], source=f"s{number}") for number in range(200)]
    frame = pd.concat(frames, ignore_index=True)
    counts = assign_splits(frame, val_fraction=0.3, test_fraction=0.3).value_counts()
    assert counts["train"] == counts["val"] + counts["test"] == 200
    # Binomial: 200 draws of one half have a standard deviation of 7.
    assert abs(counts["val"] - 100) < 28


def test_a_split_by_file_tears_people_apart():
    """Fellow eyes leak, as the square of a share says; by person nothing does."""
    frame = make_people([2] * 2000)
    torn = assign_splits(frame, by="file")
    # Of two eyes, 1 held out: the other is in train with probability 0.7.
    assert person_leakage(frame, torn) == pytest.approx(0.7, abs=0.04)
    assert person_leakage(frame, assign_splits(frame)) == 0
    assert torn.value_counts(normalize=True)["train"] == pytest.approx(0.7, abs=0.001)


def test_a_split_by_file_does_not_look_at_the_order_of_rows():
    """The file's name decides."""
    frame = make_people([2] * 20)
    mixed = frame.sample(frac=1, random_state=3)
    pd.testing.assert_series_equal(
        assign_splits(mixed, by="file").sort_index(), assign_splits(frame, by="file")
    )


def test_leakage_counts_held_out_eyes_with_a_fellow_in_train():
    """By hand: persons 0 and 1 stand on both sides, 3 of the 5 held-out eyes are theirs."""
    frame = make_people([2, 3, 2, 1])
    split = pd.Series(["train", "val", "train", "val", "test", "val", "test", "train"])
    assert person_leakage(frame, split) == pytest.approx(3 / 5)


def test_leakage_of_nothing_held_out_is_refused():
    """A share of no eyes is no number."""
    frame = make_people([2, 2])
    with pytest.raises(InputError, match="split: no eye is held out in val or test"):
        person_leakage(frame, pd.Series("train", index=frame.index))


def test_an_unknown_way_to_split_is_refused():
    """With what is allowed."""
    with pytest.raises(InputError, match="by=eye: allowed: person, file"):
        assign_splits(make_people([1] * 9), by="eye")


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


def named(frame):
    """Everyone under their own id."""
    return frame.assign(patient_id=frame["person_group"])


def test_people_keep_the_split_they_have_elsewhere():
    """Seen there by one eye or by both; the third is new and is dealt."""
    frame = named(make_people([2, 2, 2]))
    earlier = frame.iloc[[0, 2, 3]].assign(split=["test", "val", "val"])
    found = kept_splits(frame, pd.Series("train", frame.index), earlier)
    assert found.tolist() == ["test", "test", "val", "val", "train", "train"]
    assert found.name == "split"


def test_people_keep_their_split_though_none_of_their_eyes_is_in_both():
    """One eye of each was rejected there, the other here: by their id, or by that of their group.

    The third came there under the id of the fourth row here as well; the last are new.
    """
    frame = pd.DataFrame(
        {
            "image_id": ["1_left", "2_left", "3_left", "4_left", "5_left", "5_right"],
            "patient_id": ["1", "2", "3", "4", "5", "5"],
            "person_group": ["1", "2", "3", "3", "5", "5"],
        }
    )
    earlier = pd.DataFrame(
        {
            "image_id": ["1_left", "2_right", "3_right"],
            "patient_id": ["1", "2", "7"],
            "person_group": ["1", "2", "4"],
            "split": ["val", "test", "test"],
        }
    )
    found = kept_splits(frame, pd.Series("train", frame.index), earlier)
    assert found.tolist() == ["val", "test", "test", "test", "train", "train"]


def test_one_person_here_who_is_two_there_is_refused_by_their_ids():
    frame = make_people([2, 1]).assign(patient_id=["a/0", "a/1", "a/2"])
    earlier = pd.DataFrame(
        {
            "image_id": ["a/0", "a/9"],
            "patient_id": ["a/0", "a/1"],
            "person_group": ["a/0", "a/1"],
            "split": ["test", "train"],
        }
    )
    with pytest.raises(InputError, match="1 people have eyes in two of its splits: a/0"):
        kept_splits(frame, pd.Series("train", frame.index), earlier)


def test_splits_of_other_eyes_or_of_torn_people_are_refused():
    frame = named(make_people([2, 2]))
    dealt = pd.Series("train", frame.index)
    with pytest.raises(InputError, match="holds none of these eyes"):
        kept_splits(frame, dealt, named(make_people([1], source="b")).assign(split="test"))
    torn = frame.iloc[:2].assign(split=["test", "train"])
    with pytest.raises(InputError, match="1 people have eyes in two of its splits: a/0"):
        kept_splits(frame, dealt, torn)
