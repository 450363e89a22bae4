"""Ages in bands: what splits are stratified by, weights balance and an audit counts."""

from itertools import pairwise

import numpy as np
import pandas as pd

AGE_EDGES = (30, 40, 50, 60, 70, 80)
"""Years at which the next band begins; below the first and from the last on are bands too."""
UNKNOWN = "unknown"
"""Band of a missing age."""
BANDS = (
    f"0-{AGE_EDGES[0] - 1}",
    *(f"{low}-{high - 1}" for low, high in pairwise(AGE_EDGES)),
    f"{AGE_EDGES[-1]}+",
)
"""All bands of known ages, from the youngest."""


def age_bands(age: pd.Series) -> pd.Series:
    """Name the band of every age.

    Args:
        age: Years, NaN where unknown.

    Returns:
        One of :data:`BANDS`, or :data:`UNKNOWN`, on the index of ``age``.
    """
    return (
        pd.cut(age, [-np.inf, *AGE_EDGES, np.inf], right=False, labels=list(BANDS))
        .astype(object)
        .fillna(UNKNOWN)
        .astype(str)
        .rename("age_band")
    )
