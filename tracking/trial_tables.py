"""The trials of a study as a table."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from tracking.trial_claims import FAILURE, LOST, RUN_ID, counted, is_lost


def trials_table(rows: Sequence[FrozenTrial], parameters: Iterable[str]) -> pd.DataFrame:
    """Tell every trial in a row, the killed ones that were begun again among them.

    Args:
        rows: Trials of one study, all of them.
        parameters: What they draw.

    Returns:
        Columns ``trial``, ``state``, ``value`` (where the trial ended, if it was pruned),
        ``reports``, ``seconds``, ``note``, one per parameter, ``run_id``.
    """
    names = list(parameters)
    effective = {row.number for row in counted(rows)}
    return pd.DataFrame(
        [
            {
                "trial": row.number,
                "state": row.state.name.lower(),
                "value": _value(row),
                "reports": len(row.intermediate_values),
                "seconds": row.duration.total_seconds() if row.duration else np.nan,
                "note": _note(row, begun_again=row.number not in effective),
                **{name: row.params.get(name) for name in names},
                "run_id": row.user_attrs.get(RUN_ID, ""),
            }
            for row in rows
        ],
        columns=["trial", "state", "value", "reports", "seconds", "note", *names, "run_id"],
    )


def _value(row: FrozenTrial) -> float:
    if row.state is TrialState.PRUNED and row.intermediate_values:
        return float(row.intermediate_values[max(row.intermediate_values)])
    return np.nan if row.value is None else float(row.value)


def _note(row: FrozenTrial, *, begun_again: bool) -> str:
    if begun_again:
        return f"{LOST}; begun again"
    if is_lost(row):
        return LOST
    if history := row.system_attrs.get("retry_history"):
        return f"in place of trial {history[0]}"
    return str(row.user_attrs.get(FAILURE, ""))
