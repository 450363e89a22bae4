"""People across splits and ids, counted by hand on a table of four people."""

import pandas as pd
import pytest

from fundus_ml.auditing.leakage import SEX_DISAGREES, measure_leakage
from fundus_ml.data.splits import assign_splits
from tests.fundus_ml.tiny_cohorts import draw_cohort, no_rejections
from tests.fundus_ml.tiny_eyes import make_manifest


def test_people_across_splits_are_counted_from_the_table():
    """Person 2 has one eye in train and one in test, person 3 its only eye in train."""
    frame = make_manifest()
    frame.loc[4, "split"] = "test"
    rejected = pd.DataFrame(
        {
            "image_id": ["a", "b", "c"],
            "reason": [SEX_DISAGREES, "file missing", SEX_DISAGREES],
            "detail": "",
        }
    )
    found = measure_leakage(frame, rejected, seed=0)
    assert found.people_across == 1
    assert found.held_out == 5
    assert found.held_out_known == pytest.approx(1 / 5)
    assert found.sex_disagrees == 2


def test_one_person_under_two_ids_is_counted_once():
    frame = make_manifest()
    frame.loc[frame["patient_id"] == "tiny/p3", "person_group"] = "tiny/p2"
    found = measure_leakage(frame, no_rejections(), seed=0)
    assert (found.several_ids, found.several_ids_eyes) == (1, 3)
    assert (found.people_across, found.held_out_known, found.sex_disagrees) == (0, 0.0, 0)


def test_a_split_by_file_would_leak_most_fellow_eyes():
    """A fellow eye goes to train with train's share, about 70 %, where there is one."""
    frame = draw_cohort(400)
    frame["split"] = assign_splits(frame)
    found = measure_leakage(frame, no_rejections(), seed=0)
    assert (found.people_across, found.held_out_known) == (0, 0.0)
    paired = frame.groupby("person_group")["image_id"].transform("size").eq(2).mean()
    assert found.by_file == pytest.approx(0.7 * paired, abs=0.1)


def test_without_held_out_eyes_there_is_nothing_to_leak():
    found = measure_leakage(make_manifest().assign(split="train"), no_rejections(), seed=0)
    assert (found.held_out, found.held_out_known, found.by_file) == (0, 0.0, None)
