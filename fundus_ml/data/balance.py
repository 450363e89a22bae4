"""Sampling weights that keep sex from being guessed by source or age, and what they cost."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.class_weight import compute_sample_weight

from fundus_ml.data.ages import UNKNOWN, age_bands
from fundus_ml.data.manifest import SEXES, SPLITS
from fundus_ml.data.options import FACTORS, check_factors
from fundus_ml.errors import InputError

ALL_AGES = "all ages"
"""The one band where age is what is asked."""


def balance_weights(
    frame: pd.DataFrame, *, by: Sequence[str] = FACTORS, of_age: bool = False
) -> pd.Series:
    """Weigh eyes within their split.

    Each factor divides what the one before it gave out, and moves nothing across: ``source`` makes
    sources weigh the same; ``age`` makes age bands weigh the same within their source, where eyes
    of unknown age keep their share; ``sex`` makes the sexes weigh the same within every cell of
    source and age band, whichever other factors are given. Cells of one sex stay as they are: see
    :func:`unbalanced_cells`. A band of few eyes makes these weigh a lot, which
    :func:`effective_size` counts.

    Args:
        frame: One row per eye with ``split``, ``source``, ``age`` and ``sex``.
        by: Any of :data:`FACTORS`; none leaves every eye at 1.
        of_age: Whether ``sex`` holds the answers to a question of age. Ages are one band then:
            held equal within bands, the answers would differ by the years next to the cut alone.

    Returns:
        Weights above 0, of mean 1 within each split, on the index of ``frame``.

    Raises:
        InputError: A factor is unknown or stands twice.

    Source:
        Inverse frequencies, as scikit-learn's ``class_weight="balanced"``; King & Zeng 2001,
        Political Analysis 9:137.
    """
    check_factors(by)
    split, source, band = (column for _, column in _cells(frame, of_age=of_age).items())
    steps = {
        "source": (source, [split]),
        "age": (band, [split, source, band == UNKNOWN]),
        "sex": (frame["sex"], [split, source, band]),
    }
    weights = pd.Series(1.0, index=frame.index, name="weight")
    for name in by:
        weights *= _balanced(*steps[name])
    return weights


def unbalanced_cells(
    frame: pd.DataFrame, *, classes: tuple[str, str] = SEXES, of_age: bool = False
) -> list[str]:
    """Name the cells of split, source and age band where no weight can make the sexes equal.

    Args:
        frame: One row per eye with ``split``, ``source``, ``age`` and ``sex``.
        classes: What stands in ``sex``, where that is another contrast's classes.
        of_age: As of :func:`balance_weights`.

    Returns:
        ``train odir 80+: 3 male, no female`` and so on, train first.
    """
    cells = _cells(frame, of_age=of_age)
    table = pd.crosstab([cells["split"], cells["source"], cells["age"]], frame["sex"])
    counts = table.reindex(columns=list(classes), fill_value=0).to_numpy()
    return [
        f"{split} {source} {band}: "
        + (
            f"{second} {classes[1]}, no {classes[0]}"
            if second
            else f"{first} {classes[0]}, no {classes[1]}"
        )
        for wanted in SPLITS
        for (split, source, band), (first, second) in zip(table.index, counts, strict=True)
        if split == wanted and 0 in (first, second)
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


def _cells(frame: pd.DataFrame, *, of_age: bool) -> pd.DataFrame:
    return frame[["split", "source"]].assign(age=ALL_AGES if of_age else age_bands(frame["age"]))


def _balanced(classes: pd.Series, within: list[pd.Series]) -> pd.Series:
    """Inverse frequency of each row's class among the rows of its group, of mean 1 there."""
    codes = pd.Series(pd.factorize(classes)[0].astype(float), index=classes.index)
    return codes.groupby(within).transform(lambda group: compute_sample_weight("balanced", group))
