"""Where the parts of an eye lie, as a row of numbers, and back from it."""

import math
from collections.abc import Mapping
from dataclasses import fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.field_of_view import FieldOfView
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, Laterality, Regions, Vessels

ANATOMY = "anatomy.parquet"
"""Table in a dataset folder: ``image_id`` and :data:`COLUMNS`, in pixels of its squares."""

_ELLIPSE = tuple(each.name for each in fields(Ellipse))
_POINT = tuple(each.name for each in fields(Landmark))
_PARTS = {"disc": _ELLIPSE, "cup": _ELLIPSE, "fovea": _POINT}
COLUMNS = (*(f"{part}_{name}" for part, names in _PARTS.items() for name in names), "side")
"""Columns of an anatomy; NaN, or an empty ``side``, where a part is not sure."""


def anatomy_row(regions: Regions) -> dict[str, object]:
    """Write disc, cup, fovea and side as :data:`COLUMNS`; vessels are kept as a map."""
    row: dict[str, object] = {}
    for part, names in _PARTS.items():
        found = getattr(regions, part)
        row |= {f"{part}_{name}": getattr(found, name) if found else math.nan for name in names}
    return row | {"side": regions.eye.eye if regions.eye else ""}


def regions_of_row(
    row: Mapping[str, object], region_map: NDArray[np.uint8] | None, size: int
) -> Regions:
    """Read regions back, for a square that the field of view fills.

    Args:
        row: :data:`COLUMNS`.
        region_map: ``(size, size)`` uint8 of ``REGION_FLAGS``, or None: retina is then the circle,
            and no vessel is known. A map without arteries and veins does not tell them apart.
        size: Side of the square, pixels.
    """
    middle = (size - 1) / 2
    field = FieldOfView(middle, middle, size / 2)
    circle = Ellipse(x=middle, y=middle, width=size, height=size).mask((size, size))
    vessels = None
    if region_map is not None:
        drawn = {name: (region_map & bit) > 0 for name, bit in REGION_FLAGS.items()}
        circle = drawn["retina"]
        if drawn["vessels"].any():
            vessels = Vessels(
                mask=drawn["vessels"], arteries=drawn["arteries"], veins=drawn["veins"]
            )
    side = row["side"]
    return Regions(
        shape=(size, size),
        field=field,
        retina=circle,
        disc=_ellipse(row, "disc"),
        cup=_ellipse(row, "cup"),
        fovea=_point(row),
        vessels=vessels,
        eye=Laterality(eye=str(side)) if isinstance(side, str) and side else None,
    )


def check_anatomy(table: pd.DataFrame, *, named: str) -> pd.DataFrame:
    """Hold a table to the columns of an anatomy.

    Args:
        table: As read.
        named: How messages name it.

    Returns:
        :data:`COLUMNS` by ``image_id``.

    Raises:
        InputError: A column is missing, or a photograph stands twice.
    """
    missing = [name for name in ("image_id", *COLUMNS) if name not in table]
    if missing:
        raise InputError(f"{named}: columns missing: {', '.join(missing)}")
    if table["image_id"].duplicated().any():
        twice = table.loc[table["image_id"].duplicated(), "image_id"].iloc[0]
        raise InputError(f"{named}: {twice} stands twice, each photograph must stand once")
    return table.set_index("image_id")[list(COLUMNS)]


def _numbers(row: Mapping[str, object], part: str) -> dict[str, float]:
    return {name: float(str(row[f"{part}_{name}"])) for name in _PARTS[part]}


def _ellipse(row: Mapping[str, object], part: str) -> Ellipse | None:
    numbers = _numbers(row, part)
    return None if any(map(math.isnan, numbers.values())) else Ellipse(**numbers)


def _point(row: Mapping[str, object]) -> Landmark | None:
    numbers = _numbers(row, "fovea")
    return None if any(map(math.isnan, numbers.values())) else Landmark(**numbers)
