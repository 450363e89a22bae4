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
)


class Photograph(NamedTuple):
    """One frame as the camera left it.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB.
        regions: ``(H, W)`` uint8 map of ``REGION_FLAGS``, or None where the source has none.
    """

    image: NDArray[np.uint8]
    regions: NDArray[np.uint8] | None


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """A release read into rows, before any photograph is opened.

    Attributes:
        name: The source, such as ``odir``.
        table: One row per eye offered, with :data:`OFFERED_COLUMNS` and what ``load`` needs.
        rejected: ``image_id``, ``reason``, ``detail`` of every row the source itself refuses.
        load: Turns one row of ``table`` into its photograph; picklable, raises ``InputError``
            when the photograph cannot be read.
    """

    name: str
    table: pd.DataFrame
    rejected: pd.DataFrame
    load: Callable[[dict[str, object]], Photograph]
