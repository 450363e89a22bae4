"""A shortcut as columns of numbers: prepared for sums, and as measured for trees."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    SplineTransformer,
    StandardScaler,
)

TOGETHER = "everything together"
TREES = "everything together, boosted trees"
"""The same columns, read by trees, which find what lies in two of them at once."""
WHOLE = (TOGETHER, TREES)
MOST_CATEGORIES = 24
"""The rarest cameras and frames beyond this many count as one."""
FARTHEST = 4.0
"""Standard deviations from the mean beyond which a number counts as this far."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shortcut:
    """One thing about an eye that is not its anatomy.

    Attributes:
        name: Such as ``camera``.
        known: Whether it stands in the table; otherwise it was measured on the photograph, and may
            tell the sexes apart only because it tells cameras, sources or ages apart.
        design: ``(n, p)`` columns of mean 0 and standard deviation 1, for weighted sums.
        columns: ``(n, q)`` the same thing as measured, for trees: NaN where unknown, categories as
            indicators. The design where omitted.
        missing: Why it cannot be judged, or empty.
        retinal: Whether it was measured on the retina, where the sexes' anatomy may move it too.
    """

    name: str
    known: bool
    design: Floats
    columns: Floats = field(default_factory=lambda: np.empty((0, 0)))
    missing: str = ""
    retinal: bool = False

    def __post_init__(self) -> None:
        """Let trees read the design where nothing else was given."""
        if len(self.columns) != len(self.design):
            object.__setattr__(self, "columns", self.design)


def categories(name: str, values: pd.Series, constant: str) -> Shortcut:
    """Lay a category out as one indicator per value.

    Args:
        name: Name of the shortcut.
        values: ``(n,)``.
        constant: Why it cannot be judged where it does not vary.
    """
    encoder = OneHotEncoder(
        sparse_output=False, handle_unknown="ignore", max_categories=MOST_CATEGORIES
    )
    indicators = encoder.fit_transform(values.to_frame())
    design = varying(StandardScaler().fit_transform(indicators))
    missing = "" if design.shape[1] else constant
    return Shortcut(name, known=True, design=design, columns=varying(indicators), missing=missing)


def age_spline(age: pd.Series) -> Shortcut:
    """Lay age out as a cubic spline with knots every 15 years, an unknown age as its own column."""
    knots = np.arange(0, 121, 15.0)[:, None]
    prepared = make_pipeline(
        make_column_transformer(
            (
                make_pipeline(
                    SimpleImputer(strategy="median", keep_empty_features=True),
                    SplineTransformer(degree=3, knots=knots),
                ),
                ["age"],
            ),
            (FunctionTransformer(np.isnan), ["age"]),
        ),
        StandardScaler(),
    )
    years = age.clip(0, 120).to_frame("age")
    design = varying(prepared.fit_transform(years))
    missing = "" if design.shape[1] else "it is unknown or the same for every eye"
    columns = years.to_numpy(np.float64)
    return Shortcut("age", known=True, design=design, columns=columns, missing=missing)


def place_spline(name: str, share: pd.DataFrame, constant: str) -> Shortcut:
    """Lay a share in [0, 1] out as a cubic spline with ten equal spans."""
    knots = np.linspace(0, 1, 11)[:, None]
    prepared = make_pipeline(SplineTransformer(degree=3, knots=knots), StandardScaler())
    design = varying(prepared.fit_transform(share))
    missing = "" if design.shape[1] else constant
    return Shortcut(
        name, known=True, design=design, columns=share.to_numpy(np.float64), missing=missing
    )


def numbers(
    name: str,
    measured: pd.DataFrame,
    constant: str,
    *,
    known: bool = False,
    retinal: bool = False,
    squares: bool = True,
) -> Shortcut:
    """Lay numbers out with their squares, a missing number as a column of its own.

    Args:
        name: Name of the shortcut.
        measured: ``(n, q)`` numbers, NaN where unknown.
        constant: Why it cannot be judged where nothing varies.
        known: As in :class:`Shortcut`.
        retinal: As in :class:`Shortcut`.
        squares: Whether squares stand beside the numbers.
    """
    values = measured.astype(np.float64)
    prepared = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        FunctionTransformer(_with_squares if squares else _clipped),
        StandardScaler(),
    )
    design = varying(prepared.fit_transform(values))
    missing = "" if design.shape[1] else constant
    varies = (values.max() > values.min()) | (values.isna().any() & values.notna().any())
    columns = values.loc[:, varies].to_numpy()
    return Shortcut(
        name, known=known, design=design, columns=columns, missing=missing, retinal=retinal
    )


def varying(design: Floats) -> Floats:
    """Leave out constant columns, and those equal to one before up to a sign."""
    design = design[:, np.ptp(design, axis=0) > 1e-9]  # noqa: PLR2004 (rounding)
    signs = np.sign(design[:1] + (design[:1] == 0)) if len(design) else 1.0
    _, first = np.unique((design * signs).round(9), axis=1, return_index=True)
    return design[:, np.sort(first)]


def _clipped(measured: Floats) -> Floats:
    return measured.clip(-FARTHEST, FARTHEST)


def _with_squares(measured: Floats) -> Floats:
    clipped = _clipped(measured)
    return np.hstack([clipped, clipped**2])
