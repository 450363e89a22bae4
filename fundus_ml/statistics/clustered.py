"""AUROC, means, medians, ratios; intervals that know that two eyes of a patient are not two draws.

Every interval is the 95 % percentile interval of a bootstrap over patients: patients are drawn with
replacement, and each eye counts as often as its patient was drawn.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import (
    CONFIDENCE,
    Floats,
    Interval,
    cluster_codes,
    cluster_counts,
    count_blocks,
    percentile_interval,
    row_replicates,
)
from fundus_ml.statistics.ranking import divide, finite, rank, same_length

__all__ = [
    "Interval",
    "auroc",
    "cluster_counts",
    "clustered_auroc",
    "clustered_mean",
    "clustered_median",
    "clustered_ratio",
    "paired_auroc_difference",
    "weighted_auroc",
]


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Chance that a positive scores above a negative, ties counting one half.

    Args:
        labels: ``(n,)``, 0 or 1.
        scores: ``(n,)`` finite numbers, larger for label 1.

    Returns:
        A number in [0, 1].

    Raises:
        InputError: Lengths differ, a score is not finite, or one class is absent.
    """
    ranking = rank(labels, scores)
    return float(ranking.measure(np.ones((1, len(ranking.order))))[0][0])


def weighted_auroc(labels: ArrayLike, scores: ArrayLike, weights: NDArray[np.generic]) -> Floats:
    """AUROC under each of many weightings, the scores being sorted once.

    Args:
        labels: ``(n,)``, 0 or 1.
        scores: ``(n,)`` finite numbers.
        weights: ``(m, n)``, 0 or more.

    Returns:
        ``(m,)``; NaN where a class has no weight.

    Raises:
        InputError: As :func:`auroc`, or ``weights`` is not ``(m, n)``.
    """
    ranking = rank(labels, scores)
    rows = len(ranking.order)
    if weights.ndim != 2 or weights.shape[1] != rows:  # noqa: PLR2004 (m, n)
        raise InputError(f"weights: shape must be (m, {rows}), not {weights.shape}")
    return ranking.measure(weights[:, ranking.order])[0]


def clustered_auroc(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """AUROC with its interval over clusters.

    Args:
        labels: ``(n,)``, 0 or 1.
        scores: ``(n,)`` finite numbers, larger for label 1.
        groups: ``(n,)`` cluster of each row.
        resamples: Number of bootstrap samples.
        seed: Seed of the draw.

    Returns:
        AUROC in [0, 1]; resamples that hold one class only are left out.

    Raises:
        InputError: As :func:`auroc` and :func:`cluster_counts`, or more than 5 % of the
            resamples hold one class only.
    """
    ranking, people = rank(labels, scores), np.asarray(groups)
    same_length(labels=len(ranking.order), groups=len(people))
    replicates = row_replicates(
        lambda counts: ranking.measure(counts)[0],
        people[ranking.order],
        resamples=resamples,
        seed=seed,
    )
    return percentile_interval(auroc(labels, scores), replicates)


def paired_auroc_difference(
    labels: ArrayLike,
    scores: ArrayLike,
    other_scores: ArrayLike,
    groups: ArrayLike,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """AUROC of ``scores`` minus AUROC of ``other_scores`` on the same eyes, resampled together.

    Args:
        labels: ``(n,)``, 0 or 1.
        scores: ``(n,)`` of one model.
        other_scores: ``(n,)`` of the other.
        groups: ``(n,)`` cluster of each row.
        resamples: Number of bootstrap samples.
        seed: Seed of the draw.

    Returns:
        Difference in [-1, 1]; an interval without 0 tells the two apart.

    Raises:
        InputError: As :func:`clustered_auroc`.
    """
    first, second = rank(labels, scores), rank(labels, other_scores)
    same_length(labels=len(first.order), groups=len(np.asarray(groups)))
    replicates = row_replicates(
        lambda counts: (
            first.measure(counts[:, first.order])[0] - second.measure(counts[:, second.order])[0]
        ),
        groups,
        resamples=resamples,
        seed=seed,
    )
    return percentile_interval(auroc(labels, scores) - auroc(labels, other_scores), replicates)


def clustered_mean(
    values: ArrayLike, groups: ArrayLike, *, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Mean over rows (accuracy, success, P(target)) with its interval over clusters.

    Args:
        values: ``(n,)`` finite numbers.
        groups: ``(n,)`` cluster of each row.
        resamples: Number of bootstrap samples.
        seed: Seed of the draw.

    Returns:
        The mean, in the unit of ``values``.

    Raises:
        InputError: Lengths differ, a value is not finite, or as :func:`cluster_counts`.
    """
    numbers = finite("values", values)
    return clustered_ratio(numbers, np.ones_like(numbers), groups, resamples=resamples, seed=seed)


def clustered_median(
    values: ArrayLike, groups: ArrayLike, *, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Lower median over rows, such as minimal perturbation norms, with its clustered interval.

    Args:
        values: ``(n,)`` numbers; inf counts as larger than any other.
        groups: ``(n,)`` cluster of each row.
        resamples: Number of bootstrap samples.
        seed: Seed of the draw.

    Returns:
        In the unit of ``values``, each end one of them: none lies between a number and inf.

    Raises:
        InputError: Lengths differ, a value is missing, or as :func:`cluster_counts`.
    """
    numbers = np.asarray(values, np.float64)
    if np.isnan(numbers).any():
        raise InputError("values: NaN; a median needs every one")
    same_length(values=len(numbers), groups=len(np.asarray(groups)))
    order = np.argsort(numbers, kind="stable")
    ranked = numbers[order]

    def medians(counts: NDArray[np.int32]) -> Floats:
        below = counts[:, order].cumsum(axis=1)
        middle: Floats = ranked[(2 * below >= below[:, -1:]).argmax(axis=1)]
        return middle

    found = row_replicates(medians, groups, resamples=resamples, seed=seed)
    whole = float(medians(np.ones((1, len(numbers)), np.int32))[0])
    if not len(found):
        return Interval(whole, float("nan"), float("nan"))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail], method="inverted_cdf")
    return Interval(whole, float(low), float(high))


def clustered_ratio(
    numerators: ArrayLike,
    denominators: ArrayLike,
    groups: ArrayLike,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Ratio of two sums over rows, such as energy share over area share, over clusters.

    Args:
        numerators: ``(n,)`` finite numbers.
        denominators: ``(n,)`` finite numbers, 0 or more, not all 0.
        groups: ``(n,)`` cluster of each row.
        resamples: Number of bootstrap samples.
        seed: Seed of the draw.

    Returns:
        ``sum(numerators) / sum(denominators)``; resamples whose denominators sum to 0 are left
        out.

    Raises:
        InputError: Lengths differ, a number is not finite, the denominators sum to 0 or one is
            below 0, more than 5 % of the resamples sum to 0, or as :func:`cluster_counts`.
    """
    above, below = finite("numerators", numerators), finite("denominators", denominators)
    cluster, clusters = cluster_codes(groups)
    same_length(numerators=len(above), denominators=len(below), groups=len(cluster))
    if below.min() < 0 or below.sum() == 0:
        raise InputError("denominators: each must be 0 or more, and one of them more")
    sums = np.stack(
        [np.bincount(cluster, column, minlength=clusters) for column in (above, below)], axis=1
    )
    blocks = count_blocks(clusters, clusters, resamples=resamples, seed=seed)
    totals = np.concatenate([counts @ sums for counts in blocks])
    replicates = divide(totals[:, 0], totals[:, 1])
    if clusters == 1:
        replicates = replicates[:0]
    return percentile_interval(float(above.sum() / below.sum()), replicates)
