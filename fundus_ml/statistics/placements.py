"""AUROC of few people: intervals on the logit scale, and a test of one part against the rest.

The error comes from how each eye lies among the eyes of the other class, added up by person, and
needs no resampling.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata, t

from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import CONFIDENCE, Floats, Interval, cluster_codes
from fundus_ml.statistics.ranking import rank, same_length

__all__ = ["auroc_apart", "logit_auroc"]

TAIL = (1 - CONFIDENCE) / 2


def logit_auroc(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> Interval:
    """AUROC with a 95 % interval that also covers where people are few and the AUROC is high.

    Args:
        labels: ``(n,)``, 0 or 1.
        scores: ``(n,)`` finite numbers, larger for label 1.
        groups: ``(n,)`` cluster of each row.

    Returns:
        AUROC with the normal interval of its logit, by Student's t with as many degrees of freedom
        as the rarer class has clusters, less one. Where all eyes are ranked rightly, from
        0.025^(1/k), k being those clusters: k disjoint pairs are in order with the k-th power of
        the AUROC at most. NaN ends where a class has one cluster.

    Raises:
        InputError: As :func:`fundus_ml.statistics.clustered.auroc`, or lengths differ.

    Source:
        DeLong et al. 1988 (placement values); Obuchowski 1997, doi:10.2307/2533958 (clusters);
        Pepe 2003, section 5.2 (logit). Ours takes t in place of the normal quantile.
    """
    part = _Part.of(labels, scores, groups)
    value, fewest = part.value, part.fewest
    if fewest < 2:  # noqa: PLR2004 (no spread of one)
        return Interval(value, float("nan"), float("nan"))
    if not 0 < value < 1:
        bound = TAIL ** (1 / fewest)
        return Interval(value, bound, 1.0) if value else Interval(value, 0.0, 1 - bound)
    error = np.sqrt((part.by_person**2).sum()) / (value * (1 - value))
    reach = t.isf(TAIL, fewest - 1) * error
    odds = value / (1 - value) * np.exp([-reach, reach])
    low, high = odds / (1 + odds)
    return Interval(value, float(low), float(high))


@dataclass(frozen=True)
class Apart:
    """The AUROC of some eyes less that of the others.

    Attributes:
        difference: In [-1, 1].
        pvalue: Two-sided, of equal AUROCs; NaN where one of the two is 0 or 1, or rests on one
            person of a class.
    """

    difference: float
    pvalue: float


def auroc_apart(
    labels: ArrayLike, scores: ArrayLike, inside: ArrayLike, groups: ArrayLike
) -> Apart:
    """Test whether the AUROC differs between some eyes and the others (an interaction).

    Args:
        labels: ``(n,)``, 0 or 1; both classes inside and outside.
        scores: ``(n,)`` finite numbers, larger for label 1.
        inside: ``(n,)`` bool, the eyes in question; a person may have eyes on both sides.
        groups: ``(n,)`` cluster of each row.

    Returns:
        The difference, and the p-value of that of the logits by Student's t.

    Raises:
        InputError: As :func:`logit_auroc`, for either part.

    Source:
        As :func:`logit_auroc`; the errors of both parts are added up by person before they are
        squared, so that people with eyes on both sides are a pair.
    """
    truth, numbers, chosen = np.asarray(labels), np.asarray(scores), np.asarray(inside, np.bool_)
    person, people = cluster_codes(groups)
    same_length(labels=len(truth), scores=len(numbers), inside=len(chosen), groups=len(person))
    both = [_Part.of(truth[rows], numbers[rows], person[rows]) for rows in (chosen, ~chosen)]
    values = np.array([part.value for part in both])
    fewest = min(part.fewest for part in both)
    difference = float(values[0] - values[1])
    if fewest < 2 or not ((values > 0) & (values < 1)).all():  # noqa: PLR2004 (no spread of one)
        return Apart(difference, float("nan"))
    moved = np.zeros(people)
    for part, sign in zip(both, (1, -1), strict=True):
        moved[part.names] += sign * part.by_person / (part.value * (1 - part.value))
    odds = np.log(values) - np.log1p(-values)
    statistic = (odds[0] - odds[1]) / np.sqrt((moved**2).sum())
    return Apart(difference, float(2 * t.sf(abs(statistic), fewest - 1)))


@dataclass(frozen=True)
class _Part:
    """What eyes score, and what each person moves it by.

    Attributes:
        value: AUROC.
        names: ``(p,)`` people, ascending.
        by_person: ``(p,)`` sum over a person's eyes of how far each moves the AUROC.
        fewest: People of the rarer class.
    """

    value: float
    names: NDArray[np.generic]
    by_person: Floats
    fewest: int

    @classmethod
    def of(cls, labels: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> "_Part":
        rank(labels, scores)  # refuses what has no AUROC
        positive, numbers = np.asarray(labels).astype(bool), np.asarray(scores, np.float64)
        names, person = np.unique(np.asarray(groups), return_inverse=True)
        same_length(labels=len(positive), groups=len(person))
        if not len(names):
            raise InputError("groups: empty, at least one row is needed")
        place = rankdata(numbers)
        moved, fewest = np.empty(len(numbers)), len(names)
        value = 0.0
        for rows in (positive, ~positive):
            others = (place[rows] - rankdata(numbers[rows])) / (~rows).sum()
            placed = others if rows is positive else 1 - others
            value = float(placed.mean())
            clusters = len(np.unique(person[rows]))
            fewest = min(fewest, clusters)
            moved[rows] = (placed - value) / rows.sum() * np.sqrt(clusters / max(1, clusters - 1))
        return cls(value, names, np.bincount(person, moved).astype(np.float64), fewest)
