"""Answers as sums: what every measure of a reader study is made of."""

from enum import IntEnum

import numpy as np
import pandas as pd

from fundus_ml.reader_study.drawing import CATCH
from fundus_ml.reader_study.sensitivity import criterion, lapse_corrected, lapse_rate
from fundus_ml.statistics.bootstrap import Floats
from fundus_ml.statistics.ranking import divide

MEASURES = ("accuracy", "corrected_accuracy", "criterion")


class Tally(IntEnum):
    """What is counted; catch trials count in their own two alone."""

    TRIALS = 0
    CORRECT = 1
    LEFTS = 2
    LEFT_HITS = 3
    LEFT_FALSE = 4
    CATCHES = 5
    FAILED = 6


def tally_rows(answers: pd.DataFrame) -> Floats:
    """Spread each answer over what it counts for.

    Args:
        answers: ``condition side_of_truth answer correct`` of n answers.

    Returns:
        ``(n, 7)``, 0 or 1, in the order of :class:`Tally`.
    """
    catch = (answers["condition"] == CATCH).to_numpy()
    right = answers["correct"].to_numpy(bool)
    lefts = (answers["side_of_truth"] == "left").to_numpy()
    said = (answers["answer"] == "left").to_numpy()
    counted = [~catch, ~catch & right, ~catch & lefts, ~catch & lefts & said]
    counted += [~catch & ~lefts & said, catch, catch & ~right]
    return np.stack(counted, axis=-1).astype(np.float64)


def measure(totals: Floats) -> Floats:
    """Turn sums into measures.

    Args:
        totals: ``(..., 7)`` sums of :func:`tally_rows`.

    Returns:
        ``(3, ...)`` in the order of :data:`MEASURES`; NaN where nothing was counted.
    """
    parts = np.moveaxis(totals, -1, 0)
    trials, lefts = parts[Tally.TRIALS], parts[Tally.LEFTS]
    accuracy = divide(parts[Tally.CORRECT], trials)
    lapse = lapse_rate(parts[Tally.FAILED], parts[Tally.CATCHES])
    bias = criterion(parts[Tally.LEFT_HITS], lefts, parts[Tally.LEFT_FALSE], trials - lefts)
    return np.stack([accuracy, lapse_corrected(accuracy, lapse), bias])
