"""The pair that readers try the task on: its answer is shown, and it is never counted."""

from collections.abc import Hashable, Mapping

import numpy as np
import pandas as pd

from fundus_ml.reader_study.drawing import PRACTICE, SIDES, changed_pairs, with_originals

TOLD = {
    "changed": "The picture on the {side} was changed.",
    "female": "The picture on the {side} was changed towards a woman's eye.",
    "male": (
        "The picture on the {side} is the photograph; the other was changed towards a man's eye."
    ),
}


def draw_practice(modulations: pd.DataFrame, trials: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Draw the practice pair: the strongest change, of an eye that no trial shows if there is one.

    Args:
        modulations: Rows of a run's ``modulations.parquet``.
        trials: As :func:`~fundus_ml.reader_study.drawing.draw_trials` returns them.
        seed: Seed of the choice; it moves no trial.

    Returns:
        One row like those of ``trials``; ``trial`` is 0, ``condition`` practice.
    """
    generator = np.random.default_rng([seed, 1])
    changed = with_originals(modulations[modulations["l2"] > 0])
    shown = trials["truth_picture"].tolist() + trials["other_picture"].tolist()
    unseen = changed[~changed["original"].isin(shown)]
    pool = changed if unseen.empty else unseen
    strongest = pool[pool["eps"] == pool["eps"].max()]
    chosen = strongest.iloc[[generator.integers(len(strongest))]]
    question = str(trials["question"].iloc[0])
    return changed_pairs(chosen, PRACTICE, question=question).assign(
        trial=0, question=question, side_of_truth=SIDES[generator.integers(2)]
    )


def told(row: Mapping[Hashable, object]) -> str:
    """Say which picture of the practice pair was right, and why."""
    kind = row["target"] if row["question"] == "female" else "changed"
    return TOLD[str(kind)].format(side=row["side_of_truth"])
