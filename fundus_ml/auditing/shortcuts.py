"""What could tell the sexes apart besides the eye: each shortcut as columns of numbers."""

from collections.abc import Callable
from dataclasses import dataclass

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

from fundus_ml.data.contrasts import SEX_CONTRAST, Contrast
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.imaging.margins import BORDER, COLOUR, measure_margins

AGE_BAND = 5
"""Years within which the age counts as the same where other shortcuts are judged given the age."""
TOGETHER = "everything together"
EYES_AT_ONCE = 256
MOST_CATEGORIES = 24
"""The rarest cameras and frames beyond this many count as one."""
FARTHEST = 4.0
"""Standard deviations from the mean beyond which a number counts as this far."""
CUTS = ("left", "top", "right", "bottom")
QUALITY = ("quality", "focus", "illumination", "contrast", "colour_cast", "visible_area")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shortcut:
    """One thing about an eye that is not its anatomy.

    Attributes:
        name: Such as ``camera``.
        known: Whether it stands in the table; otherwise it was measured on the photograph, and may
            tell the sexes apart only because it tells cameras, sources or ages apart.
        design: ``(n, p)`` columns of mean 0 and standard deviation 1.
        equal: ``(n,)`` values within which other shortcuts are judged, or None where tenths of
            this one's score serve.
        missing: Why it cannot be judged, or empty.
        retinal: Whether it was measured on the retina, where the sexes' anatomy may move it too.
    """

    name: str
    known: bool
    design: Floats
    equal: NDArray[np.object_] | None = None
    missing: str = ""
    retinal: bool = False


def find_shortcuts(
    dataset: FundusDataset, *, on_progress: Callable[[int, int], None] | None = None
) -> list[Shortcut]:
    """Lay out every shortcut of a dataset, those of the table first, all together last.

    Columns are prepared without looking at labels: categories one by one, age and place in the
    table as splines, other numbers with their squares, a missing number as a column of its own.

    Args:
        dataset: All its eyes, every split.
        on_progress: Called with (eyes measured, eyes in all).
    """
    frame = dataset.frame
    margins = _margins(dataset, on_progress)
    single = [
        _categories("source", frame["source"], "all eyes come from one source"),
        _categories("camera", frame["camera"], "the camera is the same or unknown for every eye"),
        _age(frame["age"]),
        _who_else(dataset),
        _row_order(frame["source"], dataset.contrast),
        _geometry(frame),
        _numbers("border and padding", margins[list(BORDER)], "every border is the same"),
        _numbers(
            "global colour", margins[list(COLOUR)], "every eye has the same colour", retinal=True
        ),
        _numbers("quality", frame[list(QUALITY)], "every eye has the same quality", retinal=True),
    ]
    together = np.hstack([shortcut.design for shortcut in single])
    empty = "" if together.shape[1] else "no shortcut varies"
    return [*single, Shortcut(TOGETHER, known=False, design=together, missing=empty, retinal=True)]


def _margins(
    dataset: FundusDataset, on_progress: Callable[[int, int], None] | None
) -> pd.DataFrame:
    measured = []
    for start in range(0, len(dataset), EYES_AT_ONCE):
        stop = min(start + EYES_AT_ONCE, len(dataset))
        measured.append(measure_margins(dataset.pixels(np.arange(start, stop))))
        dataset.release()
        if on_progress is not None:
            on_progress(stop, len(dataset))
    return pd.concat(measured, ignore_index=True)


def _categories(name: str, values: pd.Series, constant: str) -> Shortcut:
    encoder = OneHotEncoder(
        sparse_output=False, handle_unknown="ignore", max_categories=MOST_CATEGORIES
    )
    columns = make_pipeline(encoder, StandardScaler())
    design = _varying(columns.fit_transform(values.to_frame()))
    missing = "" if design.shape[1] else constant
    return Shortcut(name, known=True, design=design, equal=values.to_numpy(object), missing=missing)


