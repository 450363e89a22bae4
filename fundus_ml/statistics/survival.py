"""Minimal perturbation norms as survival times: an eye that no change flipped is censored."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import CensoredData, ecdf, logrank

from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import (
    BLOCK_VALUES,
    CONFIDENCE,
    Counts,
    Floats,
    cluster_codes,
    row_replicates,
)
from fundus_ml.statistics.ranking import divide, same_length

__all__ = ["LogRank", "grouped_log_rank", "paired_log_rank", "survival_curve"]


@dataclass(frozen=True)
class LogRank:
    """A log-rank test of one sample of eyes against another.

    Attributes:
        observed: Eyes of the first sample that were solved within the budget.
        expected: As many as would be, did both samples fall at the same rate.
        pvalue: Two-sided.
    """

    observed: float
    expected: float
    pvalue: float

    @property
    def ratio(self) -> float:
        """Solved over expected: above 1 where the first sample falls to smaller changes."""
        return self.observed / self.expected if self.expected > 0 else float("nan")


def survival_curve(
    norms: ArrayLike,
    groups: ArrayLike,
    *,
    budget: float = float("inf"),
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate the share of eyes that no change of a given norm flips, by Kaplan-Meier.

    Args:
        norms: ``(n,)`` minimal perturbation norms, 0 or more; inf where the eye was not flipped.
        groups: ``(n,)`` cluster of each eye, for example ``person_group``.
        budget: Largest norm asked about: a larger one is censored here. inf censors at the end of
            the search.
        resamples: Number of bootstrap samples of clusters.
        seed: Seed of the draw.

    Returns:
        One row per norm found, ascending: ``norm at_risk solved unsolved unsolved_low
        unsolved_high``: eyes not flipped before it, eyes flipped at it, and the share of all eyes
        that stays unflipped there, with its 95 % interval (NaN with one cluster). Empty where no
        eye was flipped.

    Raises:
        InputError: Lengths differ, a norm is missing or below 0, ``budget`` is not above 0, or as
            :func:`fundus_ml.statistics.bootstrap.cluster_counts`.

    Source:
        Kaplan & Meier 1958, doi:10.1080/01621459.1958.10501452, by ``scipy.stats.ecdf``. The
        interval is the percentile interval of whole clusters drawn anew, for Greenwood's formula
        takes two eyes of a person for two draws.
    """
    times, solved = _times("norms", norms, budget)
    same_length(norms=len(times), groups=len(np.asarray(groups)))
    found = ecdf(_censored(times, solved)).sf
    # scipy keeps the censored places too: nothing falls there.
    kept = np.isin(found.quantiles, times[solved])
    places = found.quantiles[kept]
    at_risk = (times >= places[:, None]).sum(axis=1)
    fallen = (solved & (times == places[:, None])).sum(axis=1)
    order = np.argsort(times, kind="stable")
    last = np.searchsorted(times[order], places, side="right") - 1

    def curves(counts: Counts) -> Floats:
        weights = counts[:, order].astype(np.float64)
        return _product_limit(weights, times[order], solved[order])[:, last].T

    replicates = row_replicates(curves, groups, resamples=resamples, seed=seed)
    tail = (1 - CONFIDENCE) / 2
    low, high = (
        np.quantile(replicates, [tail, 1 - tail], axis=1)
        if replicates.size
        else np.full((2, len(places)), np.nan)
    )
    return pd.DataFrame(
        {
            "norm": places,
            "at_risk": at_risk,
            "solved": fallen,
            "unsolved": found.probabilities[kept],
            "unsolved_low": low,
            "unsolved_high": high,
        }
    )


def paired_log_rank(
    norms: ArrayLike,
    other_norms: ArrayLike,
    groups: ArrayLike,
    *,
    budget: float = float("inf"),
    permutations: int = 9999,
    seed: int = 0,
) -> LogRank:
    """Compare two conditions of the same eyes by the log-rank statistic.

    Under the null hypothesis the two conditions of a person are exchangeable: each permutation
    exchanges them, or not, for all eyes of a person at once.

    Args:
        norms: ``(n,)`` minimal perturbation norms under one condition; inf where not flipped.
        other_norms: ``(n,)`` of the same eyes under the other.
        groups: ``(n,)`` cluster of each eye.
        budget: Norm where both conditions are censored.
        permutations: Number drawn; the p-value is never below 1 / (permutations + 1).
        seed: Seed of the draw.

    Returns:
        The test of ``norms`` against ``other_norms``.

    Raises:
        InputError: As :func:`survival_curve`, or ``permutations`` is below 1.

    Source:
        Mantel 1966 (log-rank); O'Brien & Fleming 1987, doi:10.2307/2531958 (scores of paired
        censored times, exchanged within pairs).
    """
    eyes, other_eyes = len(np.asarray(norms)), len(np.asarray(other_norms))
    same_length(norms=eyes, other_norms=other_eyes, groups=len(np.asarray(groups)))
    # Together: both are censored at the same norm.
    times, solved = _times("norms", np.concatenate([norms, other_norms]), budget)
    scores = _scores(times, solved)
    person, people = cluster_codes(groups)
    gap = np.bincount(person, (scores[:eyes] - scores[eyes:]) / 2, minlength=people)
    drawn = _drawn(
        lambda rng, block: rng.choice((-1.0, 1.0), (block, people)) @ gap,
        people,
        permutations=permutations,
        seed=seed,
    )
    excess = float(scores[:eyes].sum())
    return _test(float(solved[:eyes].sum()), excess, drawn)


