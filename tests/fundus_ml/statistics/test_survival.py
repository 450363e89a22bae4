"""Survival over the budget against scipy, plain counts and closed forms; people stay whole."""

import itertools

import numpy as np
import pytest
from scipy.stats import CensoredData, ecdf, logrank

from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import cluster_counts
from fundus_ml.statistics.survival import grouped_log_rank, paired_log_rank, survival_curve

INF = np.inf


def norms_of(people, seed, *, scale=1.0, shared=1.5):
    """Two alike eyes of each person, those above 2 not flipped."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), 2)
    norms = scale * np.exp(
        shared * rng.normal(size=people)[person] + 0.3 * rng.normal(size=2 * people)
    )
    return np.where(norms > 2, INF, norms), person


def test_the_curve_is_the_share_that_no_change_flips():
    """With one budget for all, Kaplan-Meier is the plain share, unsolved eyes among them."""
    norms, person = norms_of(40, 0)
    curve = survival_curve(norms, person, resamples=200, seed=1)
    assert curve["norm"].tolist() == np.unique(norms[np.isfinite(norms)]).tolist()
    plain = [(norms > at).mean() for at in curve["norm"]]
    np.testing.assert_allclose(curve["unsolved"], plain)
    assert curve["at_risk"].tolist() == [(norms >= at).sum() for at in curve["norm"]]
    assert curve["unsolved"].iloc[-1] == pytest.approx(np.isinf(norms).mean())
    assert (curve["unsolved_low"] <= curve["unsolved"]).all()
    assert (curve["unsolved_high"] >= curve["unsolved"]).all()


def test_a_budget_censors_what_lies_beyond_it():
    norms, person = norms_of(40, 0)
    curve = survival_curve(norms, person, budget=0.5, resamples=20)
    whole = survival_curve(norms, person, resamples=20)
    assert curve.equals(whole[whole["norm"] <= 0.5])
    assert curve["solved"].sum() == (norms <= 0.5).sum()


def test_ties_and_eyes_flipped_as_they_are_count():
    curve = survival_curve([0.0, 1.0, 1.0, INF], ["a", "b", "c", "d"], resamples=50)
    assert curve["unsolved"].tolist() == [0.75, 0.25]
    assert curve["solved"].tolist() == [1, 2]
    assert survival_curve([INF, INF], ["a", "b"], resamples=5).empty
    assert np.isnan(survival_curve([1.0, INF], ["a", "a"], resamples=5)["unsolved_low"]).all()


def test_the_interval_draws_people():
    """Each resample is Kaplan-Meier of scipy on the rows that it drew."""
    norms, person = norms_of(12, 3)
    curve = survival_curve(norms, person, resamples=40, seed=5)
    slow = []
    for counts in cluster_counts(person, resamples=40, seed=5):
        drawn = np.repeat(norms, counts)
        finite = np.isfinite(drawn)
        survival = ecdf(CensoredData(uncensored=drawn[finite], right=np.full((~finite).sum(), 9.0)))
        slow.append(survival.sf.evaluate(curve["norm"]))
    ends = np.quantile(slow, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(curve[["unsolved_low", "unsolved_high"]].T, ends)


def test_the_interval_covers_where_greenwood_does_not():
    """Two alike eyes: taken for two draws they are too sure of the share at a budget."""
    held = []
    for seed in range(120):
        norms, person = norms_of(50, 1000 + seed, shared=3.0)
        curve = survival_curve(norms, person, budget=1.0, resamples=200, seed=seed).iloc[-1]
        finite = norms <= 1
        plain = ecdf(CensoredData(uncensored=norms[finite], right=np.full((~finite).sum(), 1.0)))
        low, high = (end.probabilities[-1] for end in plain.sf.confidence_interval())
        held.append((curve["unsolved_low"] <= 0.5 <= curve["unsolved_high"], low <= 0.5 <= high))
    clustered, greenwood = np.mean(held, axis=0)
    assert clustered > 0.88 > greenwood


def test_single_eyes_have_the_log_rank_test_of_scipy():
    norms = norms_of(30, 1)[0]
    chosen, person = np.arange(60) < 25, np.arange(60)
    found = grouped_log_rank(norms, chosen, person)
    both = [
        CensoredData(uncensored=part[np.isfinite(part)], right=np.full(np.isinf(part).sum(), 9.0))
        for part in (norms[chosen], norms[~chosen])
    ]
    assert found.pvalue == pytest.approx(logrank(*both).pvalue)
    assert found.observed == np.isfinite(norms[chosen]).sum()
    # Observed less expected, place by place.
    expected = sum(
        (norms == at).sum() * (norms[chosen] >= at).sum() / (norms >= at).sum()
        for at in np.unique(norms[np.isfinite(norms)])
    )
    assert found.expected == pytest.approx(expected)
    assert found.ratio == pytest.approx(found.observed / expected)


def test_pairs_are_exchanged_by_the_person():
    """All exchanges of five people, one by one, with observed less expected counted plainly."""
    rng = np.random.default_rng(2)
    first, second = rng.integers(1, 6, (2, 10)).astype(float)
    first[first == 5], second[second == 5] = INF, INF
    person = np.repeat(np.arange(5), 2)

    def excess(one, other):
        both = np.r_[one, other]
        return sum(
            (one == at).sum() - (both == at).sum() * (one >= at).sum() / (both >= at).sum()
            for at in np.unique(both[np.isfinite(both)])
        )

    exact = []
    for swaps in itertools.product((False, True), repeat=5):
        swap = np.array(swaps)[person]
        exact.append(excess(np.where(swap, second, first), np.where(swap, first, second)))
    found = paired_log_rank(first, second, person, permutations=20000)
    assert found.observed - found.expected == pytest.approx(exact[0])
    wanted = (np.abs(exact) >= abs(exact[0]) - 1e-9).mean()
    assert found.pvalue == pytest.approx(wanted, abs=0.015)


def test_equal_samples_are_told_apart_at_the_level():
    """Eyes of a person are alike: taken for independent, equal groups are told apart too often."""
    grouped, paired, plain, power = [], [], [], []
    for seed in range(300):
        norms, person = norms_of(24, 1000 + seed, shared=2.0)
        rng, how = np.random.default_rng(seed), {"permutations": 199, "seed": 5000 + seed}
        first = person < 12
        grouped.append(grouped_log_rank(norms, first, person, **how).pvalue)
        plain.append(grouped_log_rank(norms, first, np.arange(48)).pvalue)
        noise = rng.normal(size=24)[person]
        alike, moved = norms * np.exp(noise), norms * np.exp(0.5 + 0.3 * noise)
        # Exchangeable: the same noise, thrown to the one side or the other by person.
        side = rng.random(24)[person] < 0.5
        both = np.where(side, alike, norms), np.where(side, norms, alike)
        paired.append(paired_log_rank(*both, person, **how).pvalue)
        power.append(paired_log_rank(norms, moved, person, **how).pvalue)
    at_level = 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 300)
    assert np.mean(np.array(grouped) <= 0.05) <= at_level < np.mean(np.array(plain) <= 0.05)
    assert np.mean(np.array(paired) <= 0.05) <= at_level
    assert np.mean(np.array(power) <= 0.05) > 0.8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: survival_curve([], []), "norms: must be one row of numbers, not shape"),
        (lambda: survival_curve([1.0, np.nan], [0, 1]), "norms: each must be 0 or more, inf where"),
        (lambda: survival_curve([-1.0], [0]), "norms: each must be 0 or more"),
        (lambda: survival_curve([1.0], [0], budget=0), "budget=0: must be above 0"),
        (lambda: survival_curve([1.0], [0, 1]), "lengths differ: norms 1, groups 2"),
        (lambda: paired_log_rank([1.0], [1.0, 2.0], [0]), "lengths differ: norms 1, other_norms 2"),
        (lambda: paired_log_rank([1.0], [1.0], [0], permutations=0), "permutations=0: must be 1"),
        (
            lambda: grouped_log_rank([1.0, 2.0], [True, False], [0, 0]),
            "chosen: a person has eyes in both samples",
        ),
        (lambda: grouped_log_rank([1.0], [True], [0]), "chosen: 1 of 1 eyes, both samples need"),
    ],
)
def test_mistakes_end_in_one_clear_line(call, message):
    with pytest.raises(InputError, match=message):
        call()
