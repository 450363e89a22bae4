"""What is said and drawn of scores: no more than they show."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.figures import figure_png
from fundus_ml.reader_study import (
    StudyOptions,
    draw_trials,
    reader_forest,
    score_readers,
    warning_about,
    what_readers_show,
)
from fundus_ml.reader_study.drawing import CATCH
from fundus_ml.statistics.bootstrap import Interval
from tests.fundus_ml.reader_study.simulated_readers import make_trials, simulate
from tests.fundus_ml.reader_study.tiny_modulation import write_modulation


def scored(sensitivities, *, failing=(), **numbers):
    trials, rng = make_trials(**numbers), np.random.default_rng(0)
    answers = pd.concat(
        [
            simulate(trials, reader=f"r{n}", d_prime=d_prime, rng=rng)
            for n, d_prime in enumerate(sensitivities)
        ],
        ignore_index=True,
    )
    fails = answers["reader"].isin(failing) & (answers["condition"] == CATCH)
    answers.loc[fails, "correct"] = False
    return score_readers(answers, resamples=100)


@pytest.mark.parametrize(
    ("d_prime", "verdict"),
    [
        (2, "better than guessing"),
        (-2, "worse than guessing"),
        (0, "not shown to be better or worse than guessing, nor to equal it"),
    ],
)
def test_the_verdict_follows_the_interval(d_prime, verdict):
    table = scored([d_prime] * 4, failing=["r2"])
    said = what_readers_show(table, question="changed", eps=4)
    assert said.startswith(
        "Which picture was changed? an eye and its modulated self at eps 4: 240 answers of 4 "
        "readers (1 flagged by catch trials), accuracy 0."
    )
    assert said.endswith(verdict)


def test_one_reader_says_nothing_of_others():
    said = what_readers_show(
        scored([1], real_trials=30),
        question="female",
        eps=0.5,
        difference=Interval(0.25, -0.1, 0.6),
    )
    assert "at eps 0.5: 60 answers of 1 reader (which says nothing of others)" in said
    assert "; a woman's and a man's eye: 30 answers" in said
    assert said.endswith("; modulated minus real +0.250 (-0.100 to +0.600)")


def test_eyes_pushed_one_way_cannot_tell_sex_from_change(tmp_path):
    table = write_modulation(tmp_path, size=8)
    both = draw_trials(table, StudyOptions(question="female"))
    assert warning_about(both) == ""
    men = table[table["target"] == "female"]
    one = draw_trials(men, StudyOptions(question="female"))
    assert warning_about(one).startswith("question=female: every eye was pushed to female, so")
    assert warning_about(draw_trials(men, StudyOptions())) == ""


def test_every_reader_and_both_corrections_are_drawn():
    table = scored([0.5, 9, 1], failing=["r2"], real_trials=20)
    figure = reader_forest(table, title="Which?")
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == [
        "r0, n = 60", "r1, n = 60", "r2, n = 60\n6 of 6 catch trials failed",
        "all readers, n = 180",
        "without flagged, n = 120", "r0, n = 20", "r1, n = 20",
        "r2, n = 20\n6 of 6 catch trials failed", "all readers, n = 60", "without flagged, n = 40",
        "an eye and its modulated self", "a woman's and a man's eye",
    ]  # fmt: skip
    points = [
        line for line in left.lines if line.get_marker() in ("o", "s") and len(line.get_xdata())
    ]
    # The third reader looked at nothing, so that there is nothing to correct.
    assert len(points) == 2 * len(table) - 2
    drawn = sorted(float(line.get_xdata()[0]) for line in points if line.get_marker() == "o")
    assert drawn == pytest.approx(sorted(table["accuracy"]))
    # Whoever is always right has an open interval.
    arrows = [line for line in right.lines if line.get_marker() == ">"]
    assert len(arrows) >= 4
    assert figure_png(figure).startswith(b"\x89PNG")


def test_a_table_that_is_none_is_refused():
    with pytest.raises(InputError, match="frame: columns missing: readers"):
        reader_forest(scored([1]).drop(columns="readers"), title="")
