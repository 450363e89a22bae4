"""The bootstrap over patients: two eyes of one patient are not two draws."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fundus_ml.errors import InputError

CONFIDENCE = 0.95
"""Share of resamples between the ends of every interval."""
MOST_DROPPED = 0.05
"""Largest share of resamples that may be left out because they hold one class only."""
BLOCK_VALUES = 300_000
"""Weights held in memory at once: few enough for the cache; it moves no result."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval.

    Attributes:
        value: The estimate on all rows.
        low: Lower end; NaN where one patient alone leaves nothing to resample.
        high: Upper end; NaN likewise.
    """

    value: float
    low: float
    high: float

    def __format__(self, form: str) -> str:
        """Write the value and, in brackets, its ends, each in the form that is given.

        >>> f"{Interval(0.8, 0.7, 0.85):.2f}"
        '0.80 (0.70 to 0.85)'
        """
        value, low, high = (format(each, form) for each in (self.value, self.low, self.high))
        return f"{value} ({low} to {high})"

    def columns(self, name: str) -> dict[str, float]:
        """Spread over three columns of a table: ``name``, ``name_low``, ``name_high``."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}

    @classmethod
    def of(cls, row: "Mapping[Any, Any] | pd.Series[Any]", name: str) -> "Interval":
        """Read back from the columns that :meth:`columns` makes."""
        return cls(*(float(row[f"{name}{end}"]) for end in ("", "_low", "_high")))


def cluster_counts(groups: ArrayLike, *, resamples: int, seed: int) -> Counts:
    """Draw whole clusters with replacement, as many as there are.

    Args:
        groups: ``(n,)`` cluster of each row, for example ``person_group``.
        resamples: Number of bootstrap samples, 1 or more.
        seed: Seed of the draw; the same seed gives the same counts whatever the order of the rows.

    Returns:
        ``(resamples, n)`` how often each row's cluster was drawn.

    Raises:
        InputError: ``groups`` is empty or holds a missing value, or ``resamples`` is below 1.

    Source:
        Field & Welsh 2007, Bootstrapping clustered data, J. R. Stat. Soc. B 69(3): the cluster
        bootstrap, drawing clusters and keeping their rows.
    """
    cluster, clusters = cluster_codes(groups)
    blocks = count_blocks(clusters, len(cluster), resamples=resamples, seed=seed)
    return np.concatenate([counts[:, cluster] for counts in blocks])


def cluster_codes(groups: ArrayLike) -> tuple[NDArray[np.intp], int]:
    """Number the clusters in sorted order.

    Args:
        groups: ``(n,)`` cluster of each row.

    Returns:
        ``(n,)`` cluster number of each row, and how many clusters there are.

    Raises:
        InputError: ``groups`` is empty or holds a missing value.
    """
    cluster, names = pd.factorize(np.asarray(groups), sort=True)
    if not len(cluster):
        raise InputError("groups: empty, at least one row is needed")
    if cluster.min() < 0:
        raise InputError(f"groups: {(cluster < 0).sum()} of {len(cluster)} rows have no group")
    return cluster, len(names)


def count_blocks(clusters: int, rows: int, *, resamples: int, seed: int) -> Iterator[Counts]:
    """Yield how often each cluster is drawn, a block of resamples at a time.

    Args:
        clusters: Number of clusters.
        rows: Number of rows they hold: a block stays near ``BLOCK_VALUES`` row weights.
        resamples: Number of bootstrap samples, 1 or more.
        seed: Seed of the draw.

    Yields:
        ``(block, clusters)``; the blocks together are the same draws whatever their size.

    Raises:
        InputError: ``resamples`` is below 1.
    """
    if resamples < 1:
        raise InputError(f"resamples={resamples}: must be 1 or more")
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_VALUES // max(rows, clusters))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = generator.integers(clusters, size=(size, clusters))
        drawn += np.arange(size)[:, None] * clusters
        counts = np.bincount(drawn.ravel(), minlength=size * clusters)
        yield counts.reshape(size, clusters).astype(np.int32)


def row_replicates(
    statistic: Callable[[Counts], Floats], groups: ArrayLike, *, resamples: int, seed: int
) -> Floats:
    """Compute a statistic of the rows on every bootstrap sample of the clusters.

    Args:
        statistic: Maps ``(block, n)`` how often each row counts to ``(..., block)``.
        groups: ``(n,)`` cluster of each row; its order is that of the weights.
        resamples: Number of bootstrap samples, 1 or more.
        seed: Seed of the draw.

    Returns:
        ``(..., resamples)``; with one cluster ``(..., 0)``, for there is nothing to resample.

    Raises:
        InputError: As :func:`cluster_counts`.
    """
    cluster, clusters = cluster_codes(groups)
    blocks = count_blocks(clusters, len(cluster), resamples=resamples, seed=seed)
    replicates = np.concatenate([statistic(counts[:, cluster]) for counts in blocks], axis=-1)
    return replicates if clusters > 1 else replicates[..., :0]


class UndefinedResamplesError(InputError):
    """Too few people hold what is measured for an interval over people."""


def percentile_interval(value: float, replicates: Floats) -> Interval:
    """Take the 95 % percentile interval of bootstrap replicates.

    Args:
        value: The estimate on all rows.
        replicates: ``(resamples,)``; NaN where a resample leaves the estimate undefined. Empty
            where there was nothing to resample.

    Returns:
        ``value`` with the interval of the replicates that are defined.

    Raises:
        UndefinedResamplesError: More than 5 % of the replicates are undefined.

    Source:
        Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    if not len(replicates):
        return Interval(value, float("nan"), float("nan"))
    kept = replicates[~np.isnan(replicates)]
    dropped = 1 - len(kept) / len(replicates)
    if dropped > MOST_DROPPED:
        raise UndefinedResamplesError(
            f"groups: {dropped:.0%} of the resamples hold one class only or nothing to divide by, "
            f"where an interval bears {MOST_DROPPED:.0%}; more patients are needed of the class "
            "that has fewest: add them, or measure a larger split"
        )
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(kept, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
