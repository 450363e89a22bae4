"""Everything one set of logits is judged by, under many weightings at once, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fundus_ml.evaluation.calibration import (
    BINS,
    UNCALIBRATED,
    Calibration,
    bin_gaps,
    probabilities,
)
from fundus_ml.statistics.bootstrap import (
    Floats,
    Interval,
    percentile_interval,
    row_replicates,
)
from fundus_ml.statistics.intervals import gap_interval, logit_interval
from fundus_ml.statistics.ranking import Ranking, divide, rank, same_length

__all__ = ["MEASURES", "SortedLogits", "clustered_measures", "sort_logits"]

MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "auroc": "chance that an eye of the second class scores above one of the first",
        "auprc": "average precision of calling the second class",
        "accuracy": "share named rightly at P = 1/2",
        "balanced_accuracy": "mean of sensitivity and specificity",
        "sensitivity": "share of the second class above the threshold",
        "specificity": "share of the first class not above it",
        "brier": "mean squared error of P",
        "brier_calibrated": "the same at the fitted temperature",
        "ece": "expected calibration error of P",
        "ece_calibrated": "the same at the fitted temperature",
    }
)
"""Name and meaning of every measure, in the order of :meth:`SortedLogits.measure`."""

CHANCE: Mapping[str, str] = MappingProxyType(
    {"ece": "chance_ece", "ece_calibrated": "chance_ece_calibrated"}
)
"""What chance alone adds to a measure, for those that chance can only raise."""


@dataclass(frozen=True)
class SortedLogits:
    """One set of logits, sorted and laid out so that any weighting of its rows is cheap.

    Attributes:
        ranking: The rows by falling logit.
        columns: ``(n, k)`` in that order: what the measures that are no ranking sum over rows.
    """

    ranking: Ranking
    columns: Floats

    def measure(self, weights: NDArray[np.generic]) -> Floats:
        """Compute every measure under each weighting.

        Args:
            weights: ``(m, n)``, 0 or more, **in the order of** ``ranking.order``.

        Returns:
            ``(len(MEASURES) + 2, m)``; NaN where a weighting leaves a measure undefined. The last
            two are both ECEs with the gaps that the unweighted rows show taken off: what chance
            alone opens.
        """
        auroc, auprc = self.ranking.measure(weights)
        sums = (weights.astype(np.float64) @ self.columns).T
        rows, positive, right, true_positive, true_negative, brier, brier_calibrated = sums[:7]
        sensitivity = divide(true_positive, positive)
        specificity = divide(true_negative, rows - positive)
        gaps = divide(sums[7:], np.broadcast_to(rows, sums[7:].shape))
        opened = gaps - self.columns[:, 7:].mean(axis=0)[:, None]
        return np.stack(
            [
                auroc,
                auprc,
                divide(right, rows),
                (sensitivity + specificity) / 2,
                sensitivity,
                specificity,
                divide(brier, rows),
                divide(brier_calibrated, rows),
                *_both_eces(gaps),
                *_both_eces(opened),
            ]
        )


def sort_logits(
    labels: ArrayLike, logits: ArrayLike, *, calibration: Calibration = UNCALIBRATED
) -> SortedLogits:
    """Lay out logits for :meth:`SortedLogits.measure`.

    Args:
        labels: ``(n,)``, 0 or 1, both present.
        logits: ``(n,)`` finite numbers, larger for label 1.
        calibration: Fitted on other eyes.

    Raises:
        InputError: As :func:`fundus_ml.statistics.ranking.rank`.
    """
    ranking = rank(labels, logits)
    positive = ranking.positive
    logit = np.asarray(logits, dtype=np.float64)[ranking.order]
    called = logit > calibration.threshold
    raw = probabilities(logit)
    scaled = probabilities(logit, temperature=calibration.temperature)
    plain = [
        np.ones_like(positive),
        positive,
        (logit > 0) == (positive == 1),
        positive * called,
        (1 - positive) * ~called,
        (raw - positive) ** 2,
        (scaled - positive) ** 2,
    ]
    columns = np.column_stack([*plain, bin_gaps(positive, raw), bin_gaps(positive, scaled)])
    return SortedLogits(ranking, columns)


def clustered_measures(
    labels: ArrayLike,
    logits: ArrayLike,
    groups: ArrayLike,
    *,
    calibration: Calibration = UNCALIBRATED,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Compute every measure with its interval over clusters, all from the same resamples.

    Args:
        labels: ``(n,)``, 0 or 1, both present.
        logits: ``(n,)`` finite numbers, larger for label 1.
        groups: ``(n,)`` cluster of each row.
        calibration: Fitted on other eyes.
        resamples: Number of bootstrap samples.
        seed: Seed of the draw.

    Returns:
        An interval for each of :data:`MEASURES`.

    Raises:
        InputError: As :func:`sort_logits`, or more than 5 % of the resamples hold one class only.
    """
    judged, people = sort_logits(labels, logits, calibration=calibration), np.asarray(groups)
    same_length(labels=len(judged.columns), groups=len(people))
    values = judged.measure(np.ones((1, len(people))))[:, 0]
    replicates = row_replicates(
        judged.measure, people[judged.ranking.order], resamples=resamples, seed=seed
    )
    drawn = dict(zip((*MEASURES, *CHANCE.values()), replicates, strict=True))
    return {
        name: _interval(name, float(value), drawn)
        for name, value in zip(MEASURES, values, strict=False)
    }


def _interval(name: str, value: float, drawn: Mapping[str, Floats]) -> Interval:
    if name in CHANCE:
        return gap_interval(value, drawn[name], drawn[CHANCE[name]])
    if name == "auprc":
        return logit_interval(value, drawn[name])
    return percentile_interval(value, drawn[name])


def _both_eces(gaps: Floats) -> Floats:
    """Add up the absolute gaps of each of two calibrations: ``(2 * BINS, m)`` to ``(2, m)``."""
    eces: Floats = np.abs(gaps).reshape(2, BINS, -1).sum(axis=1)
    return eces
