"""Sign flips by person: against scipy, against a slow rewrite, and by how often they err."""

import numpy as np
import pytest
from scipy.stats import permutation_test

from fundus_ml.errors import InputError
from fundus_ml.statistics.sign_flips import paired_means


def cohorts(generator, people, columns, *, shift=0.0, shared=0.8):
    """Differences of two alike eyes per person, one cohort per column, and their people."""
    person = np.repeat(np.arange(people), 2)
    of_person = generator.normal(size=(people, columns))[person]
    of_eye = generator.normal(size=(2 * people, columns))
    return shift + np.sqrt(shared) * of_person + np.sqrt(1 - shared) * of_eye, person


def test_single_eyes_agree_with_scipy():
    """Enumerated: the exact p-value of ``scipy.stats.permutation_test``."""
    values = np.random.default_rng(0).normal(0.4, 1, 10)
    wanted = permutation_test(
        (values, np.zeros(10)), lambda a, b: (a - b).mean(), permutation_type="samples"
    )
    found = paired_means(values[:, None], np.arange(10))
    assert found.pvalue[0] == pytest.approx(wanted.pvalue)
    assert found.mean[0] == pytest.approx(values.mean())


@pytest.mark.parametrize("people", [9, 40])
def test_the_interval_holds_what_the_test_keeps(people):
    """Shifted to just inside either end the test keeps 0, just outside it does not."""
    values, person = cohorts(np.random.default_rng(people), people, 4, shift=0.3)
    values[:3, 1] = np.nan
    found = paired_means(values, person, permutations=999)
    assert (found.low < found.mean).all()
    assert (found.mean < found.high).all()
    for end, inward in ((found.low, 1e-6), (found.high, -1e-6)):
        inside = paired_means(values - (end + inward), person, permutations=999)
        outside = paired_means(values - (end - inward), person, permutations=999)
        assert (inside.pvalue > 0.05).all()
        assert (outside.pvalue <= 0.05).all()


def test_missing_rows_are_left_out():
    """As if the column stood alone without them; a column of none says nothing."""
    values, person = cohorts(np.random.default_rng(1), 8, 3)
    values[[0, 1, 5], 1] = np.nan
    values[:, 2] = np.nan
    found = paired_means(values, person)
    kept = ~np.isnan(values[:, 1])
    alone = paired_means(values[kept, 1:2], person[kept])
    assert found.rows.tolist() == [16, 13, 0]
    assert found.people.tolist() == [8, 7, 0]
    for name in ("mean", "low", "high", "pvalue"):
        assert getattr(found, name)[1] == pytest.approx(getattr(alone, name)[0])
        assert np.isnan(getattr(found, name)[2])


def test_errs_at_its_level_where_eyes_do_not():
    """At the nominal level with two eyes per person; one sign per eye errs far more often."""
    values, person = cohorts(np.random.default_rng(2), 30, 2000)
    by_person = paired_means(values, person, permutations=999)
    assert np.mean(by_person.pvalue <= 0.05) == pytest.approx(0.05, abs=0.015)
    covered = (by_person.low <= 0) & (by_person.high >= 0)
    assert covered.mean() == pytest.approx(0.95, abs=0.015)
    by_eye = paired_means(values[:, :500], np.arange(60), permutations=499)
    assert np.mean(by_eye.pvalue <= 0.05) > 0.1


def test_few_people_leave_no_interval():
    """Five people have no p-value below 0.05; equal conditions differ by nothing."""
    five = paired_means(np.arange(1.0, 6)[:, None], np.arange(5))
    assert five.pvalue[0] == 2 / 2**5
    assert np.isnan([five.low[0], five.high[0]]).all()
    six = paired_means(np.arange(1.0, 7)[:, None], np.arange(6))
    assert six.pvalue[0] == 2 / 2**6
    assert six.low[0] > 0
    same = paired_means(np.zeros((20, 1)), np.arange(20))
    assert (same.pvalue[0], same.low[0], same.high[0]) == (1, 0, 0)


def test_refuses():
    """Another shape, infinity, no permutation."""
    with pytest.raises(InputError, match=r"differences: shape must be \(n, m\), not \(3,\)"):
        paired_means(np.zeros(3), [0, 1, 2])
    with pytest.raises(InputError, match="differences: infinite"):
        paired_means([[np.inf]], [0])
    with pytest.raises(InputError, match="permutations=0: must be 1 or more"):
        paired_means([[1.0]], [0], permutations=0)
