"""What a biomarker must pass to be called a cause of a network's answer, and what fails first."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from fundus_ml.atlas.single_edits import EDIT_OF
from fundus_ml.statistics.bootstrap import CONFIDENCE

NO_EDIT = "no edit"
"""Stands for the edit of a biomarker that has none, and says why it is no claim."""

_FOUND_BELOW = 1 - CONFIDENCE


def edited(biomarker: str, edits: pd.DataFrame | None) -> dict[str, object]:
    """Say what an evaluator makes of the edit of one biomarker.

    Args:
        biomarker: Its name.
        edits: Rows of :func:`~fundus_ml.atlas.single_edits.single_edits`, or None.

    Returns:
        ``edit``, ``logit_change`` (with the sign of a rise of the biomarker) and ``logit_q``; NaN
        where there is no edit or nobody evaluated it.
    """
    row: dict[str, object] = {"edit": NO_EDIT, "logit_change": np.nan, "logit_q": np.nan}
    if biomarker not in EDIT_OF:
        return row
    chosen = EDIT_OF[biomarker]
    row["edit"] = chosen.edit
    if edits is not None:
        (told,) = edits[edits["edit"] == chosen.edit].to_dict("records")
        row["logit_change"] = chosen.sign * float(told["logit_change"])
        row["logit_q"] = float(told["q"])
    return row


def why_no_claim(row: Mapping[Hashable, Any], *, evaluated: bool) -> str:
    """Say which condition of a claim fails first; empty where none does.

    Args:
        row: ``change change_p change_q difference p q edit logit_change logit_q``.
        evaluated: Whether an independent evaluator scored the edits.
    """
    way = np.sign(row["difference"])
    passed = {
        "change not measured in enough eyes": not np.isnan(row["change_p"]),
        "classes not compared": not np.isnan(row["p"]),
        "the modulation does not move it": row["change_q"] < _FOUND_BELOW,
        "the classes do not differ": row["q"] < _FOUND_BELOW,
        "it moves against the difference": np.sign(row["change"]) == way,
        NO_EDIT: row["edit"] != NO_EDIT,
        "no evaluator": evaluated,
        "its edit does not move the evaluator": row["logit_q"] < _FOUND_BELOW,
        "its edit moves the evaluator the other way": np.sign(row["logit_change"]) == way,
    }
    return next((why for why, holds in passed.items() if not holds), "")
