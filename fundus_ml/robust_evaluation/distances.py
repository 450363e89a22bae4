"""How small a change flips an eye: the curve over all eyes, and the median of each sex."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fundus_ml.data.manifest import SEXES
from fundus_ml.statistics.bootstrap import CONFIDENCE, Counts, Floats, Interval, row_replicates
from fundus_ml.statistics.clustered import clustered_mean

CURVE_POINTS = 41
"""Budgets at which the curve is read, evenly from 0 to the largest distance that was found."""


def flip_curve(probes: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """Share of the eyes of each sex that some change of at most ``eps`` flips.

    Args:
        probes: ``person_group label min_norm``, one row per eye.
        resamples: Bootstrap resamples of people.
        seed: Of the bootstrap.

    Returns:
        ``sex eps share low high``. At 0 stand the eyes named wrongly unchanged. Where the search
        missed a smaller change the share is too low, never too high.
    """
    finite = probes["min_norm"][np.isfinite(probes["min_norm"])]
    grid = np.linspace(0, float(finite.max()) if len(finite) else 0.0, CURVE_POINTS)
    rows = []
    for sex, eyes in _of_each_sex(probes).items():
        for eps in np.unique(grid):
            share = clustered_mean(
                eyes["min_norm"] <= eps, eyes["person_group"], resamples=resamples, seed=seed
            )
            rows.append(
                {
                    "sex": sex,
                    "eps": float(eps),
                    "share": share.value,
                    "low": share.low,
                    "high": share.high,
                }
            )
    return pd.DataFrame(rows)


def median_distances(probes: pd.DataFrame, *, resamples: int, seed: int) -> dict[str, Interval]:
    """Median over the eyes of each sex of the smallest change that flips them.

    Args:
        probes: ``person_group label min_norm``.
        resamples: Bootstrap resamples of people.
        seed: Of the bootstrap.

    Returns:
        By sex; inf where half of the eyes or more were never flipped.
    """
    return {
        sex: clustered_median(
            eyes["min_norm"], eyes["person_group"], resamples=resamples, seed=seed
        )
        for sex, eyes in _of_each_sex(probes).items()
    }


def clustered_median(
    values: ArrayLike, groups: ArrayLike, *, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Median over rows, the lower of two middle ones, with its interval over clusters.

    Args:
        values: ``(n,)``; inf is larger than any number.
        groups: ``(n,)`` cluster of each row.
        resamples: Number of bootstrap samples.
        seed: Of the draw.

    Raises:
        InputError: As :func:`fundus_ml.statistics.bootstrap.row_replicates`.
    """
    numbers = np.asarray(values, dtype=np.float64)
    order = np.argsort(numbers, kind="stable")
    ascending = numbers[order]

    def medians(weights: "Counts | NDArray[np.float64]") -> Floats:
        sums = weights.cumsum(axis=1)
        middle: Floats = ascending[(2 * sums >= sums[:, -1:]).argmax(axis=1)]
        return middle

    value = float(medians(np.ones((1, len(numbers))))[0])
    replicates = row_replicates(medians, np.asarray(groups)[order], resamples=resamples, seed=seed)
    if not len(replicates):
        return Interval(value, float("nan"), float("nan"))
    tail = (1 - CONFIDENCE) / 2
    # A quantile between two replicates would be inf - inf.
    low, high = np.quantile(replicates, [tail, 1 - tail], method="inverted_cdf")
    return Interval(value, float(low), float(high))


def _of_each_sex(probes: pd.DataFrame) -> dict[str, pd.DataFrame]:
    parts = {sex: probes[probes["label"] == label] for label, sex in enumerate(SEXES)}
    return {sex: eyes for sex, eyes in parts.items() if len(eyes)}
