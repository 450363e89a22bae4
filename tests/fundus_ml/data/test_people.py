"""Ids that share an eye become one person; people under both sexes are marked."""

import numpy as np
import pandas as pd

from fundus_ml.data.people import contradicting_people, join_people


def pairs_of(*pairs):
    return pd.DataFrame(pairs, columns=["first", "second"], dtype="int64")


def test_without_pairs_everyone_is_themselves():
    ids = pd.Series(["b", "a", "b", "c"], index=[3, 5, 8, 9])
    people = join_people(ids, pairs_of())
    assert people.tolist() == ids.tolist()
    assert people.name == "person_group"
    assert people.index.tolist() == [3, 5, 8, 9]


def test_a_chain_of_pairs_is_one_person_named_by_the_first_row():
    ids = pd.Series(["z", "y", "x", "z", "w", "v"])
    # x's eye is w's, and w has no other eye; y's eye is the second one of z.
    assert join_people(ids, pairs_of((2, 4), (1, 3))).tolist() == ["z", "z", "x", "z", "x", "v"]
    assert join_people(ids, pairs_of((2, 4), (1, 3), (0, 2))).tolist() == ["z"] * 5 + ["v"]


def test_a_pair_within_one_patient_changes_nothing():
    ids = pd.Series(["a", "a", "b"])
    assert join_people(ids, pairs_of((0, 1))).tolist() == ["a", "a", "b"]


def test_an_empty_table_has_no_people():
    assert join_people(pd.Series([], dtype="str"), pairs_of()).empty


def test_joining_agrees_with_relabelling_until_nothing_changes():
    rng = np.random.default_rng(12)
    ids = pd.Series([f"p{number:02d}" for number in rng.integers(0, 60, 150)])
    pairs = rng.integers(0, 150, (25, 2))
    slow = ids.tolist()
    order = {name: place for place, name in reversed(list(enumerate(slow)))}
    changed = True
    while changed:
        changed = False
        for first, second in pairs:
            names = {slow[first], slow[second]}
            if len(names) == 2:
                keep = min(names, key=order.get)
                slow = [keep if name in names else name for name in slow]
                changed = True
    assert join_people(ids, pairs_of(*pairs.tolist())).tolist() == slow


def test_all_eyes_of_a_person_under_both_sexes_are_marked():
    eyes = pd.DataFrame(
        {
            "person_group": ["a", "b", "a", "c", "b", "a"],
            "sex": ["male", "female", "female", "male", "female", "male"],
        },
        index=[2, 4, 6, 7, 8, 9],
    )
    marked = contradicting_people(eyes)
    assert marked.tolist() == [True, False, True, False, False, True]
    assert marked.index.tolist() == eyes.index.tolist()
    assert marked.dtype == bool
