"""Trials: one per eye, sides balanced, the same for the same seed."""

import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.reader_study.drawing import draw_trials
from fundus_ml.reader_study.options import StudyOptions
from tests.fundus_ml.reader_study.tiny_modulation import write_modulation


@pytest.fixture(scope="module")
def modulations(tmp_path_factory):
    return write_modulation(tmp_path_factory.mktemp("modulation"), eyes=22, size=8, unchanged=(3,))


def drawn(modulations, **options):
    return draw_trials(modulations, StudyOptions(**options))


def test_every_changed_eye_is_one_trial_between_catch_trials(modulations):
    trials = drawn(modulations, catch_trials=5)
    assert trials["trial"].tolist() == list(range(1, 27))
    shown = trials[trials["condition"] == "modulated"]
    assert sorted(shown["image_id"]) == sorted(
        f"odir/{n}_left"
        for n in range(22)
        if n != 3  # whose picture did not change
    )
    assert (trials["condition"] == "catch").sum() == 5
    assert shown["truth_picture"].str.endswith("eps-4.png").all()
    assert shown["other_picture"].str.endswith("original.png").all()
    assert set(shown["eps"]) == {4.0}


def test_the_right_side_is_left_half_the_time(modulations):
    trials = drawn(modulations, question="female", trials=20, real_trials=10, catch_trials=6)
    lefts = (trials["side_of_truth"] == "left").groupby(trials["condition"]).sum()
    assert lefts.to_dict() == {"modulated": 10, "real": 5, "catch": 3}
    by_target = (trials["side_of_truth"] == "left").groupby(trials["target"]).sum()
    assert by_target[["female", "male"]].tolist() == [5, 5]


def test_the_female_picture_is_the_unchanged_one_where_it_was_pushed_to_male(modulations):
    trials = drawn(modulations, question="female", trials=12)
    shown = trials[trials["condition"] == "modulated"].set_index("target")
    assert shown.index.value_counts().to_dict() == {"female": 6, "male": 6}
    assert shown.loc["female", "truth_picture"].str.endswith("eps-4.png").all()
    assert shown.loc["female", "other_picture"].str.endswith("original.png").all()
    assert shown.loc["male", "truth_picture"].str.endswith("original.png").all()
    assert shown.loc["male", "other_picture"].str.endswith("eps-4.png").all()


def test_real_pairs_are_a_woman_and_a_man_each_once(modulations):
    trials = drawn(modulations, question="female", real_trials=11)
    real = trials[trials["condition"] == "real"]
    women, men = (
        real[f"{which}_picture"].str.extract(r"odir_(\d+)_")[0] for which in ("truth", "other")
    )
    assert sorted(women.astype(int)) == list(range(0, 22, 2))
    assert sorted(men.astype(int)) == list(range(1, 22, 2))
    assert (real["image_id"] == "odir/" + women + "_left").all()
    assert set(real["eps"]) == {0.0}


def test_a_seed_is_one_study_and_another_seed_another(modulations):
    options = {"question": "female", "trials": 10, "real_trials": 4}
    first = drawn(modulations, **options)
    pd.testing.assert_frame_equal(first, drawn(modulations, **options))
    other = drawn(modulations, **options, seed=1)
    for column in ("image_id", "side_of_truth", "condition"):
        assert first[column].tolist() != other[column].tolist()


def test_sides_say_nothing_about_the_order(modulations):
    """Over many seeds every trial number has the right picture left about half the time."""
    lefts = sum(
        (drawn(modulations, trials=6, catch_trials=0, seed=seed)["side_of_truth"] == "left")
        for seed in range(40)
    )
    assert lefts.between(9, 31).all()  # 20 ± 3.6 standard deviations
    alone = [
        drawn(modulations, trials=1, catch_trials=0, seed=seed)["side_of_truth"][0]
        for seed in range(20)
    ]
    assert 1 < alone.count("left") < 19  # 10 ± 3.8 standard deviations


def test_more_catch_trials_than_eyes_repeat_eyes(modulations):
    assert (drawn(modulations, catch_trials=40)["condition"] == "catch").sum() == 40


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"question": "older"}, "question=older: allowed: changed, female"),
        ({"trials": -1}, "trials=-1: must be at least 0"),
        ({"catch_trials": -2}, "catch_trials=-2: must be at least 0"),
        ({"real_trials": 3}, "real_trials=3: only question=female has them"),
        ({"eps": 3}, "eps=3: not a budget of this modulation, which has 2, 4"),
        ({"trials": 22}, "trials=22: the modulation changed 21 eyes at eps=4, each may be shown"),
        (
            {"question": "female", "real_trials": 12},
            "real_trials=12: the modulation has 11 women and 11 men",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(modulations, options, line):
    with pytest.raises(InputError, match=line):
        drawn(modulations, **options)


def test_tables_that_are_no_modulation_are_refused(modulations):
    with pytest.raises(InputError, match="modulations: columns missing: label, l2"):
        drawn(modulations.drop(columns=["label", "l2"]))
    twice = pd.concat([modulations, modulations.tail(1)])
    with pytest.raises(InputError, match="odir/21_left stands there twice at eps=4"):
        drawn(twice)
    still = modulations.assign(l2=0.0)
    with pytest.raises(InputError, match="trials=0: the modulation changed 0 eyes"):
        drawn(still)
