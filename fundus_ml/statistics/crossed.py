"""Means over several networks that were asked about the same people: both are samples.

An interval over people holds for the networks that were trained. Another seed or permutation gives
another network, so a claim about the method needs an interval over networks too.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import (
    CONFIDENCE,
    Counts,
    Floats,
    Interval,
    percentile_interval,
    row_replicates,
)
from fundus_ml.statistics.ranking import divide, rank

__all__ = ["Crossed", "crossed_auroc", "crossed_mean", "crossed_ratio"]

Statistic = Callable[[Counts], Floats]
"""Maps ``(block, n)`` how often each eye counts to ``(K, block)``, a row per network."""
Scale = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Crossed:
    """A mean over networks with both its intervals.

    Attributes:
        each: ``(K,)`` the value of each network, on all eyes.
        over_people: The mean, for other people and these very networks.
        over_both: The mean, for other people and other networks; its ends are NaN for one network.
        between: Standard deviation between the networks (of a ratio: of its logarithm).
        variance_ratio: Variance between networks over the variance over people of one network, the
            mean of theirs.
    """

    each: Floats
    over_people: Interval
    over_both: Interval
    between: float
    variance_ratio: float

    def columns(self, name: str) -> dict[str, float]:
        """Spread over columns of a table: the mean, both intervals, the spread of the networks."""
        return {
            **self.over_both.columns(name),
            f"{name}_people_low": self.over_people.low,
            f"{name}_people_high": self.over_people.high,
            f"{name}_between": self.between,
            f"{name}_variance_ratio": self.variance_ratio,
        }


def crossed_auroc(
    labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, *, resamples: int = 2000, seed: int = 0
) -> Crossed:
    """Mean AUROC of several networks on the same eyes.

    Args:
        labels: ``(n,)``, 0 or 1.
        scores: ``(K, n)`` finite numbers, larger for label 1; one row per network.
        groups: ``(n,)`` person of each eye.
        resamples: Number of bootstrap samples of people, each scored by every network.
        seed: Seed of the draw.

    Raises:
        InputError: Shapes differ, or as :func:`fundus_ml.statistics.clustered.clustered_auroc`.
    """
    rankings = [rank(labels, each) for each in _by_network("scores", scores, groups)]

    def aurocs(counts: Counts) -> Floats:
        return np.stack([one.measure(counts[:, one.order])[0] for one in rankings])

    def clipped(values: Floats) -> Floats:
        return np.clip(values, 0.0, 1.0)

    return _crossed(aurocs, groups, resamples=resamples, seed=seed, scale=clipped)


def crossed_mean(
    values: ArrayLike, groups: ArrayLike, *, resamples: int = 2000, seed: int = 0
) -> Crossed:
    """Mean over networks and eyes, such as the success of a modulation.

    Args:
        values: ``(K, n)``, one row per network; NaN where it has no value of an eye.
        groups: ``(n,)`` person of each eye.
        resamples: Number of bootstrap samples of people.
        seed: Seed of the draw.

    Raises:
        InputError: Shapes differ, or a network has no value at all.
    """
    found = _by_network("values", values, groups)
    ratios = _ratios(found, np.where(np.isnan(found), np.nan, 1.0))
    return _crossed(ratios, groups, resamples=resamples, seed=seed)


def crossed_ratio(
    numerators: ArrayLike,
    denominators: ArrayLike,
    groups: ArrayLike,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Crossed:
    """Geometric mean over networks of a ratio of sums over eyes, such as an enrichment.

    Args:
        numerators: ``(K, n)``, 0 or more, one row per network; NaN where it has no value of an eye.
        denominators: ``(K, n)``, 0 or more.
        groups: ``(n,)`` person of each eye.
        resamples: Number of bootstrap samples of people.
        seed: Seed of the draw.

    Raises:
        InputError: Shapes differ, or the ratio of a network is not positive and finite.
    """
    above = _by_network("numerators", numerators, groups)
    below = _by_network("denominators", denominators, groups)
    if above.shape != below.shape:
        raise InputError(f"denominators: shape must be {above.shape}, not {below.shape}")
    ratios = _ratios(above, below)

    def logs(counts: Counts) -> Floats:
        found = ratios(counts)
        return np.log(found, out=np.full_like(found, np.nan), where=found > 0)

    return _crossed(logs, groups, resamples=resamples, seed=seed, scale=np.exp)


def _crossed(
    statistic: Statistic,
    groups: ArrayLike,
    *,
    resamples: int,
    seed: int,
    scale: Scale = np.asarray,
) -> Crossed:
    """Take the interval over people, that over networks, and join the two.

    ``scale`` turns what ``statistic`` gives into the unit of the result.
    """
    each = statistic(np.ones((1, len(np.asarray(groups))), np.int32))[:, 0]
    if not np.isfinite(each).all():
        raise InputError(
            f"networks: {(~np.isfinite(each)).sum()} of {len(each)} have no value, or 0 of a ratio"
        )
    replicates = row_replicates(statistic, groups, resamples=resamples, seed=seed)
    people = percentile_interval(float(each.mean()), replicates.mean(axis=0))
    networks, between = len(each), float("nan")
    if networks > 1:
        between = float(each.std(ddof=1))
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, networks - 1) * between / np.sqrt(networks)
    ends = np.array(
        [
            people.value,
            people.low,
            people.high,
            people.value - np.hypot(people.value - people.low, reach),
            people.value + np.hypot(people.high - people.value, reach),
        ]
    )
    value, low, high, both_low, both_high = scale(ends).tolist()
    over_people = np.nanvar(replicates, axis=1).mean() if replicates.shape[1] else 0.0
    return Crossed(
        each=scale(each),
        over_people=Interval(value, low, high),
        over_both=Interval(value, both_low, both_high),
        between=between,
        variance_ratio=float(between**2 / over_people) if over_people > 0 else float("nan"),
    )


def _ratios(above: Floats, below: Floats) -> Statistic:
    """Ratio of the sums of each network, over the eyes of which it has both numbers."""
    known = ~(np.isnan(above) | np.isnan(below))
    numerators, denominators = np.where(known, above, 0.0), np.where(known, below, 0.0)
    return lambda counts: divide(numerators @ counts.T, denominators @ counts.T)


def _by_network(name: str, values: ArrayLike, groups: ArrayLike) -> Floats:
    found, eyes = np.asarray(values, np.float64), len(np.asarray(groups))
    if found.ndim != 2 or not len(found) or found.shape[1] != eyes:  # noqa: PLR2004 (K, n)
        raise InputError(f"{name}: shape must be (networks, {eyes}), not {found.shape}")
    return found