def grouped_log_rank(
    norms: ArrayLike,
    chosen: ArrayLike,
    groups: ArrayLike,
    *,
    budget: float = float("inf"),
    permutations: int = 9999,
    seed: int = 0,
) -> LogRank:
    """Compare eyes of some people with those of the others by the log-rank statistic.

    Where each person has one eye the test is that of ``scipy.stats.logrank``. Otherwise people are
    permuted, each with all eyes.

    Args:
        norms: ``(n,)`` minimal perturbation norms; inf where not flipped.
        chosen: ``(n,)`` bool, the eyes of the first sample: all eyes of a person or none.
        groups: ``(n,)`` cluster of each eye.
        budget: Norm where eyes are censored.
        permutations: Number drawn where people have several eyes.
        seed: Seed of the draw.

    Returns:
        The test of the chosen eyes against the others.

    Raises:
        InputError: As :func:`survival_curve`, a person has eyes in both samples, one sample is
            empty, or ``permutations`` is below 1.

    Source:
        Mantel 1966 (log-rank), by ``scipy.stats.logrank``; Pitman 1937 (permutation of units).
    """
    times, solved = _times("norms", norms, budget)
    first = np.asarray(chosen, dtype=np.bool_)
    same_length(norms=len(times), chosen=len(first), groups=len(np.asarray(groups)))
    person, people = cluster_codes(groups)
    eyes = np.bincount(person, minlength=people)
    taken = np.bincount(person, first, minlength=people)
    if ((taken > 0) & (taken < eyes)).any():
        raise InputError("chosen: a person has eyes in both samples; compare eyes with other eyes")
    if not 0 < taken.sum() < len(times):
        raise InputError(f"chosen: {taken.sum():.0f} of {len(times)} eyes, both samples need some")
    scores = _scores(times, solved)
    observed, excess = float(solved[first].sum()), float(scores[first].sum())
    if eyes.max() == 1 and solved.any():
        both = (_censored(times[rows], solved[rows]) for rows in (first, ~first))
        return LogRank(observed, observed - excess, float(logrank(*both).pvalue))
    sums = np.bincount(person, scores, minlength=people)
    member = (taken > 0).astype(np.float64)
    drawn = _drawn(
        lambda rng, block: rng.permuted(np.tile(member, (block, 1)), axis=1) @ sums,
        people,
        permutations=permutations,
        seed=seed,
    )
    return _test(observed, excess, drawn)


def _times(name: str, norms: ArrayLike, budget: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Each eye's time, finite, and whether it was solved then."""
    numbers = np.asarray(norms, dtype=np.float64)
    if numbers.ndim != 1 or not len(numbers):
        raise InputError(f"{name}: must be one row of numbers, not shape {numbers.shape}")
    if not (numbers >= 0).all():
        raise InputError(f"{name}: each must be 0 or more, inf where the eye was not flipped")
    if not budget > 0:
        raise InputError(f"budget={budget}: must be above 0")
    solved = np.isfinite(numbers) & (numbers <= budget)
    # An eye that was not solved is at risk at every norm that was found.
    end = budget if np.isfinite(budget) else max(numbers[solved], default=0.0)
    return np.where(solved, numbers, end), solved


def _censored(times: Floats, solved: NDArray[np.bool_]) -> CensoredData:
    return CensoredData(uncensored=times[solved], right=times[~solved])


def _product_limit(weights: Floats, times: Floats, solved: NDArray[np.bool_]) -> Floats:
    """Kaplan-Meier after each place of ascending ``times`` ``(n,)``, ``(m, n)`` as the weights."""
    starts = np.flatnonzero(np.diff(times, prepend=-1.0))
    sizes = np.diff(starts, append=len(times))
    at_risk = weights[:, ::-1].cumsum(axis=1)[:, ::-1][:, starts]
    fallen = np.add.reduceat(weights * solved, starts, axis=1)
    left = 1 - np.nan_to_num(divide(fallen, at_risk))
    return np.repeat(left.cumprod(axis=1), sizes, axis=1)


def _scores(times: Floats, solved: NDArray[np.bool_]) -> Floats:
    """Solved less the pooled Nelson-Aalen hazard: over a sample, observed less expected."""
    places, place = np.unique(times, return_inverse=True)
    fallen = np.bincount(place, solved, minlength=len(places))
    at_risk = np.bincount(place, minlength=len(places))[::-1].cumsum()[::-1]
    scores: Floats = solved - (fallen / at_risk).cumsum()[place]
    return scores


def _drawn(
    draw: Callable[[np.random.Generator, int], Floats],
    people: int,
    *,
    permutations: int,
    seed: int,
) -> Floats:
    """Observed less expected under each permutation, a block of them at a time."""
    if permutations < 1:
        raise InputError(f"permutations={permutations}: must be 1 or more")
    rng, block = np.random.default_rng(seed), max(1, BLOCK_VALUES // people)
    sizes = (min(block, permutations - start) for start in range(0, permutations, block))
    return np.concatenate([draw(rng, size) for size in sizes])


def _test(observed: float, excess: float, drawn: Floats) -> LogRank:
    # Rounding must not part a permutation from its equal.
    further = np.abs(drawn) >= abs(excess) * (1 - 1e-9)
    return LogRank(observed, observed - excess, float((1 + further.sum()) / (1 + len(drawn))))
