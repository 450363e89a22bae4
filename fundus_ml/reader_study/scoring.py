"""What readers reached, each alone and all together, under every condition."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from fundus_ml.errors import InputError
from fundus_ml.reader_study.drawing import CATCH, MODULATED, REAL
from fundus_ml.reader_study.pooling import crossed_errors
from fundus_ml.reader_study.sensitivity import d_prime_interval, lapse_rate
from fundus_ml.reader_study.spread import Measured, of_many, of_one
from fundus_ml.statistics.bootstrap import Counts, Floats, Interval
from fundus_ml.statistics.ranking import divide

__all__ = ["ALL", "ATTENTIVE", "modulated_minus_real", "score_readers"]

ALL, ATTENTIVE = "all readers", "without flagged"
"""Who a pooled row is about; no reader's id holds a blank."""


def score_readers(
    answers: pd.DataFrame, *, catch_allowed: int = 1, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Score every reader and all of them, under each condition.

    Args:
        answers: As :func:`~fundus_ml.reader_study.answers.read_answers` returns them.
        catch_allowed: Catch trials a reader may get wrong without being flagged.
        resamples: Bootstrap samples behind each interval that has no exact form.
        seed: Seed of the bootstrap.

    Returns:
        One row per condition and reader, then ``all readers`` and, where some but not all are
        flagged, ``without flagged``: ``condition reader readers trials reaction_ms catch_trials
        catch_failed flagged lapse`` and, with ``_low`` and ``_high``, ``accuracy d_prime
        corrected_accuracy corrected_d_prime criterion``. ``reaction_ms`` is the median, ``flagged``
        counts readers. An open interval ends at infinity; NaN stands where nothing was counted,
        and where lapses leave nothing to correct.

    Raises:
        InputError: All answers are to catch trials, or ``catch_allowed`` is negative.
    """
    if catch_allowed < 0:
        raise InputError(f"catch_allowed={catch_allowed}: must be at least 0")
    if (answers["condition"] == CATCH).all():
        raise InputError("answers: all are to catch trials, which do not count")
    rows: list[dict[str, str | float]] = []
    for condition, counted in _by_condition(_with_flags(answers, catch_allowed)):
        groups = [(str(reader), theirs, of_one) for reader, theirs in counted.groupby("reader")]
        groups.append((ALL, counted, of_many))
        attentive = counted[~counted["flagged"]]
        if 0 < len(attentive) < len(counted):
            groups.append((ATTENTIVE, attentive, of_many))
        rows += [
            {
                "condition": condition,
                "reader": name,
                **_counts(theirs),
                **_named(measured(theirs, resamples=resamples, seed=seed), theirs),
            }
            for name, theirs, measured in groups
        ]
    return pd.DataFrame(rows)


def modulated_minus_real(
    answers: pd.DataFrame, *, resamples: int = 2000, seed: int = 0
) -> Interval | None:
    """Accuracy on modulated pairs minus that on real ones, over readers and eyes.

    Args:
        answers: As for :func:`score_readers`.
        resamples: Bootstrap samples of each kind.
        seed: Seed of the draws.

    Returns:
        In [-1, 1]; None where a condition has no answers.
    """
    counted = answers[answers["condition"] != CATCH]
    if set(counted["condition"]) != {MODULATED, REAL}:
        return None
    correct = counted["correct"].to_numpy(np.float64)
    modulated = (counted["condition"] == MODULATED).to_numpy(np.float64)
    rows = np.stack([correct * modulated, modulated, correct * (1 - modulated), 1 - modulated], -1)

    def difference(counts: Counts) -> Floats:
        right, trials, right_real, trials_real = (counts @ rows).T
        return (divide(right, trials) - divide(right_real, trials_real))[np.newaxis]

    value = float(difference(np.ones((1, len(rows)), np.int32))[0, 0])
    half = float(crossed_errors(difference, counted, resamples=resamples, seed=seed)[0])
    return Interval(value, max(-1.0, value - half), min(1.0, value + half))


def _with_flags(answers: pd.DataFrame, catch_allowed: int) -> pd.DataFrame:
    """Mark the answers of readers who failed more catch trials than are allowed."""
    failed = (answers["condition"] == CATCH) & ~answers["correct"]
    return answers.assign(
        flagged=failed.groupby(answers["reader"]).transform("sum") > catch_allowed
    )


def _by_condition(answers: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Answers under each condition that has any, with the catch trials of those who gave them."""
    for condition in (MODULATED, REAL):
        under = answers["condition"] == condition
        who = answers.loc[under, "reader"].unique()
        if len(who):
            catch = (answers["condition"] == CATCH) & answers["reader"].isin(who)
            yield condition, answers[under | catch]


def _counts(answers: pd.DataFrame) -> dict[str, float]:
    catch = answers["condition"] == CATCH
    failed = int((~answers.loc[catch, "correct"]).sum())
    return {
        "readers": answers["reader"].nunique(),
        "trials": int((~catch).sum()),
        "reaction_ms": float(answers.loc[~catch, "reaction_ms"].median()),
        "catch_trials": int(catch.sum()),
        "catch_failed": failed,
        "flagged": answers.loc[answers["flagged"], "reader"].nunique(),
        "lapse": float(lapse_rate(failed, int(catch.sum()))),
    }


def _named(measured: Measured, answers: pd.DataFrame) -> dict[str, float]:
    """Spread the measures and the sensitivities they mean over columns."""
    trials = int((answers["condition"] != CATCH).sum())
    columns = {
        "accuracy": measured["accuracy"],
        "d_prime": d_prime_interval(measured["accuracy"], trials),
        "corrected_accuracy": measured["corrected_accuracy"],
        "corrected_d_prime": d_prime_interval(measured["corrected_accuracy"], trials),
        "criterion": measured["criterion"],
    }
    return {
        column: value
        for name, found in columns.items()
        for column, value in found.columns(name).items()
    }
