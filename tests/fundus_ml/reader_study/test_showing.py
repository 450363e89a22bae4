"""Pictures: which stands where, and catch trials that cannot be missed."""

import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import read_png, write_png
from fundus_ml.reader_study.drawing import draw_trials
from fundus_ml.reader_study.options import StudyOptions
from fundus_ml.reader_study.showing import prompt_of, read_pairs
from tests.fundus_ml.reader_study.tiny_modulation import write_modulation


def shown(folder, **options):
    trials = draw_trials(write_modulation(folder), StudyOptions(**options))
    return list(zip(trials.to_dict("records"), read_pairs(trials, folder), strict=True))


def original(folder, image_id):
    return read_png(folder / "pictures" / image_id.replace("/", "_") / "original.png")


def test_the_modulated_picture_stands_on_the_side_of_truth(tmp_path):
    for row, (left, right) in shown(tmp_path, catch_trials=0):
        changed, same = (left, right) if row["side_of_truth"] == "left" else (right, left)
        plain = original(tmp_path, row["image_id"])
        np.testing.assert_array_equal(same, plain)
        assert changed.shape == plain.shape == (48, 54, 3)
        # Raised by 40 in one channel, as the modulation was made.
        assert (changed.astype(int) - plain).sum() == 40 * 48 * 54


def test_a_catch_trial_is_mirrored_and_one_side_has_no_detail_left(tmp_path):
    catches = [pair for pair in shown(tmp_path) if pair[0]["condition"] == "catch"]
    assert len(catches) == 6
    for row, (left, right) in catches:
        blurred, sharp = (left, right) if row["side_of_truth"] == "left" else (right, left)
        np.testing.assert_array_equal(sharp, original(tmp_path, row["image_id"])[:, ::-1])
        assert (
            np.diff(blurred.astype(int), axis=1).std()
            < np.diff(sharp.astype(int), axis=1).std() / 10
        )
        assert prompt_of(row) == ""


def test_where_the_sex_is_asked_a_catch_trial_says_what_to_choose(tmp_path):
    pairs = shown(tmp_path, question="female")
    catches = [pair for pair in pairs if pair[0]["condition"] == "catch"]
    for row, (left, right) in catches:
        np.testing.assert_array_equal(left, right)
        assert (
            prompt_of(row) == f"Attention check: choose the picture on the {row['side_of_truth']}."
        )
    assert not any(prompt_of(row) for row, _ in pairs if row["condition"] != "catch")


def test_a_modulation_without_unchanged_eyes_is_refused(tmp_path):
    trials = draw_trials(write_modulation(tmp_path, originals=False), StudyOptions())
    with pytest.raises(InputError, match=r"original\.png: missing; modulations made before unch"):
        read_pairs(trials, tmp_path)


def test_a_pair_has_one_size_and_two_pictures(tmp_path):
    trials = draw_trials(write_modulation(tmp_path), StudyOptions(catch_trials=0))
    first = trials["truth_picture"].iloc[0]
    write_png(np.zeros((5, 7, 3), np.uint8), tmp_path / first)
    with pytest.raises(InputError, match=rf"{first}: \(5, 7\) pixels, but .*\(48, 54\)"):
        read_pairs(trials, tmp_path)
    (tmp_path / first).unlink()
    with pytest.raises(InputError, match=f"{first}: no such picture"):
        read_pairs(trials, tmp_path)
