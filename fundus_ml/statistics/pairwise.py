"""Every condition minus every other on the same rows: intervals and tests over people, with FDR.

Two intervals that overlap do not say that conditions are alike, and two that do not say more than
is needed: the conditions share their rows, so what counts is the difference in each row.
"""

from collections.abc import Collection, Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from fundus_ml.statistics.bootstrap import Floats
from fundus_ml.statistics.false_discoveries import q_values
from fundus_ml.statistics.sign_flips import paired_means

__all__ = ["Measure", "pairwise_differences"]

PERMUTATIONS = 9999
"""Sign vectors behind each p-value: it is never below 1/10,000."""
COLUMNS = (
    "condition",
    "other",
    "measure",
    "part",
    "eyes",
    "people",
    "difference",
    "low",
    "high",
    "p",
    "q",
)
Measure = tuple[str, str]
"""Name of a measure, and the part it is of; empty where it has none."""


def pairwise_differences(
    values: Mapping[str, Mapping[Measure, Floats]],
    groups: ArrayLike,
    *,
    apart: Collection[str] = (),
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Subtract the conditions from one another, row by row, and test the means over people.

    Args:
        values: By condition, ``(n,)`` of each measure it has; NaN where a row has none.
        groups: ``(n,)`` person of each row.
        apart: Conditions that are not compared with one another.
        permutations: Sign vectors drawn.
        seed: Seed of the draw.

    Returns:
        One row per pair of conditions and measure that both have: ``condition other measure part
        eyes people difference low high p q``. ``difference`` is the mean of ``condition`` minus
        ``other`` over the ``eyes`` that have both, with its 95 % interval; ``p`` flips signs person
        by person, ``q`` is its false discovery rate within the measure, whatever the part. NaN
        where no eye has both.

    Raises:
        InputError: As :func:`fundus_ml.statistics.sign_flips.paired_means`.

    Source:
        :func:`fundus_ml.statistics.sign_flips.paired_means`; Benjamini and Hochberg 1995.
    """
    named = [
        (one, other, *measure)
        for one, other in combinations(values, 2)
        if not {one, other} <= set(apart)
        for measure in values[one]
        if measure in values[other]
    ]
    if not named:
        return pd.DataFrame(columns=list(COLUMNS))
    gaps = [values[one][name, part] - values[other][name, part] for one, other, name, part in named]
    found = paired_means(np.stack(gaps, axis=1), groups, permutations=permutations, seed=seed)
    rows = pd.DataFrame(named, columns=list(COLUMNS[:4])).assign(
        eyes=found.rows,
        people=found.people,
        difference=found.mean,
        low=found.low,
        high=found.high,
        p=found.pvalue,
    )
    return rows.assign(q=rows.groupby("measure")["p"].transform(q_values))
