"""Where the mean maps of an atlas peak, as rows of a table."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.ndimage import label

from fundus_ml.atlas.mean_changes import ChangeAtlas, ChangeMap
from fundus_ml.imaging.registration import DISC, FOVEA

COLUMNS = (
    "map", "sign", "place", "nasal_of_fovea", "above_fovea", "area", "change", "change_red",
    "change_green", "change_blue", "t", "p", "null_p", "beyond_null", "eyes", "people",
)  # fmt: skip
"""Columns of a table of peaks."""


class Place(NamedTuple):
    """A point of the aligned square, pixels."""

    x: float
    y: float


def place_of(where: tuple[float, float], size: int) -> Place:
    """Turn shares of the side, as :data:`~fundus_ml.imaging.registration.DISC`, into pixels."""
    return Place(where[0] * size - 0.5, where[1] * size - 0.5)


def peaks(atlas: ChangeAtlas) -> pd.DataFrame:
    """List every connected area of significant change of one sign, with its strongest pixel.

    Returns:
        One row per area with :data:`COLUMNS`, strongest first within a map. ``place`` is ``disc``
        within one disc radius of the disc's centre, ``beside the disc`` within three, ``fovea``
        within one disc diameter of it, or ``elsewhere``, by the strongest pixel; its coordinates
        and ``area`` are in mean disc diameters and their squares; ``change`` in [0, 1].
    """
    rows = [row for each in atlas.maps.values() for row in _rows(atlas, each)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(atlas: ChangeAtlas, drawn: ChangeMap) -> list[dict[str, object]]:
    diameter, size = atlas.registered.disc_diameter, atlas.registered.size
    fovea = place_of(FOVEA, size)
    found = []
    for sign in (1, -1):
        areas, count = label(drawn.significant & (np.sign(drawn.mean) == sign))
        for number in range(1, count + 1):
            inside = areas == number
            length = np.where(inside, np.abs(drawn.statistic), -1.0)
            y, x = np.unravel_index(int(length.argmax()), length.shape)
            red, green, blue = drawn.channels[y, x]
            found.append(
                {
                    "map": drawn.name,
                    "sign": sign,
                    "place": _place(float(x), float(y), size, diameter),
                    "nasal_of_fovea": (x - fovea.x) / diameter,
                    "above_fovea": (fovea.y - y) / diameter,
                    "area": inside.sum() / diameter**2,
                    "change": drawn.mean[y, x],
                    "change_red": red,
                    "change_green": green,
                    "change_blue": blue,
                    "t": drawn.statistic[y, x],
                    "p": drawn.p[y, x],
                    "null_p": drawn.null_p[y, x] if drawn.null_largest else math.nan,
                    "beyond_null": bool((drawn.beyond_null & inside).any()),
                    "eyes": drawn.eyes,
                    "people": drawn.people,
                }
            )
    return sorted(found, key=lambda row: -abs(float(str(row["t"]))))


def _place(x: float, y: float, size: int, diameter: float) -> str:
    disc, fovea = place_of(DISC, size), place_of(FOVEA, size)
    from_disc = math.hypot(x - disc.x, y - disc.y) / diameter
    if from_disc <= 0.5:  # noqa: PLR2004 (its radius)
        return "disc"
    if from_disc <= 1.5:  # noqa: PLR2004 (three radii)
        return "beside the disc"
    return "fovea" if math.hypot(x - fovea.x, y - fovea.y) <= diameter else "elsewhere"
