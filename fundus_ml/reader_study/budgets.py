"""Which budget of a modulation readers are shown."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from fundus_ml.errors import InputError

HALF = 0.5
"""Share of eyes that a budget chosen by itself should bring to the target."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A budget of a modulation.

    Attributes:
        eps: Its size.
        success: Share of the eyes that the network sees as the target there.
    """

    eps: float
    success: float

    @property
    def words(self) -> str:
        """Say why this one was chosen."""
        if self.success >= HALF:
            why = f"largest budget of the run at which half are seen as target ({self.success:.0%})"
        else:
            why = f"largest budget of the run; at none are half seen as target ({self.success:.0%})"
        return f"eps=auto: {self.eps:g}, {why}"


def choose_budget(modulations: pd.DataFrame, eps: float | Literal["auto"]) -> Budget:
    """Look a budget up, or choose one.

    Args:
        modulations: ``eps success``, one row per eye and budget.
        eps: One of those budgets. ``auto`` takes the largest at which at least half of the eyes are
            seen as the target, and the largest of all where there is none.

    Raises:
        InputError: The modulation has no such budget.
    """
    success = modulations.groupby("eps")["success"].mean().sort_index()
    if eps == "auto":
        reached = success[success >= HALF]
        found = success if reached.empty else reached
        return Budget(eps=float(found.index[-1]), success=float(found.iloc[-1]))
    found = success[np.isclose(success.index, eps)]
    if found.empty:
        offered = ", ".join(f"{each:g}" for each in success.index)
        raise InputError(f"eps={eps:g}: not a budget of this modulation, which has {offered}")
    return Budget(eps=float(found.index[0]), success=float(found.iloc[0]))
