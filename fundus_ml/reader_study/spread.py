"""How sure each measure is: of one reader over their trials, of several over readers and eyes."""

import numpy as np
import pandas as pd

from fundus_ml.errors import InputError
from fundus_ml.reader_study.pooling import crossed_errors
from fundus_ml.reader_study.sensitivity import (
    UNDEFINED,
    accuracy_interval,
    lapse_corrected,
    lapse_rate,
)
from fundus_ml.reader_study.tallies import MEASURES, Tally, measure, tally_rows
from fundus_ml.statistics.bootstrap import Floats, Interval, cluster_counts, percentile_interval

Measured = dict[str, Interval]
"""By the names in :data:`~fundus_ml.reader_study.tallies.MEASURES`."""


def of_one(answers: pd.DataFrame, *, resamples: int, seed: int) -> Measured:
    """Measure one reader: the accuracy with Wilson's interval, the others by bootstrap over trials.

    Trials that count and catch trials are drawn apart, as many as there were of each. A bootstrap
    of a reader without a lapse takes lapses for impossible, of one without an error errors too: the
    interval of the corrected accuracy therefore holds that of the accuracy at the lapse rate found.

    Args:
        answers: One reader's under one condition, catch trials included.
        resamples: Number of bootstrap samples.
        seed: Seed of the draw.
    """
    tallies = tally_rows(answers)
    totals = tallies.sum(axis=0)
    drawn = np.zeros((resamples, len(totals)))
    for place, kind in enumerate((Tally.TRIALS, Tally.CATCHES)):
        rows = tallies[tallies[:, kind] == 1]
        if len(rows):
            draws = cluster_counts(np.arange(len(rows)), resamples=resamples, seed=seed + place)
            drawn += draws @ rows
    values, replicates = measure(totals), measure(drawn)
    _, corrected, bias = map(_percentiles, values.tolist(), replicates)
    return _named(UNDEFINED, corrected, bias, totals)


def of_many(answers: pd.DataFrame, *, resamples: int, seed: int) -> Measured:
    """Measure several readers together, each answer counting once.

    Args:
        answers: Theirs under one condition, catch trials included.
        resamples: Number of bootstrap samples of each kind.
        seed: Seed of the draws.

    Returns:
        Intervals for other readers and other eyes, see
        :func:`~fundus_ml.reader_study.pooling.crossed_errors`; those of both accuracies never
        narrower than that of as many answers independent of each other.
    """
    tallies = tally_rows(answers)
    totals = tallies.sum(axis=0)
    halves = crossed_errors(
        lambda counts: measure(counts @ tallies), answers, resamples=resamples, seed=seed
    )
    values = measure(totals)
    ends = np.stack([values, values - halves, values + halves], axis=-1)
    accuracy, corrected, bias = (Interval(*row) for row in ends.tolist())
    return _named(accuracy, corrected, bias, totals)


def _named(accuracy: Interval, corrected: Interval, bias: Interval, totals: Floats) -> Measured:
    """Name the measures, both accuracies no surer than independent answers."""
    exact = accuracy_interval(int(totals[Tally.CORRECT]), int(totals[Tally.TRIALS]))
    lapse = float(lapse_rate(totals[Tally.FAILED], totals[Tally.CATCHES]))
    looked = UNDEFINED
    if lapse < 1:
        ends = lapse_corrected([exact.value, exact.low, exact.high], lapse)
        looked = Interval(*ends.tolist())
    found = (_widened(accuracy, exact), _widened(corrected, looked), bias)
    return dict(zip(MEASURES, found, strict=True))


def _widened(interval: Interval, least: Interval) -> Interval:
    if np.isnan(least.value):
        return least
    ends = np.fmin(interval.low, least.low), np.fmax(interval.high, least.high)
    return Interval(least.value, *np.clip(ends, 0.0, 1.0).tolist())


def _percentiles(value: float, replicates: Floats) -> Interval:
    try:
        return percentile_interval(value, replicates)
    except InputError:  # too many resamples without a trial of one side
        return Interval(value, np.nan, np.nan)
