"""What a reader study shows, in a sentence that claims no more."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from fundus_ml.reader_study.drawing import MODULATED, REAL
from fundus_ml.reader_study.page import ASKED
from fundus_ml.reader_study.scoring import ALL
from fundus_ml.statistics.bootstrap import Interval

GUESSING = 0.5
SHOWN = {MODULATED: "an eye and its modulated self", REAL: "a woman's and a man's eye"}


def what_readers_show(
    table: pd.DataFrame, *, question: str, eps: float, difference: Interval | None = None
) -> str:
    """Say what all readers together reached, under each condition.

    Args:
        table: As :func:`~fundus_ml.reader_study.scoring.score_readers` returns it.
        question: What was asked.
        eps: Budget of the modulated pictures.
        difference: As :func:`~fundus_ml.reader_study.scoring.modulated_minus_real` returns it.
    """
    said = []
    for row in table[table["reader"] == ALL].to_dict("records"):
        place = f" at eps {eps:g}" if row["condition"] == MODULATED else ""
        said.append(
            f"{SHOWN[row['condition']]}{place}: {row['trials']} answers of {_readers(row)}, "
            f"accuracy {Interval.of(row, 'accuracy'):.3f}, d' {Interval.of(row, 'd_prime'):.2f}, "
            f"{_verdict(row['accuracy_low'], row['accuracy_high'])}"
        )
    if difference is not None:
        said.append(f"modulated minus real {difference:+.3f}")
    return f"{ASKED[question]} " + "; ".join(said)


def warning_about(trials: pd.DataFrame) -> str:
    """Say what the drawn trials of a study cannot show; nothing where they can.

    Args:
        trials: As :func:`~fundus_ml.reader_study.drawing.draw_trials` returns them.
    """
    pushed = trials.loc[trials["condition"] == MODULATED, "target"].unique()
    if trials["question"].iloc[0] != "female" or len(pushed) > 1:
        return ""
    return (
        f"question=female: every eye was pushed to {pushed[0]}, so a reader who only sees which "
        "picture was changed answers as one who sees the sex; a run with mode=flip has both"
    )


def _verdict(low: float, high: float) -> str:
    if low > GUESSING:
        return "better than guessing"
    if high < GUESSING:
        return "worse than guessing"
    return "not shown to be better or worse than guessing, nor to equal it"


def _readers(row: Mapping[Hashable, Any]) -> str:
    if row["readers"] == 1:
        return "1 reader (which says nothing of others)"
    flagged = f" ({row['flagged']} flagged by catch trials)" if row["flagged"] else ""
    return f"{row['readers']} readers{flagged}"
