"""Mean maps over people, tested in every pixel at once by the maximum statistic."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import Floats
from fundus_ml.statistics.ranking import same_length
from fundus_ml.statistics.sign_flips import (
    ROUNDING,
    rows_of_people,
    sign_vectors,
    sums_by_person,
)

__all__ = ["MapTest", "difference_map", "sign_flip_map"]

FEWEST_SHOWN = 0.5
"""Share of the people who must show a pixel for it to be tested."""
BLOCK = 64
"""Permutations at once: it bounds memory and moves no result."""

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class MapTest:
    """A mean map of ``V`` pixels, or a difference of two, and its test; ``(V,)`` each.

    Attributes:
        mean: NaN where nobody shows the pixel.
        statistic: ``mean`` over its standard error between people; NaN where not tested.
        pvalue: Two-sided, corrected for all pixels together; NaN where not tested.
        pvalue_alone: Two-sided, of this pixel alone; NaN where not tested.
        people: People who show the pixel.
    """

    mean: Floats
    statistic: Floats
    pvalue: Floats
    pvalue_alone: Floats
    people: NDArray[np.int64]

    @property
    def largest(self) -> float:
        """Largest length of the statistic over all pixels; 0 where none was tested."""
        return float(np.nanmax(np.abs(self.statistic), initial=0.0))


def sign_flip_map(
    values: ArrayLike, groups: ArrayLike, *, permutations: int = 999, seed: int = 0
) -> MapTest:
    """Test the mean map of people against 0 in every pixel, corrected for their number.

    Each person counts once, with the mean of their maps. The signs of all pixels of a person flip
    together; each sign vector gives the largest studentised mean of all pixels, and a pixel is
    found where its own is among the largest 5 % of those. Where nothing changes on average, any
    pixel is found in at most 5 % of studies, however pixels are correlated: exact where each map is
    as likely with the opposite sign, else as people grow many.

    Args:
        values: ``(n, V)`` maps, NaN where a pixel is not shown.
        groups: ``(n,)`` person of each.
        permutations: Sign vectors drawn; up to 13 people all of them are used. 0 leaves the
            p-values NaN.
        seed: Seed of the draw; the order of the rows does not matter.

    Raises:
        InputError: ``values`` is not ``(n, V)`` or infinite somewhere, ``permutations`` is below 0,
            or as :func:`fundus_ml.statistics.bootstrap.cluster_codes`.

    Source:
        Nichols and Holmes 2002, doi:10.1002/hbm.1058 (sign flips, maximum statistic); Winkler et
        al. 2014, doi:10.1016/j.neuroimage.2014.01.060 (blocks that flip together).
    """
    found, person, people = _checked(values, groups, permutations)
    means = _means(found, person, people)
    known = ~np.isnan(means)
    shown = known.sum(axis=0)
    filled = np.where(known, means, 0.0)
    length = np.sqrt((filled**2).sum(axis=0))
    tested = (shown >= FEWEST_SHOWN * people) & (shown > 1) & (length > 0)
    # A flip leaves each pixel's sum of squares as it is, so that this ratio, which rises with the
    # studentised mean, ranks sign vectors as that does and costs one product of matrices.
    units = filled[:, tested] / length[tested]
    signs, drawn = np.empty((0, people)), False
    if permutations:
        signs, drawn = sign_vectors(people, permutations, seed)
    own = units.sum(axis=0)
    blocks = (signs[at : at + BLOCK] @ units for at in range(0, len(signs), BLOCK))
    corrected, alone = _pvalues(own, blocks, drawn=drawn)
    rest = np.maximum(shown[tested] - own**2, ROUNDING)
    return MapTest(
        mean=_ratio(filled.sum(axis=0), shown),
        statistic=_placed(own * np.sqrt((shown[tested] - 1) / rest), tested),
        pvalue=_placed(corrected, tested),
        pvalue_alone=_placed(alone, tested),
        people=shown,
    )


def difference_map(
    values: ArrayLike,
    second: ArrayLike,
    groups: ArrayLike,
    *,
    permutations: int = 999,
    seed: int = 0,
) -> MapTest:
    """Test the mean map of one class less that of the other in every pixel, corrected likewise.

    Each person counts once in each class. People of one class swap labels among them, a person with
    maps in both swaps their own two. What is alike in both classes cancels. Exact where the
    distribution of maps is the same in both classes; for equal means alone, as people grow many.

    Args:
        values: ``(n, V)`` maps, NaN where a pixel is not shown.
        second: ``(n,)`` whether each belongs to the class that the other is subtracted from.
        groups: ``(n,)`` person of each.
        permutations: Permutations drawn; 0 leaves the p-values NaN.
        seed: Seed of the draw; the order of the rows does not matter.

    Raises:
        InputError: A class has fewer than two people, lengths differ, or as :func:`sign_flip_map`.

    Source:
        Chung and Romano 2013, doi:10.1214/13-AOS1090 (studentised permutations of two samples);
        Nichols and Holmes 2002, doi:10.1002/hbm.1058 (maximum statistic).
    """
    found, person, people = _checked(values, groups, permutations)
    labels = np.asarray(second, np.bool_)
    same_length(values=len(found), second=len(labels))
    numbers = [np.unique(person[labels == label]) for label in (False, True)]
    if min(map(len, numbers)) < 2:  # noqa: PLR2004 (a spread between people)
        few = " and ".join(str(len(each)) for each in numbers)
        raise InputError(f"second: {few} people in the two classes; both need 2 or more")
    rows = [
        _means(found[labels == label], person[labels == label], people)[each]
        for label, each in zip((False, True), numbers, strict=True)
    ]
    shown = [(~np.isnan(each)).sum(axis=0) for each in rows]
    means = [
        _ratio(np.nansum(each, axis=0), count) for each, count in zip(rows, shown, strict=True)
    ]
    together, owner = np.concatenate(rows), np.concatenate(numbers)
    known = ~np.isnan(together)
    # Sums of squares lose fewer digits around the mean; a shift of all moves no difference.
    centred = np.where(known, together - _ratio(np.nansum(together, axis=0), sum(shown)), 0.0)
    tested = np.asarray((np.abs(centred) > ROUNDING).any(axis=0), np.bool_)
    for count, each in zip(shown, rows, strict=True):
        tested &= np.asarray(count >= max(2, FEWEST_SHOWN * len(each)), np.bool_)
    moments = (known[:, tested].astype(np.float64), centred[:, tested], centred[:, tested] ** 2)
    truth = np.repeat([False, True], [len(each) for each in rows])
    labelled = _permuted(truth, owner, permutations, seed)
    own = _welch(truth[None], moments)[0]
    blocks = (_welch(labelled[at : at + BLOCK], moments) for at in range(0, permutations, BLOCK))
    corrected, alone = _pvalues(own, blocks, drawn=True)
    return MapTest(
        mean=means[1] - means[0],
        statistic=_placed(own, tested),
        pvalue=_placed(corrected, tested),
        pvalue_alone=_placed(alone, tested),
        people=(~np.isnan(_means(together, owner, people))).sum(axis=0),
    )


def _checked(
    values: ArrayLike, groups: ArrayLike, permutations: int
) -> tuple[Floats, NDArray[np.intp], int]:
    if permutations < 0:
        raise InputError(f"permutations={permutations}: must be 0 (no test) or more")
    return rows_of_people("values", values, groups, columns="V")


def _means(values: Floats, person: NDArray[np.intp], people: int) -> Floats:
    """``(people, V)`` means of what is not missing."""
    return _ratio(*sums_by_person(values, person, people))


def _permuted(truth: Bools, person: NDArray[np.intp], permutations: int, seed: int) -> Bools:
    """``(P, rows)`` labels: shuffled among people of one row, swapped within those of two."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(truth[None], permutations, axis=0)
    _, place, counts = np.unique(person, return_inverse=True, return_counts=True)
    single = counts[place] == 1
    labels[:, single] = generator.permuted(labels[:, single], axis=1)
    order = np.argsort(place, kind="stable")
    pairs = order[~single[order]].reshape(-1, 2)
    swap = generator.integers(0, 2, (permutations, len(pairs))).astype(np.bool_)
    labels[:, pairs] ^= swap[..., None]
    return labels


