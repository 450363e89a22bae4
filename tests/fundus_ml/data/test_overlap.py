"""Who of a dataset is among the eyes of a training: by file, by id, by photograph."""

import pandas as pd
import pytest

from fundus_ml.data.overlap import find_overlap
from fundus_ml.data.training_eyes import training_eyes
from tests.fundus_ml.tiny_eyes import make_manifest

LEARNED = training_eyes(make_manifest(9, source="a"))
"""People p0 (val), p2, p3, p4 (train); p1 is a test person."""


def others(**changed):
    """Five eyes of p0, p0, p1, p1, p2 of another source, the first ones changed."""
    frame = make_manifest(5, source="b")
    for column, values in changed.items():
        frame.loc[: len(values) - 1, column] = values
    return frame


def test_other_people_are_no_overlap():
    overlap = find_overlap(others(), LEARNED)
    assert overlap.people == ()
    assert (overlap.files, overlap.ids, overlap.alike) == (0, 0, 0)


@pytest.mark.parametrize("column", ["image_id", "patient_id", "person_group"])
@pytest.mark.parametrize("known", ["image_id", "patient_id", "person_group"])
def test_an_id_of_the_training_is_its_person(column, known):
    """A person may stand under the name of either of two ids there."""
    id_there = LEARNED[known].iloc[0]
    expected = column == known or "image_id" not in (column, known)
    overlap = find_overlap(others(**{column: [id_there]}), LEARNED)
    assert overlap.ids == int(expected)
    assert len(overlap.people) == int(expected)


def test_a_file_under_another_name_is_its_person_with_every_eye():
    overlap = find_overlap(others(sha256=[LEARNED["sha256"].iloc[-1]]), LEARNED)
    assert overlap.people == ("b/p0",)
    assert (overlap.files, overlap.ids) == (1, 0)
    assert (overlap.count, overlap.words) == ("1 person", "b/p0; equal files: 1")


def test_alike_photographs_are_named_beside_the_rest():
    eyes = others(patient_id=["a/p2", "a/p2"], person_group=["a/p2", "a/p2"])
    overlap = find_overlap(eyes, LEARNED, pd.Series(["b/4"]))
    assert overlap.people == ("a/p2", "b/p2")
    assert overlap.count == "2 people"
    assert overlap.words == "a/p2, b/p2; people with equal ids: 1, alike photographs: 1"


def test_a_test_person_of_the_training_is_new_to_the_network():
    eyes = make_manifest(9, source="a").iloc[2:4]
    assert set(eyes["split"]) == {"test"}
    assert find_overlap(eyes, LEARNED).people == ()
