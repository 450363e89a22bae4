"""AUROC among rows of one stratum only: what is left of a score where a confounder is equal."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import Floats, Interval, percentile_interval, row_replicates
from fundus_ml.statistics.ranking import Ranking, divide, rank, same_length

__all__ = ["stratified_auroc"]


def stratified_auroc(
    labels: ArrayLike,
    scores: ArrayLike,
    strata: ArrayLike,
    groups: ArrayLike,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Chance that a positive scores above a negative of its own stratum.

    All pairs of a positive and a negative of one stratum are pooled, so a stratum counts by its
    pairs and one that holds one class only counts nothing.

    Args:
        labels: ``(n,)``, 0 or 1.
        scores: ``(n,)`` finite numbers, larger for label 1.
        strata: ``(n,)`` stratum of each row, such as the decade of its age.
        groups: ``(n,)`` cluster of each row.
        resamples: Number of bootstrap samples of clusters.
        seed: Seed of the draw.

    Returns:
        A number in [0, 1] with its interval.

    Raises:
        InputError: As :func:`fundus_ml.statistics.ranking.rank`, or no stratum holds both classes.

    Source:
        Janes & Pepe 2009, doi:10.1093/biomet/asp002 (covariate-adjusted ROC curve).
    """
    truth, numbers, stratum = np.asarray(labels), np.asarray(scores), np.asarray(strata)
    same_length(labels=len(truth), scores=len(numbers), strata=len(stratum))
    same_length(labels=len(truth), groups=len(np.asarray(groups)))
    parts: list[tuple[NDArray[np.intp], Ranking]] = []
    for name in np.unique(stratum):
        rows = np.flatnonzero(stratum == name)
        if len(np.unique(truth[rows])) > 1:
            ranking = rank(truth[rows], numbers[rows])
            parts.append((rows[ranking.order], ranking))
    if not parts:
        raise InputError("strata: none holds both classes, so nothing can be compared within one")

    def measure(counts: NDArray[np.generic]) -> Floats:
        right, pairs = np.zeros(len(counts)), np.zeros(len(counts))
        for rows, ranking in parts:
            weights = counts[:, rows].astype(np.float64)
            positives = weights @ ranking.positive
            within = positives * (weights.sum(axis=1) - positives)
            right += np.nan_to_num(ranking.measure(weights)[0]) * within
            pairs += within
        return divide(right, pairs)

    value = float(measure(np.ones((1, len(truth))))[0])
    replicates = row_replicates(measure, groups, resamples=resamples, seed=seed)
    return percentile_interval(value, replicates)
