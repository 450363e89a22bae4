"""Mean paired differences over people: a sign-flip test, and the interval that inverts it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import CONFIDENCE, Floats, cluster_codes
from fundus_ml.statistics.ranking import divide, same_length

__all__ = ["PairedMeans", "paired_means", "rows_of_people", "sign_vectors", "sums_by_person"]

MOST_ENUMERATED = 13
"""People up to whom every sign vector is used instead of a draw of them."""
BLOCK = 64
"""Columns tested at once: it bounds memory and moves no result."""
ROUNDING = 1e-9
"""Share of the sum of lengths by which two equal sums may differ."""


@dataclass(frozen=True)
class PairedMeans:
    """Mean differences of ``m`` comparisons, ``(m,)`` each.

    Attributes:
        rows: Differences that are not missing.
        people: Clusters that they belong to.
        mean: Mean over those rows; NaN where all are missing.
        low: Lower end of the 95 % interval; NaN where so few people leave none (fewer than six).
        high: Upper end; NaN likewise.
        pvalue: Two-sided; NaN where all are missing. At most 0.05 where the interval leaves 0 out.
    """

    rows: NDArray[np.int64]
    people: NDArray[np.int64]
    mean: Floats
    low: Floats
    high: Floats
    pvalue: Floats


def paired_means(
    differences: ArrayLike, groups: ArrayLike, *, permutations: int = 9999, seed: int = 0
) -> PairedMeans:
    """Test mean differences against 0 by flipping the signs of all rows of a person together.

    Exact at any number of people where a person's differences are as likely with the opposite
    sign, as they are when the two conditions are exchangeable; else valid as people grow many.

    Args:
        differences: ``(n, m)``, one column per comparison; NaN where a row has none.
        groups: ``(n,)`` cluster of each row.
        permutations: Sign vectors drawn; up to 13 clusters all of them are used.
        seed: Seed of the draw; the order of the rows does not matter.

    Raises:
        InputError: ``differences`` is not ``(n, m)``, one is infinite, ``permutations`` is below 1,
            or as :func:`fundus_ml.statistics.bootstrap.cluster_counts`.

    Source:
        Fisher 1935, The Design of Experiments, section 21 (sign flips); Hartigan 1969,
        doi:10.1080/01621459.1969.10501057 (typical values: the interval runs between the means of
        the rows whose sign is kept and of those whose sign is flipped).
    """
    values, person, people = rows_of_people("differences", differences, groups, columns="m")
    if permutations < 1:
        raise InputError(f"permutations={permutations}: must be 1 or more")
    sums, counts = sums_by_person(values, person, people)
    signs, drawn = sign_vectors(people, permutations, seed)
    ends = [
        _tested(sums[:, first : first + BLOCK], counts[:, first : first + BLOCK], signs, drawn)
        for first in range(0, values.shape[1], BLOCK)
    ]
    low, high, pvalue = np.concatenate(ends, axis=1) if ends else np.empty((3, 0))
    rows = counts.sum(axis=0).astype(np.int64)
    missing = rows == 0
    return PairedMeans(
        rows=rows,
        people=(counts > 0).sum(axis=0),
        mean=divide(sums.sum(axis=0), rows.astype(np.float64)),
        low=np.where(missing, np.nan, low),
        high=np.where(missing, np.nan, high),
        pvalue=np.where(missing, np.nan, pvalue),
    )


def rows_of_people(
    name: str, values: ArrayLike, groups: ArrayLike, *, columns: str
) -> tuple[Floats, NDArray[np.intp], int]:
    """Check rows of numbers, some of them missing, and number the people they belong to.

    Args:
        name: Name of the values in messages.
        values: ``(n, columns)``, NaN where a number is missing.
        groups: ``(n,)`` person of each row.
        columns: Letter for the number of columns in messages.

    Returns:
        ``(n, columns)`` float64, ``(n,)`` number of each row's person, and how many people.

    Raises:
        InputError: ``values`` is not of that shape or infinite somewhere, lengths differ, or as
            :func:`fundus_ml.statistics.bootstrap.cluster_codes`.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2:  # noqa: PLR2004 (n, columns)
        raise InputError(f"{name}: shape must be (n, {columns}), not {found.shape}")
    if np.isinf(found).any():
        raise InputError(f"{name}: infinite; each must be a number, or NaN where it is missing")
    person, people = cluster_codes(groups)
    same_length(**{name: len(found)}, groups=len(person))
    return found, person, people


def sums_by_person(values: Floats, person: NDArray[np.intp], people: int) -> tuple[Floats, Floats]:
    """Sums of the numbers that are not missing, and how many those are, ``(people, m)`` each."""
    known = ~np.isnan(values)
    sums, counts = np.zeros((2, people, values.shape[1]))
    np.add.at(sums, person, np.where(known, values, 0.0))
    np.add.at(counts, person, known)
    return sums, counts


def sign_vectors(people: int, permutations: int, seed: int) -> tuple[Floats, bool]:
    """Sign vectors ``(P, people)``, and whether they were drawn rather than enumerated."""
    if people <= MOST_ENUMERATED:
        bits = np.arange(2**people)[:, None] >> np.arange(people) & 1
        return 1 - 2 * bits.astype(np.float64), False
    generator = np.random.default_rng(seed)
    bits = generator.integers(0, 2, (permutations, people), dtype=np.int8)
    return 1 - 2 * bits.astype(np.float64), True


def _tested(sums: Floats, counts: Floats, signs: Floats, drawn: bool) -> Floats:  # noqa: FBT001
    """Interval ends and p-values ``(3, m)`` of ``(people, m)`` sums and counts."""
    total, rows = sums.sum(axis=0), counts.sum(axis=0)
    flipped, kept = signs @ sums, signs @ counts
    as_far = np.abs(flipped) >= np.abs(total) - ROUNDING * np.abs(sums).sum(axis=0)
    # A draw leaves out the sign vector that was seen; the enumeration holds it.
    pvalue = (as_far.sum(axis=0) + drawn) / (len(signs) + drawn)
    # Shifted by any value within these two means, the flipped sum is no shorter than the sum.
    one = _ratio(total - flipped, rows - kept)
    other = _ratio(total + flipped, rows + kept)
    everywhere = np.isnan(one) | np.isnan(other)
    low = np.where(everywhere, -np.inf, np.minimum(one, other))
    high = np.where(everywhere, np.inf, np.maximum(one, other))
    place = int((1 - CONFIDENCE) * (len(signs) + drawn) + ROUNDING) - drawn
    if place < 0:
        return np.stack([np.full_like(pvalue, np.nan), np.full_like(pvalue, np.nan), pvalue])
    lowest = np.partition(low, place, axis=0)[place]
    highest = -np.partition(-high, place, axis=0)[place]
    bounded = np.isfinite(lowest) & np.isfinite(highest)
    ends = np.where(bounded, [lowest, highest], np.nan)
    return np.stack([*ends, pvalue])


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > ROUNDING)
