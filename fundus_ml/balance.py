"""Sampling weights that keep sex from being guessed by source or age, and what they cost."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.class_weight import compute_sample_weight

from fundus_ml.ages import age_bands
from fundus_ml.errors import InputError
from fundus_ml.manifest import SEXES, SPLITS

FACTORS = ("sex", "source", "age")
"""What weights can make equal; ages are taken in bands."""


def balance_weights(frame: pd.DataFrame, *, by: Sequence[str] = FACTORS) -> pd.Series:
    """Weigh eyes within their split.

    ``source`` and ``age`` make sources, age bands or, both given, their cells weigh the same.
    ``sex`` makes both sexes weigh the same within every cell of source and age band that holds
    both, whichever others are given, and moves no weight from cell to cell. Cells of one sex stay
    as they are: see :func:`unbalanced_cells`.

    Args:
        frame: One row per eye with ``split``, ``source``, ``age`` and ``sex``.
        by: Any of :data:`FACTORS`; none leaves every eye at 1.

    Returns:
        Weights above 0, of mean 1 within each split, on the index of ``frame``.

    Raises:
        InputError: A factor is unknown or stands twice.

    Source:
        Inverse frequencies, as scikit-learn's ``class_weight="balanced"``; King & Zeng 2001,
        Political Analysis 9:137.
    """
    check_factors(by)
    cells = _cells(frame)
    weights = pd.Series(1.0, index=frame.index)
    outer = [cells[name] for name in by if name != "sex"]
    if outer:
        weights *= _balanced(cells.groupby(outer).ngroup(), within=[cells["split"]])
    if "sex" in by:
        weights *= _balanced(
            frame["sex"].map(SEXES.index),
            within=[cells["split"], cells["source"], cells["age"]],
        )
    return weights.rename("weight")


def check_factors(by: Sequence[str]) -> None:
    """Refuse factors that no weight can balance.

    Raises:
        InputError: One is unknown or stands twice.
    """
    for name in by:
        if name not in FACTORS:
            raise InputError(f"balance={name}: allowed: {', '.join(FACTORS)}")
    if len(set(by)) < len(by):
        raise InputError(f"balance={','.join(by)}: a factor stands twice")


def unbalanced_cells(frame: pd.DataFrame) -> list[str]:
    """Name the cells of split, source and age band where no weight can make the sexes equal.

    Args:
        frame: One row per eye with ``split``, ``source``, ``age`` and ``sex``.

    Returns:
        ``train odir 80+: 3 male, no female`` and so on, train first.
    """
    cells = _cells(frame)
    table = pd.crosstab([cells["split"], cells["source"], cells["age"]], frame["sex"])
    counts = table.reindex(columns=list(SEXES), fill_value=0).to_numpy()
    return [
        f"{split} {source} {band}: "
        + (f"{male} male, no female" if male else f"{female} female, no male")
        for wanted in SPLITS
        for (split, source, band), (female, male) in zip(table.index, counts, strict=True)
        if split == wanted and 0 in (female, male)
    ]


def effective_size(weights: ArrayLike) -> float:
    """Count the unweighted eyes that would say as much as the weighted ones.

    Args:
        weights: ``(n,)``, at least 0.

    Returns:
        From 1 to ``n``; ``n`` where all weigh the same.

    Raises:
        InputError: No weight is above 0, or one is below.

    Source:
        Kish 1965, Survey Sampling: ``(sum w)^2 / sum w^2``.
    """
    each = np.asarray(weights, np.float64)
    if not each.sum() > 0 or (each < 0).any():
        raise InputError("weights: must be at least 0, and one above")
    return float(each.sum() ** 2 / (each**2).sum())


def _cells(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[["split", "source"]].assign(age=age_bands(frame["age"]))


def _balanced(classes: pd.Series, *, within: list[pd.Series]) -> pd.Series:
    """Inverse frequency of each row's class among the rows of its group, of mean 1 there."""
    return (
        classes.astype(float)
        .groupby(within)
        .transform(lambda group: compute_sample_weight("balanced", group))
    )
