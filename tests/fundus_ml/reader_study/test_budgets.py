"""Which budget is shown where nobody names one."""

import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.reader_study.budgets import choose_budget
from fundus_ml.reader_study.drawing import draw_trials
from fundus_ml.reader_study.options import StudyOptions
from tests.fundus_ml.reader_study.tiny_modulation import write_modulation


def reached(**successes):
    """Rows of four eyes per budget, so many of which are seen as the target."""
    rows = [
        {"eps": float(eps.removeprefix("at")), "success": n < count}
        for eps, count in successes.items()
        for n in range(4)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


@pytest.mark.parametrize(
    ("successes", "eps", "words"),
    [
        ({"at1": 0, "at2": 2, "at16": 4}, 16, "eps=auto: 16, largest budget of the run at which "),
        ({"at1": 0, "at2": 2, "at16": 1}, 2, "half are seen as target (50%)"),
        ({"at1": 1, "at2": 0, "at16": 1}, 16, "largest budget of the run; at none are half seen"),
    ],
)
def test_the_largest_that_reaches_half_of_the_eyes_is_chosen(successes, eps, words):
    budget = choose_budget(reached(**successes), "auto")
    assert budget.eps == eps
    assert words in budget.words


def test_a_budget_that_is_named_is_taken_as_the_run_has_it():
    table = reached(at1=1, at2=4).replace({"eps": {1.0: 4 / 255}})
    budget = choose_budget(table, 0.0156862745)
    assert budget.eps == 4 / 255
    assert budget.success == 0.25
    with pytest.raises(InputError, match=r"eps=3: not a budget of this modulation, which has 0\.0"):
        choose_budget(table, 3)


def test_trials_are_drawn_at_the_budget_chosen(tmp_path):
    table = write_modulation(tmp_path, size=8)
    trials = draw_trials(table, StudyOptions())
    assert set(trials.loc[trials["condition"] == "modulated", "eps"]) == {4.0}
    table["success"] = table["eps"] == 2
    pd.testing.assert_frame_equal(
        draw_trials(table, StudyOptions()), draw_trials(table, StudyOptions(eps=2))
    )
