"""AUROC, means and ratios with intervals that know that two eyes of one patient are not two draws.

Every interval is the 95 % percentile interval of a bootstrap over patients: patients are drawn with
replacement, and each eye counts as often as its patient was drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fundus_ml.bootstrap import (
    Counts,
    Floats,
    Interval,
    cluster_codes,
    cluster_counts,
    count_blocks,
    percentile_interval,
)
from fundus_ml.errors import InputError

__all__ = [
    "Interval",
    "auroc",
    "cluster_counts",
    "clustered_auroc",
    "clustered_mean",
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
    pairs = _pair_order(labels, scores)
    return float(pairs.auroc(np.ones((1, pairs.rows), dtype=np.int32))[0])


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
    pairs = _pair_order(labels, scores)
    if weights.ndim != 2 or weights.shape[1] != pairs.rows:  # noqa: PLR2004 (m, n)
        raise InputError(f"weights: shape must be (m, {pairs.rows}), not {weights.shape}")
    return pairs.auroc(weights)


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
        seed: Of the draw.

    Returns:
        AUROC in [0, 1]; resamples that hold one class only are left out.

    Raises:
        InputError: As :func:`auroc` and :func:`cluster_counts`, or more than 5 % of the
            resamples hold one class only.
    """
    pairs = _pair_order(labels, scores)
    replicates = _row_replicates(pairs.auroc, groups, pairs.rows, resamples=resamples, seed=seed)
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
        seed: Of the draw.

    Returns:
        Difference in [-1, 1]; an interval without 0 tells the two apart.

    Raises:
        InputError: As :func:`clustered_auroc`.
    """
    first, second = _pair_order(labels, scores), _pair_order(labels, other_scores)
    replicates = _row_replicates(
        lambda weights: first.auroc(weights) - second.auroc(weights),
        groups,
        first.rows,
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
        seed: Of the draw.

    Returns:
        The mean, in the unit of ``values``.

    Raises:
        InputError: Lengths differ, a value is not finite, or as :func:`cluster_counts`.
    """
    numbers = _finite("values", values)
    return clustered_ratio(numbers, np.ones_like(numbers), groups, resamples=resamples, seed=seed)


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
        seed: Of the draw.

    Returns:
        ``sum(numerators) / sum(denominators)``; resamples whose denominators sum to 0 are left
        out.

    Raises:
        InputError: Lengths differ, a number is not finite, the denominators sum to 0 or one is
            below 0, more than 5 % of the resamples sum to 0, or as :func:`cluster_counts`.
    """
    above, below = _finite("numerators", numerators), _finite("denominators", denominators)
    cluster, clusters = cluster_codes(groups)
    _same_length(numerators=len(above), denominators=len(below), groups=len(cluster))
    if below.min() < 0 or below.sum() == 0:
        raise InputError("denominators: each must be 0 or more, and one of them more")
    sums = np.stack(
        [np.bincount(cluster, column, minlength=clusters) for column in (above, below)], axis=1
    )
    blocks = count_blocks(clusters, clusters, resamples=resamples, seed=seed)
    totals = np.concatenate([counts @ sums for counts in blocks])
    replicates = _divide(totals[:, 0], totals[:, 1])
    if clusters == 1:
        replicates = replicates[:0]
    return percentile_interval(float(above.sum() / below.sum()), replicates)


@dataclass(frozen=True)
class _PairOrder:
    """Where each positive stands among the sorted negatives: all that AUROC needs of the scores.

    Attributes:
        positives: Rows of label 1.
        negatives: Rows of label 0, by rising score.
        below: Per positive, how many negatives score less.
        upto: Per positive, how many score no more.
        rows: Number of rows.
    """

    positives: NDArray[np.intp]
    negatives: NDArray[np.intp]
    below: NDArray[np.intp]
    upto: NDArray[np.intp]
    rows: int

    def auroc(self, weights: NDArray[np.generic]) -> Floats:
        positive = weights[:, self.positives].astype(np.float64)
        passed = np.zeros((len(weights), len(self.negatives) + 1))
        np.cumsum(weights[:, self.negatives], axis=1, out=passed[:, 1:])
        beaten = np.einsum("mp,mp->m", positive, passed[:, self.below])
        beaten += np.einsum("mp,mp->m", positive, passed[:, self.upto])
        return _divide(beaten / 2, positive.sum(axis=1) * passed[:, -1])


def _pair_order(labels: ArrayLike, scores: ArrayLike) -> _PairOrder:
    truth, numbers = _finite("labels", labels), _finite("scores", scores)
    _same_length(labels=len(truth), scores=len(numbers))
    if not np.isin(truth, (0, 1)).all():
        raise InputError("labels: each must be 0 or 1")
    positives, negatives = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
    if not (len(positives) and len(negatives)):
        raise InputError(f"labels: all {len(truth)} are {truth[0]:.0f}, AUROC needs both classes")
    negatives = negatives[np.argsort(numbers[negatives], kind="stable")]
    ranked, placed = numbers[negatives], numbers[positives]
    return _PairOrder(
        positives,
        negatives,
        np.searchsorted(ranked, placed, side="left"),
        np.searchsorted(ranked, placed, side="right"),
        len(truth),
    )


def _row_replicates(
    statistic: Callable[[Counts], Floats],
    groups: ArrayLike,
    rows: int,
    *,
    resamples: int,
    seed: int,
) -> Floats:
    cluster, clusters = cluster_codes(groups)
    _same_length(labels=rows, groups=len(cluster))
    blocks = count_blocks(clusters, rows, resamples=resamples, seed=seed)
    replicates = np.concatenate([statistic(counts[:, cluster]) for counts in blocks])
    return replicates if clusters > 1 else replicates[:0]


def _divide(numerators: Floats, denominators: Floats) -> Floats:
    undefined = np.full_like(numerators, np.nan)
    return np.divide(numerators, denominators, out=undefined, where=denominators > 0)


def _finite(name: str, values: ArrayLike) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not len(numbers):
        raise InputError(f"{name}: must be one row of numbers, not shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise InputError(f"{name}: {(~np.isfinite(numbers)).sum()} of {len(numbers)} not finite")
    return numbers


def _same_length(**lengths: int) -> None:
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"lengths differ: {found}")
