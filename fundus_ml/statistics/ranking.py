"""How well scores put one class above the other: AUROC and AUPRC, under many weightings at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import Floats

__all__ = ["Ranking", "divide", "finite", "rank", "same_length"]


@dataclass(frozen=True)
class Ranking:
    """Rows sorted by falling score, once, for any number of weightings.

    Attributes:
        order: ``(n,)`` row at each place, the highest score first.
        positive: ``(n,)`` 1.0 where the row at that place has label 1, else 0.0.
        ends: ``(g,)`` last place of each group of equal scores; None where no two are equal.
    """

    order: NDArray[np.intp]
    positive: Floats
    ends: NDArray[np.intp] | None

    def measure(self, weights: NDArray[np.generic]) -> tuple[Floats, Floats]:
        """AUROC and AUPRC under each weighting.

        Args:
            weights: ``(m, n)``, 0 or more, **in the order of** ``order``.

        Returns:
            Two arrays ``(m,)`` in [0, 1]; NaN where a class has no weight. AUPRC is the average
            precision: the precision at each score that occurs, weighted by the recall it adds.
        """
        called = np.cumsum(weights, axis=1, dtype=np.float64)
        true = np.cumsum(np.multiply(weights, self.positive), axis=1)
        if self.ends is not None:
            called, true = called[:, self.ends], true[:, self.ends]
        positives = true[:, -1]
        negatives = called[:, -1] - positives
        gained = np.diff(true, axis=1, prepend=0)
        precision = np.divide(true, called, out=np.zeros_like(true), where=called > 0)
        auprc = np.einsum("mg,mg->m", gained, precision)
        # A positive beats the negatives ranked after it; those of its own score count half.
        false = np.subtract(called, true, out=called)
        beaten = np.einsum("mg,mg->m", gained, false)
        beaten += np.einsum("mg,mg->m", gained[:, 1:], false[:, :-1])
        pairs = positives * negatives
        return divide(pairs - beaten / 2, pairs), divide(auprc * negatives, pairs)


def rank(labels: ArrayLike, scores: ArrayLike) -> Ranking:
    """Sort rows by falling score.

    Args:
        labels: ``(n,)``, 0 or 1.
        scores: ``(n,)`` finite numbers, larger for label 1.

    Raises:
        InputError: Lengths differ, a score is not finite, or one class is absent.
    """
    truth, numbers = finite("labels", labels), finite("scores", scores)
    same_length(labels=len(truth), scores=len(numbers))
    if not np.isin(truth, (0, 1)).all():
        raise InputError("labels: each must be 0 or 1")
    if truth.min() == truth.max():
        raise InputError(f"labels: all {len(truth)} are {truth[0]:.0f}, AUROC needs both classes")
    order = np.argsort(-numbers, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(numbers[order])), len(order) - 1)
    return Ranking(order, truth[order], None if len(ends) == len(order) else ends)


def divide(numerators: Floats, denominators: Floats) -> Floats:
    """Divide where the denominator is above 0; NaN elsewhere."""
    undefined = np.full_like(numerators, np.nan)
    return np.divide(numerators, denominators, out=undefined, where=denominators > 0)


def finite(name: str, values: ArrayLike) -> Floats:
    """Take one row of finite numbers as float64.

    Raises:
        InputError: Not one row, empty, or a number is not finite; the line begins with ``name``.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not len(numbers):
        raise InputError(f"{name}: must be one row of numbers, not shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise InputError(f"{name}: {(~np.isfinite(numbers)).sum()} of {len(numbers)} not finite")
    return numbers


def same_length(**lengths: int) -> None:
    """Refuse rows of different lengths.

    Raises:
        InputError: Names each length.
    """
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"lengths differ: {found}")
