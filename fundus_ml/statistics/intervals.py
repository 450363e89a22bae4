"""Intervals from bootstrap replicates where the percentiles of the replicates do not cover."""

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import CONFIDENCE, Floats, Interval, percentile_interval

__all__ = ["gap_interval", "logit_interval", "widened"]

REACH = float(norm.ppf((1 + CONFIDENCE) / 2))
"""Standard errors from the middle of a normal distribution to either end of its middle 95 %."""


def logit_interval(value: float, replicates: Floats) -> Interval:
    """Take the normal 95 % interval of the logit of a share, its error that of the replicates.

    The percentiles of an average precision on few people lie too high, because the resamples
    carry its upward bias twice; its logit is nearly normal.

    Args:
        value: The estimate on all rows, in [0, 1].
        replicates: ``(resamples,)`` in [0, 1]; NaN where undefined.

    Returns:
        ``value`` with its interval inside (0, 1); the percentile interval where ``value`` is 0 or
        1, whose logit is not finite.

    Raises:
        InputError: As :func:`fundus_ml.statistics.bootstrap.percentile_interval`.

    Source:
        Pepe 2003, The Statistical Evaluation of Medical Tests (for AUROC).
    """
    plain = percentile_interval(value, replicates)
    inside = replicates[(replicates > 0) & (replicates < 1)]
    if not 0 < value < 1 or not len(inside):
        return plain
    middle, error = logit(value), logit(inside).std()
    low, high = expit(middle + error * np.array([-REACH, REACH]))
    return Interval(value, float(low), float(high))


def gap_interval(value: float, replicates: Floats, chance: Floats) -> Interval:
    """Take the 95 % interval of a mean absolute gap, such as ECE, that chance alone opens.

    Every resample opens the gaps further than the sample did, so that the percentiles lie above
    the truth. The basic interval turns them round; its lower end is 0 where the value is no more
    than chance would show with all gaps closed.

    Args:
        value: The estimate on all rows, 0 or more.
        replicates: ``(resamples,)`` the same of each resample.
        chance: ``(resamples,)`` the same of each resample with the sample's own gaps taken off.

    Returns:
        ``value`` with an interval that may lie below it, never below 0.

    Raises:
        InputError: As :func:`fundus_ml.statistics.bootstrap.percentile_interval`.

    Source:
        Davison & Hinkley 1997, Bootstrap Methods and their Application (basic interval).
    """
    plain = percentile_interval(value, replicates)
    if not len(replicates):
        return plain
    closed = value <= np.quantile(chance, (1 + CONFIDENCE) / 2)
    low = 0.0 if closed else max(0.0, 2 * value - plain.high)
    return Interval(value, low, max(low, 2 * value - plain.low))


def widened(interval: Interval, *, among: int) -> Interval:
    """Stretch a 95 % interval so that it holds for the best of several alike.

    Args:
        interval: Interval of one of them.
        among: How many there were to choose from, 1 or more; 1 leaves the interval as it is.

    Returns:
        Both ends as much further from the value as the normal quantile at 2.5 % / ``among`` lies
        further out than that at 2.5 %.

    Raises:
        InputError: ``among`` is below 1.

    Source:
        Bonferroni; Dunn 1961, doi:10.1080/01621459.1961.10482090.
    """
    if among < 1:
        raise InputError(f"among={among}: must be 1 or more")
    if among == 1:
        return interval
    stretch = float(norm.isf((1 - CONFIDENCE) / 2 / among)) / REACH
    value = interval.value
    return Interval(
        value, value - (value - interval.low) * stretch, value + (interval.high - value) * stretch
    )
