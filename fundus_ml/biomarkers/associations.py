"""How each biomarker differs between two groups of people, age held equal."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from sklearn.preprocessing import SplineTransformer

from fundus_ml.biomarkers.catalogue import BY_NAME
from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import (
    Counts,
    Floats,
    Interval,
    percentile_interval,
    row_replicates,
)
from fundus_ml.statistics.false_discoveries import q_values
from fundus_ml.statistics.ranking import same_length

COLUMNS = (
    "biomarker", "label", "structure", "unit", "eyes", "people", "mean_0", "mean_1",
    "difference", "difference_low", "difference_high", "p", "q", "direction", "doi", "reason",
)  # fmt: skip
"""Columns of an association table."""

FEWEST_PEOPLE = 20
"""People of each class below which a biomarker is not compared."""
FEWEST_DIFFERENT = 10
"""People whose value is another than the commonest one, below which it is not compared either."""
_KNOTS = 4
"""Knots of the age spline, at quantiles."""
_FEWEST_AGES = 8
"""Different ages from which age is a spline; fewer are a line."""


def associate(
    values: pd.DataFrame,
    labels: ArrayLike,
    *,
    groups: ArrayLike,
    age: ArrayLike | None = None,
    contrast: str = "",
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare every biomarker between two classes.

    Args:
        values: ``(n, biomarkers)`` named columns of the catalogue, NaN where one abstained.
        labels: ``(n,)`` 0 or 1.
        groups: ``(n,)`` person of each eye.
        age: ``(n,)`` years, NaN where unknown; None holds nothing equal.
        contrast: Looks published directions up, such as ``sex``.
        resamples: Bootstrap samples of people.
        seed: Seed of the bootstrap.

    Returns:
        One row per biomarker with :data:`COLUMNS`. ``difference`` is class 1 less class 0 by least
        squares on label and age, over the standard deviation within classes, with its 95 %
        interval over people; ``p`` is two-sided from the bootstrap's standard error, ``q`` after
        Benjamini and Hochberg over all rows; ``direction`` is the published sign, 0 where none is.
        A biomarker that cannot be compared has NaN and its ``reason``.

    Raises:
        InputError: Lengths differ, a label is neither 0 nor 1, or a column is no biomarker.

    Source:
        Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    truth, people = np.asarray(labels, np.float64), np.asarray(groups)
    same_length(values=len(values), labels=len(truth), groups=len(people))
    if not np.isin(truth, (0, 1)).all():
        raise InputError("labels: each must be 0 or 1")
    unknown = [str(name) for name in values if name not in BY_NAME]
    if unknown:
        raise InputError(f"values: no biomarker is called {', '.join(unknown)}")
    ages = age_columns(np.full(len(truth), np.nan) if age is None else np.asarray(age, np.float64))
    same_length(values=len(values), age=len(ages))
    rows = []
    for name in values:
        column = values[name].to_numpy(np.float64)
        shown = np.isfinite(column)
        row = _compare(
            column[shown], truth[shown], ages[shown], people[shown], resamples=resamples, seed=seed
        )
        rows.append(_described(str(name), contrast) | row)
    table = pd.DataFrame(rows)
    return table.assign(q=q_values(table["p"]))[list(COLUMNS)]


def age_columns(age: Floats) -> Floats:
    """Turn ages into what a difference is adjusted for.

    Args:
        age: ``(n,)`` years, NaN where unknown.

    Returns:
        ``(n, k)``: a cubic spline on quantile knots, a line where there are few different ages,
        and whether the age is unknown where some are; ``(n, 0)`` where none is known.
    """
    known = np.isfinite(age)
    different = np.unique(age[known])
    if len(different) < 2:  # noqa: PLR2004 (nothing to hold equal)
        return np.empty((len(age), 0))
    filled = np.where(known, age, np.median(age[known]))[:, None]
    if len(different) < _FEWEST_AGES:
        columns = (filled - filled.mean()) / filled.std()
    else:
        spline = SplineTransformer(_KNOTS, degree=3, knots="quantile", include_bias=False)
        columns = spline.fit_transform(filled)
    return np.asarray(columns if known.all() else np.hstack([columns, ~known[:, None]]), np.float64)


def _described(name: str, contrast: str) -> dict[str, object]:
    biomarker = BY_NAME[name]
    said = next((each for each in biomarker.directions if each.contrast == contrast), None)
    return {
        "biomarker": name,
        "label": biomarker.label,
        "structure": biomarker.structure,
        "unit": biomarker.unit,
        "direction": said.sign if said else 0,
        "doi": said.doi if said else "",
    }


def _compare(
    values: Floats,
    truth: Floats,
    ages: Floats,
    people: NDArray[np.generic],
    *,
    resamples: int,
    seed: int,
) -> dict[str, object]:
    counted = [len(np.unique(people[truth == label])) for label in (0, 1)]
    row: dict[str, object] = {
        "eyes": len(values),
        "people": len(np.unique(people)),
        "mean_0": values[truth == 0].mean() if counted[0] else math.nan,
        "mean_1": values[truth == 1].mean() if counted[1] else math.nan,
        "p": math.nan,
        "reason": "",
    }
    nothing = Interval(math.nan, math.nan, math.nan).columns("difference")
    if min(counted) < FEWEST_PEOPLE:
        few = f"{min(counted)} people of one class have it, {FEWEST_PEOPLE} are needed"
        return row | nothing | {"reason": few}
    different = len(np.unique(people[~np.isclose(values, _commonest(values), rtol=1e-9)]))
    if different < FEWEST_DIFFERENT:
        alike = f"it is the same in all but {different} people" if different else "it never differs"
        return row | nothing | {"reason": alike}
    statistic = _standardised(values, truth, ages)
    whole = float(statistic(np.ones((1, len(values)), np.int32))[0])
    replicates = row_replicates(statistic, people, resamples=resamples, seed=seed)
    spread = float(np.nanstd(replicates, ddof=1))
    p = 2 * float(norm.sf(abs(whole) / spread)) if spread else math.nan
    return row | percentile_interval(whole, replicates).columns("difference") | {"p": p}


def _commonest(values: Floats) -> float:
    different, counts = np.unique(values, return_counts=True)
    return float(different[counts.argmax()])


def _standardised(values: Floats, truth: Floats, ages: Floats) -> Callable[[Counts], Floats]:
    """Map ``(block, n)`` weights to ``(block,)`` differences in standard deviations within classes.

    NaN where a class is absent.
    """
    centred = (values - values.mean()) / values.std()
    design = np.column_stack([truth, np.ones_like(truth), ages])
    terms = design.shape[1]
    squares = (design[:, :, None] * design[:, None, :]).reshape(len(truth), -1)
    products = design * centred[:, None]
    classes = np.column_stack([truth == 0, truth == 1]).astype(np.float64)
    moments = np.hstack([classes * centred[:, None] ** power for power in (0, 1, 2)])

    def difference(counts: Counts) -> Floats:
        inverse = np.linalg.pinv((counts @ squares).reshape(-1, terms, terms), hermitian=True)
        slope = (inverse @ (counts @ products)[..., None])[:, 0, 0]
        size, total, square = np.split(counts @ moments, 3, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            within = (square - total**2 / size).sum(axis=1) / (size.sum(axis=1) - 2)
            return np.asarray(np.where((size > 1).all(axis=1), slope / np.sqrt(within), np.nan))

    return difference
