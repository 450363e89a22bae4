"""The practice pair: a strong change of an eye kept for it, its answer open, nothing counted."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import read_png
from fundus_ml.reader_study import StudyOptions, draw_trials, make_study, read_answers
from fundus_ml.reader_study.page import coarse_words
from fundus_ml.reader_study.practice import draw_practice, told
from fundus_ml.reader_study.showing import read_pairs
from tests.fundus_ml.reader_study.simulated_readers import simulate, write_csv
from tests.fundus_ml.reader_study.tiny_modulation import write_modulation


def tried(table, *, seed=0, **options):
    """The practice pair beside trials of the smaller budget."""
    trials = draw_trials(table, StudyOptions(eps=2, seed=seed, **options))
    (row,) = draw_practice(table, trials, seed=seed).to_dict("records")
    return row, trials


def test_it_is_the_strongest_change_of_an_eye_that_no_trial_shows(tmp_path):
    table = write_modulation(tmp_path, size=8, unchanged=(3,))
    for seed in range(20):
        row, trials = tried(table, seed=seed, trials=5, catch_trials=2)
        assert (row["trial"], row["condition"], row["eps"]) == (0, "practice", 4)
        assert row["image_id"] not in set(trials["image_id"]) | {"odir/3_left"}
        assert row["truth_picture"].endswith("eps-4.png")
    same, _ = tried(table, seed=seed, trials=5, catch_trials=2)
    assert same == row


def test_where_every_eye_is_shown_one_is_taken_mirrored(tmp_path):
    table = write_modulation(tmp_path)
    row, trials = tried(table)
    assert row["image_id"] in set(trials["image_id"])
    ((left, right),) = read_pairs(pd.DataFrame([row]), tmp_path)
    truth, other = (left, right) if row["side_of_truth"] == "left" else (right, left)
    for shown, name in ((truth, row["truth_picture"]), (other, row["other_picture"])):
        np.testing.assert_array_equal(shown, read_png(tmp_path / name)[:, ::-1])


def test_the_pair_moves_no_trial_and_both_sides_and_eyes_come_up(tmp_path):
    table = write_modulation(tmp_path, size=8)
    rows = [tried(table, seed=seed, trials=2, catch_trials=0)[0] for seed in range(30)]
    sides = [row["side_of_truth"] for row in rows]
    assert 4 < sides.count("left") < 26  # 15 ± 3.8 standard deviations
    assert len({row["image_id"] for row in rows}) > 6


@pytest.mark.parametrize(
    ("question", "target", "words"),
    [
        ("changed", "glaucoma", "on the left was changed."),
        ("female", "female", "on the left was changed towards a woman's eye."),
        ("female", "male", "on the left is the photograph; the other was changed towards a man's"),
    ],
)
def test_the_answer_says_why(question, target, words):
    row = {"question": question, "target": target, "side_of_truth": "left"}
    assert words in told(row)


def test_an_answer_to_it_is_no_answer_to_the_study(tmp_path):
    write_modulation(tmp_path, size=8)
    study = make_study(tmp_path, StudyOptions())
    assert 0 not in set(study.trials["trial"])
    answers = simulate(study.trials, reader="r", d_prime=1, rng=np.random.default_rng(0))
    path = write_csv(answers, study.trials, tmp_path / "r.csv", study=study.digest)
    rows = pd.read_csv(path, dtype=str)
    rows.loc[0, "trial"] = "0"
    rows.to_csv(path, index=False)
    with pytest.raises(InputError, match=r"r\.csv, line 2: trial=0: must be one of 1 to 18"):
        read_answers([path], study.trials)


def test_pictures_with_few_pixels_are_warned_of(tmp_path):
    write_modulation(tmp_path, eyes=2, size=223)
    study = make_study(tmp_path, StudyOptions(catch_trials=0))
    assert study.coarse.startswith("The pictures are 223 pixels across, fewer than 224: ")
    assert study.coarse in study.page
    assert coarse_words(224) == ""
