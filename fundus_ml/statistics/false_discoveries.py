"""Rates of false discoveries over a table some of whose rows were not tested."""

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

__all__ = ["q_values"]


def q_values(p_values: pd.Series) -> "pd.Series[float]":
    """Adjust p-values for the number of tests.

    Args:
        p_values: NaN where nothing was tested.

    Returns:
        The smallest rate of false discoveries at which each counts, NaN where ``p_values`` is.

    Source:
        Benjamini & Hochberg 1995, by ``scipy.stats.false_discovery_control``.
    """
    found = pd.Series(np.nan, index=p_values.index, name=p_values.name)
    tested = p_values.notna()
    if tested.any():
        found[tested] = false_discovery_control(p_values[tested].to_numpy(float))
    return found