def _age(age: pd.Series) -> Shortcut:
    bands = (age // AGE_BAND).fillna(-1).to_numpy(object)
    knots = np.arange(0, 121, 15.0)[:, None]
    columns = make_pipeline(
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
    design = _varying(columns.fit_transform(age.clip(0, 120).to_frame("age")))
    missing = "" if design.shape[1] else "it is unknown or the same for every eye"
    return Shortcut("age", known=True, design=design, equal=bands, missing=missing)


def _who_else(dataset: FundusDataset) -> Shortcut:
    """Diseases, where sex is asked; the sex, where anything else is: diseases come together."""
    frame = dataset.frame
    if dataset.contrast == SEX_CONTRAST:
        return _numbers("disease flags", _diseases(frame), "no disease flag varies", known=True)
    return _categories("sex", frame["sex"], "all eyes are of one sex")


def _diseases(frame: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in frame if str(name).startswith("disease_")]
    return frame[["healthy", *names]].astype(np.float64)


def _row_order(source: pd.Series, contrast: Contrast) -> Shortcut:
    """Place in the table, where sex is asked; no photograph shows that releases sort findings."""
    if contrast != SEX_CONTRAST:
        unjudged = "releases are sorted by what was found in the eyes"
        none = np.empty((len(source), 0))
        return Shortcut("row order", known=True, design=none, missing=unjudged)
    place = source.groupby(source).cumcount()
    last = source.groupby(source).transform("size") - 1
    share = (place / last.clip(lower=1)).to_frame("place")
    knots = np.linspace(0, 1, 11)[:, None]
    columns = make_pipeline(SplineTransformer(degree=3, knots=knots), StandardScaler())
    design = _varying(columns.fit_transform(share))
    missing = "" if design.shape[1] else "there is one eye alone"
    return Shortcut("row order", known=True, design=design, missing=missing)


def _geometry(frame: pd.DataFrame) -> Shortcut:
    cuts = frame["fov_cut"].str.split("+")
    numbers = pd.DataFrame(
        {
            "width": frame["width"],
            "height": frame["height"],
            "x": frame["fov_x"] / frame["width"],
            "y": frame["fov_y"] / frame["height"],
            "radius": frame["fov_radius"] / frame["width"],
            "aspect": frame["fov_aspect"],
            "confidence": frame["fov_confidence"],
            **{side: cuts.map(lambda cut, side=side: float(side in cut)) for side in CUTS},
        }
    )
    frames = frame["width"].astype(str) + "x" + frame["height"].astype(str)
    constant = "every field of view lies alike"
    name = "field-of-view geometry"
    measured = _numbers(name, numbers, constant).design
    design = np.hstack([measured, _categories(name, frames, constant).design])
    missing = "" if design.shape[1] else constant
    return Shortcut(name, known=False, design=design, missing=missing)


def _numbers(
    name: str, numbers: pd.DataFrame, constant: str, *, known: bool = False, retinal: bool = False
) -> Shortcut:
    columns = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        FunctionTransformer(_with_squares),
        StandardScaler(),
    )
    design = _varying(columns.fit_transform(numbers.astype(np.float64)))
    missing = "" if design.shape[1] else constant
    return Shortcut(name, known=known, design=design, missing=missing, retinal=retinal)


def _with_squares(numbers: Floats) -> Floats:
    clipped = numbers.clip(-FARTHEST, FARTHEST)
    return np.hstack([clipped, clipped**2])


def _varying(design: Floats) -> Floats:
    """Leave out constant columns, and those equal to one before up to a sign."""
    design = design[:, np.ptp(design, axis=0) > 1e-9]  # noqa: PLR2004 (rounding)
    signs = np.sign(design[:1] + (design[:1] == 0)) if len(design) else 1.0
    _, first = np.unique((design * signs).round(9), axis=1, return_index=True)
    return design[:, np.sort(first)]
