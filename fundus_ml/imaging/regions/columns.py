"""Regions of a square eye as columns of its row and bits of its map, and back."""

import math
from collections.abc import Mapping
from dataclasses import fields, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.imaging.field import FieldOfView
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, Laterality, Regions, Vessels

_ELLIPSES = ("disc", "cup")
_SHAPE = tuple(field.name for field in fields(Ellipse))
_POINT = tuple(field.name for field in fields(Landmark))

REGION_COLUMNS = (
    *(f"region_{part}_{name}" for part in _ELLIPSES for name in _SHAPE),
    *(f"region_fovea_{name}" for name in _POINT),
    "region_vessels_confidence",
    "region_eye",
    "region_eye_confidence",
    "region_doubts",
)
"""What a manifest says of an eye's regions: lengths in pixels of its square, angles in radians;
NaN, or an empty text, where a part is not sure. ``region_doubts`` says why, a part each."""


def region_columns(found: Regions | None) -> dict[str, object]:
    """Write regions as :data:`REGION_COLUMNS`; nothing is known of an eye without any."""
    row: dict[str, object] = dict.fromkeys(REGION_COLUMNS, math.nan)
    row |= {"region_eye": "", "region_doubts": ""}
    if found is None:
        return row
    for part, value in (("disc", found.disc), ("cup", found.cup), ("fovea", found.fovea)):
        if value:
            row |= {f"region_{part}_{f.name}": getattr(value, f.name) for f in fields(value)}
    if found.vessels:
        row["region_vessels_confidence"] = found.vessels.confidence
    if found.eye:
        row |= {"region_eye": found.eye.eye, "region_eye_confidence": found.eye.confidence}
    row["region_doubts"] = "; ".join(f"{part}: {why}" for part, why in found.doubts)
    return row


def regions_of_row(row: Mapping[str, object], drawn: NDArray[np.uint8]) -> Regions:
    """Read the regions of a square eye back.

    Args:
        row: Its row of a manifest, with :data:`REGION_COLUMNS`.
        drawn: ``(S, S)`` uint8 map of :data:`REGION_FLAGS`.
    """
    size = drawn.shape[0]
    bits = {name: drawn & flag > 0 for name, flag in REGION_FLAGS.items()}
    disc, cup = (_known(row, part, _SHAPE) for part in _ELLIPSES)
    fovea = _known(row, "fovea", _POINT)
    vessels, eye = _number(row, "region_vessels_confidence"), str(row["region_eye"])
    told = (doubt.partition(": ") for doubt in str(row["region_doubts"]).split("; ") if doubt)
    return Regions(
        shape=(size, size),
        field=FieldOfView((size - 1) / 2, (size - 1) / 2, size / 2),
        retina=bits["retina"],
        disc=Ellipse(**disc) if disc else None,
        cup=Ellipse(**cup) if cup else None,
        fovea=Landmark(**fovea) if fovea else None,
        vessels=None
        if math.isnan(vessels)
        else Vessels(
            mask=bits["vessels"],
            arteries=bits["arteries"],
            veins=bits["veins"],
            confidence=vessels,
        ),
        eye=Laterality(eye=eye, confidence=_number(row, "region_eye_confidence")) if eye else None,
        doubts=tuple((part, why) for part, _, why in told),
    )


def moved(found: Regions, factor: float, *, left: float = 0.0, top: float = 0.0) -> Regions:
    """Say where disc, cup and fovea lie once ``left``, ``top`` are cut off, the rest resized.

    The masks stay as they are.
    """
    parts = {
        part: value.scaled(factor, left=left, top=top)
        for part, value in (("disc", found.disc), ("cup", found.cup), ("fovea", found.fovea))
        if value
    }
    return replace(found, **parts)  # type: ignore[arg-type]


def seen_inside(found: Regions, size: int) -> Regions:
    """Leave out disc, cup or fovea whose centre lies outside a square of ``size`` pixels."""
    outside = {
        part: None
        for part, value in (("disc", found.disc), ("cup", found.cup), ("fovea", found.fovea))
        if value and not (0 <= value.x < size and 0 <= value.y < size)
    }
    doubts = tuple((part, "outside the square") for part in outside)
    return replace(found, **outside, doubts=(*found.doubts, *doubts))  # type: ignore[arg-type]


def _known(row: Mapping[str, object], part: str, names: tuple[str, ...]) -> dict[str, float]:
    values = {name: _number(row, f"region_{part}_{name}") for name in names}
    return {} if math.isnan(values["x"]) else values


def _number(row: Mapping[str, object], name: str) -> float:
    return float(str(row[name]))


def shares_found(rows: pd.DataFrame) -> dict[str, float]:
    """Share of eyes whose disc, cup, fovea, vessels and side are sure, by part."""
    columns = {part: f"region_{part}_confidence" for part in ("disc", "cup", "fovea", "vessels")}
    columns["eye"] = "region_eye_confidence"
    return {part: float(rows[column].notna().mean()) for part, column in columns.items()}


def least_certain(rows: pd.DataFrame, most: int) -> NDArray[np.intp]:
    """Positions of the eyes a person should look at first: most parts missing, then least sure."""
    confidences = rows[[name for name in REGION_COLUMNS if name.endswith("confidence")]]
    order = pd.DataFrame(
        {"missing": -confidences.isna().sum(axis=1), "least": confidences.min(axis=1)}
    ).reset_index(drop=True)
    return order.sort_values(["missing", "least"], kind="stable").index.to_numpy()[:most]


def other_side(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each eye looks like the other side than its row says, where both are known."""
    said, seen = rows["eye"], rows["region_eye"]
    return np.asarray(said.isin(["left", "right"]) & seen.ne("") & seen.ne(said))
