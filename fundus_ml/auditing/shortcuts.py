"""What could tell the sexes apart besides the eye: every shortcut of a dataset."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pandas as pd

from fundus_ml.auditing.columns import (
    TOGETHER,
    TREES,
    Shortcut,
    age_spline,
    categories,
    numbers,
    place_spline,
)
from fundus_ml.data.contrasts import SEX_CONTRAST, Contrast
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.imaging.margins import BORDER, COLOUR, measure_margins
from fundus_ml.imaging.masked_retinas import masked_retinas

MASKED = "masked retina"
"""What an 8 by 8 picture shows with the retina painted flat: border and shape of the field."""
BORDERS = ("border and padding", MASKED)
"""What is read where no retina lies, outside the circle inscribed in the square and at its rim."""
EYES_AT_ONCE = 256
CUTS = ("left", "top", "right", "bottom")
QUALITY = ("quality", "focus", "illumination", "contrast", "colour_cast", "visible_area")
GEOMETRY = ("width", "height", "fov_x", "fov_y", "fov_radius", "fov_aspect", "fov_confidence")
_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"age": ("age",), "sex": ("label",), "field-of-view geometry": GEOMETRY, "quality": QUALITY}
)
"""Columns whose cut is a question about the shortcut. Those of one shortcut follow from each other
(quality from focus, width from the frame), so it is left out whole."""


def find_shortcuts(
    dataset: FundusDataset, *, on_progress: Callable[[int, int], None] | None = None
) -> list[Shortcut]:
    """Lay out every shortcut of a dataset, those of the table first, all together last.

    Columns are prepared without looking at labels: categories one by one, age and place in the
    table as splines, other numbers with their squares, a missing number as a column of its own;
    pictures averaged over 8 by 8 cells as they are. A square around a part of the eye holds retina
    up to its corners: there border and masked retina are not judged, nor is, of a question that
    cuts a column (``age>60``), the shortcut that holds this column.

    Args:
        dataset: All its eyes, every split.
        on_progress: Called with (eyes measured, eyes in all).
    """
    frame = dataset.frame
    seen = _measured(dataset, on_progress)
    single = [
        categories("source", frame["source"], "all eyes come from one source"),
        categories("camera", frame["camera"], "the camera is the same or unknown for every eye"),
        age_spline(frame["age"]),
        _who_else(dataset),
        _row_order(frame["source"], dataset.contrast),
        _geometry(frame),
        numbers(BORDERS[0], seen[list(BORDER)], "every border is the same"),
        numbers(MASKED, seen.filter(like=MASKED), "every border is the same", squares=False),
        numbers("global colour", seen[list(COLOUR)], "every eye has the same colour", retinal=True),
        numbers("quality", frame[list(QUALITY)], "every eye has the same quality", retinal=True),
    ]
    single = [_judgeable(each, dataset) for each in single]
    together = replace(_joined(TOGETHER, single, "no shortcut varies"), retinal=True)
    return [*single, together, replace(together, name=TREES)]


def _measured(
    dataset: FundusDataset, on_progress: Callable[[int, int], None] | None
) -> pd.DataFrame:
    parts = []
    for start in range(0, len(dataset), EYES_AT_ONCE):
        stop = min(start + EYES_AT_ONCE, len(dataset))
        pixels = dataset.pixels(np.arange(start, stop))
        masked = pd.DataFrame(masked_retinas(pixels)).add_prefix(f"{MASKED} ")
        parts.append(pd.concat([measure_margins(pixels), masked], axis=1))
        dataset.release()
        if on_progress is not None:
            on_progress(stop, len(dataset))
    return pd.concat(parts, ignore_index=True)


def _who_else(dataset: FundusDataset) -> Shortcut:
    """Diseases, where sex is asked; the sex, where anything else is: diseases come together."""
    frame = dataset.frame
    if dataset.contrast == SEX_CONTRAST:
        return numbers("disease flags", _diseases(frame), "no disease flag varies", known=True)
    return categories("sex", frame["sex"], "all eyes are of one sex")


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
    return place_spline("row order", share, "there is one eye alone")


def _geometry(frame: pd.DataFrame) -> Shortcut:
    cuts = frame["fov_cut"].str.split("+")
    measured = pd.DataFrame(
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
    parts = [numbers("", measured, constant), categories("", frames, constant)]
    return _joined("field-of-view geometry", parts, constant)


def _judgeable(shortcut: Shortcut, dataset: FundusDataset) -> Shortcut:
    """Leave a shortcut out of everything, and say why, where it holds the question or the eye."""
    asked = dataset.contrast.cut_column
    if asked in _COLUMNS.get(shortcut.name, ()):
        reason = f"{asked} is the question"
    elif shortcut.name in BORDERS and dataset.crop.around_part:
        reason = "the square shows a part of the eye"
    else:
        return shortcut
    none = np.empty((len(dataset), 0))
    return replace(shortcut, design=none, columns=none, missing=reason)


def _joined(name: str, parts: Sequence[Shortcut], constant: str) -> Shortcut:
    design = np.hstack([part.design for part in parts])
    return Shortcut(
        name,
        known=False,
        design=design,
        columns=np.hstack([part.columns for part in parts]),
        missing="" if design.shape[1] else constant,
        retinal=any(part.retinal for part in parts),
    )
