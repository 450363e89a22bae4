"""What a share of right answers says: sensitivity, side bias, lapses."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, norm

from fundus_ml.statistics.bootstrap import CONFIDENCE, Floats, Interval

__all__ = [
    "accuracy_interval",
    "criterion",
    "d_prime",
    "d_prime_interval",
    "lapse_corrected",
    "lapse_rate",
    "log_linear",
]

UNDEFINED = Interval(math.nan, math.nan, math.nan)


def accuracy_interval(correct: int, trials: int) -> Interval:
    """Share of right answers with Wilson's 95 % interval, trials counting as independent.

    Source:
        Wilson 1927, J. Am. Stat. Assoc. 22(158); Brown, Cai & DasGupta 2001, Statistical Science
        16(2), who find that it covers as often as it says where the exact one covers more.
    """
    if not trials:
        return UNDEFINED
    ends = binomtest(correct, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(correct / trials, float(ends.low), float(ends.high))


def log_linear(correct: ArrayLike, trials: ArrayLike) -> Floats:
    """Share of right answers, kept off 0 and 1 by half an answer where it would lie there.

    Args:
        correct: Number of right answers, any shape.
        trials: Number of answers, the same shape; NaN comes back where it is 0.

    Source:
        Hautus 1995, Behav. Res. Methods 27(1): (k + ½)/(n + 1). He corrects every share; ours
        leaves those between 0 and 1 as they are.
    """
    k, n = np.asarray(correct, np.float64), np.asarray(trials, np.float64)
    plain = np.divide(k, n, out=np.full_like(k, np.nan), where=n > 0)
    return np.where((k == 0) | (k == n), np.where(n > 0, (k + 0.5) / (n + 1), np.nan), plain)


def d_prime(accuracy: ArrayLike) -> Floats:
    """Sensitivity of an unbiased reader: √2·Φ⁻¹(accuracy); 0 is guessing.

    Args:
        accuracy: Share of right answers, any shape, in [0, 1]; 0 and 1 give minus and plus
            infinity.

    Source:
        Macmillan & Creelman 2005, Detection Theory (two alternatives, forced choice).
    """
    sensitivity: Floats = math.sqrt(2) * norm.ppf(np.asarray(accuracy, np.float64))
    return sensitivity


def d_prime_interval(accuracy: Interval, trials: int) -> Interval:
    """Sensitivity with the interval of an accuracy from ``trials`` answers.

    √2·Φ⁻¹ rises, so that the ends of the one interval are those of the other, as sure as before; an
    end at 0 or 1 becomes infinite: the interval is open there.
    """
    value = float(log_linear(accuracy.value * trials, trials))
    low, high = (float(end) for end in d_prime([accuracy.low, accuracy.high]))
    return Interval(float(d_prime(value)), low, high)


def criterion(
    left_hits: ArrayLike, lefts: ArrayLike, left_false: ArrayLike, rights: ArrayLike
) -> Floats:
    """Side bias: above 0 for readers who prefer the right, below for those who prefer the left.

    Args:
        left_hits: Answers "left" where left was right, any shape.
        lefts: Trials whose truth lay left.
        left_false: Answers "left" where right was right.
        rights: Trials whose truth lay right.

    Returns:
        -(Φ⁻¹(H) + Φ⁻¹(F))/2 of the shares H and F of answers "left" in both, in standard deviations
        of the difference the reader decides on.

    Source:
        Macmillan & Creelman 2005, Detection Theory.
    """
    hits, false = log_linear(left_hits, lefts), log_linear(left_false, rights)
    bias: Floats = (-norm.ppf(hits) - norm.ppf(false)) / 2
    return bias


def lapse_rate(catch_failed: ArrayLike, catch_trials: ArrayLike) -> Floats:
    """Share of trials answered without looking, from catch trials whose misses are half of them.

    Args:
        catch_failed: Catch trials answered wrong, any shape.
        catch_trials: Catch trials answered; NaN comes back where there are none.

    Returns:
        Twice the share of misses, at most 1.
    """
    failed, count = (np.asarray(each, np.float64) for each in (catch_failed, catch_trials))
    share = np.divide(failed, count, out=np.full_like(failed, np.nan), where=count > 0)
    rate: Floats = np.minimum(1.0, 2 * share)
    return rate


def lapse_corrected(accuracy: ArrayLike, lapse: ArrayLike) -> Floats:
    """Accuracy on the trials that were looked at: (p - λ/2)/(1 - λ), inside [0, 1].

    Args:
        accuracy: Share p of right answers, any shape.
        lapse: Lapse rate λ; where it is 1 the limit stands, 0, ½ or 1.

    Source:
        Wichmann & Hill 2001, Percept. Psychophys. 63(8), solved for the accuracy without lapses; a
        reader who lapses guesses.
    """
    p, rate = np.asarray(accuracy, np.float64), np.asarray(lapse, np.float64)
    looked = np.where(rate >= 1, np.finfo(np.float64).tiny, 1 - rate)
    with np.errstate(over="ignore"):
        corrected: Floats = np.clip(0.5 + (p - 0.5) / looked, 0.0, 1.0)
    return corrected
