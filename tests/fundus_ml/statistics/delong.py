"""Two AUROCs on the same eyes compared without resampling: DeLong's test, for single eyes only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata

from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import CONFIDENCE, Floats
from fundus_ml.statistics.ranking import rank

__all__ = ["DeLong", "auroc_covariance", "paired_delong"]

FEWEST = 2
"""Eyes of each class that a variance needs."""


@dataclass(frozen=True)
class DeLong:
    """A difference of two AUROCs.

    Attributes:
        value: First AUROC minus the second.
        error: Its standard error.
        low: Lower end of the normal 95 % interval.
        high: Upper end.
        p: Two-sided chance of so large a difference were there none; 1 where the scores rank
            alike.
    """

    value: float
    error: float
    low: float
    high: float
    p: float


def paired_delong(labels: ArrayLike, scores: ArrayLike, other_scores: ArrayLike) -> DeLong:
    """Compare the AUROCs of two sets of scores on the same eyes.

    Every row is taken for an independent draw. Two eyes of one person are not: use
    :func:`fundus_ml.statistics.clustered.paired_auroc_difference` for them.

    Args:
        labels: ``(n,)``, 0 or 1, at least two of each.
        scores: ``(n,)`` finite numbers of one model.
        other_scores: ``(n,)`` of the other.

    Raises:
        InputError: As :func:`auroc_covariance`.

    Source:
        DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44(3).
    """
    aurocs, covariance = auroc_covariance(labels, [scores, other_scores])
    value = float(aurocs[0] - aurocs[1])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    error = float(np.sqrt(max(variance, 0.0)))
    reach = float(norm.ppf((1 + CONFIDENCE) / 2)) * error
    p = 2 * float(norm.sf(abs(value) / error)) if error else float(value == 0)
    return DeLong(value, error, value - reach, value + reach, p)


def auroc_covariance(
    labels: ArrayLike, scores: "list[ArrayLike] | tuple[ArrayLike, ...]"
) -> tuple[Floats, Floats]:
    """AUROCs of several sets of scores on the same rows, and their covariance.

    Args:
        labels: ``(n,)``, 0 or 1, at least two of each.
        scores: ``k`` sets of ``(n,)`` finite numbers.

    Returns:
        ``(k,)`` and ``(k, k)``.

    Raises:
        InputError: Lengths differ, a score is not finite, or a class has fewer than two rows.

    Source:
        Sun and Xu 2014, IEEE Signal Processing Letters 21(11): midranks instead of all pairs.
    """
    truth = np.asarray(labels)
    for numbers in scores:
        rank(truth, numbers)  # refuses what has no AUROC
    men, women = truth == 1, truth == 0
    m, n = int(men.sum()), int(women.sum())
    if min(m, n) < FEWEST:
        raise InputError(f"labels: {n} are 0 and {m} are 1, DeLong needs {FEWEST} of each")
    table = np.stack([np.asarray(numbers, dtype=np.float64) for numbers in scores])
    together = rankdata(table, axis=1)
    # Share of the other class that each row stands rightly against: the structural components.
    beaten = (together[:, men] - rankdata(table[:, men], axis=1)) / n
    unbeaten = 1 - (together[:, women] - rankdata(table[:, women], axis=1)) / m
    covariance = np.atleast_2d(np.cov(beaten)) / m + np.atleast_2d(np.cov(unbeaten)) / n
    return beaten.mean(axis=1), covariance
