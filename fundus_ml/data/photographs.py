"""What every source hands over: rows about eyes, and a way to load each photograph."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

OFFERED_COLUMNS = (
    "image_id",
    "source",
    "patient_id",
    "eye",
    "sex",
    "age",
    "camera",
    "healthy",
    "flags",
)
"""What a source says of every eye; ``flags`` are remarks such as ``placeholder age``, joined by
``"; "``, empty where there is none. Columns of a source's own, such as ``disease_*`` (0 or 1),
follow them into the manifest."""


class Photograph(NamedTuple):
    """One frame as the camera left it, perhaps decoded smaller.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB, upright.
        regions: ``(H, W)`` uint8 map of ``REGION_FLAGS``, or None where the source has none.
        width: Width of the original photograph, pixels; ``W`` may be less.
        height: Likewise.
        sha256: 64 hexadecimal digits: of the file, or of the pixels where it never was one.
        remarks: Flags the photograph itself gives its eye, such as ``scaled from 16 bits``.
    """

    image: NDArray[np.uint8]
    regions: NDArray[np.uint8] | None
    width: int
    height: int
    sha256: str
    remarks: tuple[str, ...] = ()


Load = Callable[[dict[str, object], int], Photograph]
"""Row of a release's table, least pixels of the shorter side → its photograph."""


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """A release read into rows, before any photograph is opened.

    Attributes:
        name: The source, such as ``odir``.
        table: One row per eye offered, with :data:`OFFERED_COLUMNS` and what ``load`` needs.
        rejected: ``image_id``, ``reason``, ``detail`` of every row the source itself refuses.
        load: Turns one row of ``table`` into its photograph, whose shorter side may be decoded
            down to the given number of pixels but not below; picklable, raises
            :class:`~fundus_ml.errors.Refused` when the photograph cannot be read.
        assumed: What was assumed to read the tables and find the photographs, a line each.
        advice: Where missing files were looked for and what lies there instead; empty where most
            were found.
    """

    name: str
    table: pd.DataFrame
    rejected: pd.DataFrame
    load: Load
    assumed: tuple[str, ...] = ()
    advice: str = ""