def _welch(labels: Bools, moments: tuple[Floats, Floats, Floats]) -> Floats:
    """``(b, V)`` differences over their standard errors; 0 where a class leaves no spread."""
    means, errors = [], []
    for chosen in (labels, ~labels):
        count, total, square = (chosen.astype(np.float64) @ each for each in moments)
        count = np.maximum(count, 1)
        means.append(total / count)
        spread = np.maximum(square - total**2 / count, 0) / np.maximum(count - 1, 1)
        errors.append(spread / count)
    error = np.sqrt(errors[0] + errors[1])
    apart: Floats = means[0] - means[1]
    return np.divide(apart, error, where=error > 0, out=np.zeros_like(error))


def _pvalues(own: Floats, blocks: Iterator[Floats], *, drawn: bool) -> tuple[Floats, Floats]:
    """Compare each pixel with the largest of all pixels, and with itself, over permutations."""
    corrected, alone, size = np.zeros_like(own), np.zeros_like(own), 0
    least = np.abs(own) - ROUNDING
    for block in blocks:
        length = np.abs(block)
        alone += (length >= least).sum(axis=0)
        corrected += (length.max(axis=1, initial=0.0)[:, None] >= least).sum(axis=0)
        size += len(block)
    if not size:
        return np.full_like(own, np.nan), np.full_like(own, np.nan)
    # A draw leaves out the labels that were seen; an enumeration holds them.
    return (corrected + drawn) / (size + drawn), (alone + drawn) / (size + drawn)


def _placed(values: Floats, tested: Bools) -> Floats:
    placed = np.full(tested.shape, np.nan)
    placed[tested] = values
    return placed


def _ratio(above: Floats, below: NDArray[np.floating] | NDArray[np.integer]) -> Floats:
    nothing = np.full(np.shape(above), np.nan)
    return np.asarray(np.divide(above, below, where=below > 0, out=nothing), np.float64)
