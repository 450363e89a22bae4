"""Would shuffled labels be told apart as well? Grouped cross-validation, its permutation null."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from fundus_ml.statistics.bootstrap import cluster_codes

FOLDS = 5
SCORE_DIGITS = 9
"""Scores closer than this are one score: equal eyes differ by rounding alone."""
BLOCK_VALUES = 6_000_000
"""Scores held in memory at once; it bounds memory and moves no result."""

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class LabelledPeople:
    """People as units; one who stands under both labels is two.

    Attributes:
        labels: ``(units,)`` bool.
        person: ``(units,)`` number of the person.
        first: ``(units,)`` first row of each.
        unit: ``(n,)`` unit of each row.
    """

    labels: NDArray[np.bool_]
    person: Places
    first: Places
    unit: Places


@dataclass(frozen=True)
class Shuffles:
    """Labels of every row, shuffled between people many times.

    Attributes:
        labels: ``(units, permutations)`` bool; a unit is one person under one label.
        unit: ``(n,)`` unit of each row.
    """

    labels: NDArray[np.bool_]
    unit: Places

    def blocks(self) -> Iterator[NDArray[np.bool_]]:
        """Labels of every row, ``(n, block)``, so many shuffles at once as memory bears."""
        block = max(1, BLOCK_VALUES // len(self.unit))
        for start in range(0, self.labels.shape[1], block):
            yield self.labels[:, start : start + block][self.unit]


def labelled_people(labels: ArrayLike, groups: ArrayLike) -> LabelledPeople:
    """Gather rows by person and label.

    Args:
        labels: ``(n,)``, 0 or 1.
        groups: ``(n,)`` person of each row.
    """
    truth, (person, _) = np.asarray(labels).astype(bool), cluster_codes(groups)
    _, first, unit = np.unique(2 * person + truth, return_index=True, return_inverse=True)
    return LabelledPeople(truth[first], person[first], first, unit)


def grouped_folds(groups: ArrayLike, strata: ArrayLike, *, seed: int) -> list[NDArray[np.bool_]]:
    """Deal people into folds without looking at labels, so that any shuffle would get the same.

    Args:
        groups: ``(n,)`` person of each row, :data:`FOLDS` or more of them.
        strata: ``(n,)`` what the folds should hold alike, such as the source; a stratum of fewer
            rows than folds goes with the largest.
        seed: Seed of the deal.

    Returns:
        ``(n,)`` masks of the rows held out, one per fold.
    """
    person, _ = cluster_codes(groups)
    stratum, _ = cluster_codes(strata)
    sizes = np.bincount(stratum)
    stratum = np.where(sizes[stratum] < FOLDS, sizes.argmax(), stratum)
    # Nothing to hold alike: the stratified deal would take a hundred times as long for the same.
    kind = GroupKFold if (stratum == stratum[0]).all() else StratifiedGroupKFold
    dealer = kind(FOLDS, shuffle=True, random_state=seed)
    masks = np.zeros((FOLDS, len(person)), np.bool_)
    for mask, (_, held_out) in zip(masks, dealer.split(person, stratum, person), strict=True):
        mask[held_out] = True
    return list(masks)


def out_of_fold(design: Floats, targets: Floats, folds: list[NDArray[np.bool_]]) -> Floats:
    """Score every row by a ridge regression that has not seen its person.

    The penalty is one per column of ``design``. The intercept is left out: it would only say which
    label the training folds hold more of, which is the opposite of what the held-out one does.

    Args:
        design: ``(n, p)`` standardised columns.
        targets: ``(n, t)`` labels; each column is a regression of its own.
        folds: From :func:`grouped_folds`.

    Returns:
        ``(n, t)`` scores, larger for label 1.

    Source:
        Hoerl & Kennard 1970, Ridge regression, Technometrics 12(1).
    """
    scores = np.empty(targets.shape)
    for held_out in folds:
        ridge = Ridge(alpha=design.shape[1], solver="cholesky")
        ridge.fit(design[~held_out], targets[~held_out])
        centred = design[held_out] - design[~held_out].mean(axis=0)
        scores[held_out] = centred @ ridge.coef_.T.reshape(design.shape[1], -1)
    return scores.round(SCORE_DIGITS)


def column_aurocs(labels: NDArray[np.bool_], scores: Floats) -> Floats:
    """AUROC of each column of scores for its own column of labels.

    Args:
        labels: ``(n, t)`` bool, both values in each column.
        scores: ``(n, t)`` finite.

    Returns:
        ``(t,)``, ties counting one half.

    Source:
        Mann & Whitney 1947: the rank sum of the positives, with mid-ranks.
    """
    rows, columns = scores.shape
    order = np.argsort(scores.T, axis=1)
    ranked = np.take_along_axis(scores.T, order, axis=1)
    positive = np.take_along_axis(labels.T, order, axis=1)
    fresh = np.ones(ranked.shape, np.bool_)
    fresh[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    starts = np.flatnonzero(fresh)
    ends = np.append(starts[1:], rows * columns)
    middle = (starts % rows) + (ends - starts + 1) / 2
    tied = np.add.reduceat(positive.ravel().astype(np.int64), starts)
    sums = np.bincount(starts // rows, weights=tied * middle, minlength=columns)
    males = labels.sum(axis=0)
    return cast("Floats", (sums - males * (males + 1) / 2) / (males * (rows - males)))


def shuffle_between_people(
    labels: ArrayLike, groups: ArrayLike, *, permutations: int, seed: int
) -> Shuffles:
    """Hand the labels out anew, whole people at a time.

    Args:
        labels: ``(n,)``, 0 or 1. Where a person stands under both, the rows of each label move as
            a person of their own.
        groups: ``(n,)`` person of each row.
        permutations: Number of shuffles.
        seed: Seed of the shuffles.

    Returns:
        The shuffled labels.
    """
    people = labelled_people(labels, groups)
    generator = np.random.default_rng(seed)
    shuffled = np.empty((len(people.labels), permutations), np.bool_)
    for column in range(permutations):
        shuffled[:, column] = generator.permutation(people.labels)
    return Shuffles(shuffled, people.unit)


def null_aurocs(design: Floats, shuffles: Shuffles, folds: list[NDArray[np.bool_]]) -> Floats:
    """Cross-validated AUROC of a design for each shuffle of the labels.

    Args:
        design: ``(n, p)`` standardised columns.
        shuffles: From :func:`shuffle_between_people`.
        folds: From :func:`grouped_folds`.

    Returns:
        ``(permutations,)``.

    Source:
        Ojala & Garriga 2010, Permutation tests for studying classifier performance, JMLR 11.
    """
    aurocs = []
    for labels in shuffles.blocks():
        scores = out_of_fold(design, labels.astype(np.float64), folds)
        aurocs.append(column_aurocs(labels, scores))
    return np.concatenate(aurocs)


def family_p_values(observed: Floats, nulls: Floats) -> Floats:
    """Permutation p-values adjusted for the number of shortcuts: step-down maxT.

    Each AUROC is measured in standard deviations of its own null. The most striking one is compared
    with the largest of all shortcuts in each shuffle, the next one with the largest of those that
    are left, and so on; no p-value is below that of a more striking shortcut. The chance of one
    false alarm among all is at most the p-value, and related shortcuts do not count twice.

    Args:
        observed: ``(s,)`` AUROCs.
        nulls: ``(s, permutations)``: row for row their null, the same shuffles in every row.

    Returns:
        ``(s,)`` adjusted p-values, at least 1 / (1 + permutations).

    Source:
        Westfall & Young 1993, Resampling-based multiple testing (step-down maxT).
        Holm's bound cannot reach 0.01 over ten tests with 1,000 shuffles, whatever the data.
    """
    spread = nulls.std(axis=1, keepdims=True)
    # A null that no shuffle moves says nothing about the observed value, which it equals.
    spread[spread == 0] = np.inf
    middle = nulls.mean(axis=1, keepdims=True)
    striking = (observed - middle[:, 0]) / spread[:, 0]
    order = np.argsort(-striking, kind="stable")
    standardised = ((nulls - middle) / spread)[order]
    largest_left = np.maximum.accumulate(standardised[::-1], axis=0)[::-1]
    beaten = (largest_left >= striking[order, None]).sum(axis=1)
    adjusted = np.maximum.accumulate((1 + beaten) / (1 + nulls.shape[1]))
    found = np.empty_like(adjusted)
    found[order] = adjusted
    return cast("Floats", found)
