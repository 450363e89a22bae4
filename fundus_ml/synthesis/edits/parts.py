"""What an edit needs to know about one eye, and the soft weights it acts with."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import InputError, listed
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.columns import REGION_COLUMNS, regions_of_row
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, Mask, Regions

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float32]

CHANNELS = 3
RECENT = 4
"""Eyes whose weights are kept: both classes of an eye share them; thousands would not fit."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EditedParts:
    """The parts of one square eye, in its pixels; a part is None where it is not known.

    Attributes:
        retina: ``(H, W)`` pixels inside the field of view that were photographed.
        disc: Optic disc, with its rim.
        cup: Excavation inside the disc.
        fovea: Centre of the macula.
        vessels: ``(H, W)`` pixels on a vessel.
    """

    retina: Mask
    disc: Ellipse | None = None
    cup: Ellipse | None = None
    fovea: Landmark | None = None
    vessels: Mask | None = None

    @classmethod
    def of(cls, found: Regions) -> Self:
        """Take what :func:`~fundus_ml.imaging.regions.finding.find_regions` found on an eye."""
        return cls(
            retina=found.retina,
            disc=found.disc,
            cup=found.cup,
            fovea=found.fovea,
            vessels=found.vessels.mask if found.vessels else None,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """``(H, W)``."""
        return self.retina.shape[0], self.retina.shape[1]


@lru_cache(maxsize=RECENT)
def extent(parts: EditedParts) -> float:
    """Diameter of the field of view, pixels: the longer side of the box around the retina."""
    return float(max(_length(np.asarray(parts.retina.any(axis=axis))) for axis in (0, 1)))


@lru_cache(maxsize=RECENT)
def border_distance(parts: EditedParts) -> Plane:
    """``(H, W)`` pixels from the border of the retina, 0 outside it."""
    # Without the frame of zeros, a field that fills the square would have no border there.
    framed = np.pad(parts.retina.astype(np.uint8), 1)
    inside = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    return np.asarray(inside, np.float32)


@lru_cache(maxsize=RECENT)
def soft_retina(parts: EditedParts) -> Plane:
    """``(H, W)`` 1 inside the retina, fading to 0 towards its border and 0 beyond it."""
    return smooth_step(border_distance(parts), 0.5, max(0.02 * extent(parts), 2.0))


@lru_cache(maxsize=RECENT)
def disc_distance(parts: EditedParts) -> Plane:
    """``(H, W)`` distance from the disc's centre, 1 on its border."""
    assert parts.disc is not None
    return parts.disc.distance(parts.shape)


def parts_of_rows(rows: pd.DataFrame, maps: NDArray[np.uint8]) -> list[EditedParts]:
    """Read the parts of some eyes of a dataset folder.

    Args:
        rows: N rows of a manifest, with
            :data:`~fundus_ml.imaging.regions.columns.REGION_COLUMNS`.
        maps: ``(N, S, S)`` their region maps.

    Raises:
        InputError: The rows say nothing of regions.
    """
    if missing := sorted(set(REGION_COLUMNS) - set(rows.columns)):
        raise InputError(f"rows: lack {listed(missing)}; allowed: eyes preprocessed with regions")
    told = rows.to_dict("records")
    return [
        EditedParts.of(regions_of_row({str(name): value for name, value in row.items()}, drawn))
        for row, drawn in zip(told, maps, strict=True)
    ]


def _length(occupied: Mask) -> int:
    places = np.flatnonzero(occupied)
    return int(places[-1] - places[0] + 1) if len(places) else 0


def smooth_step(values: NDArray[np.floating], low: float, high: float) -> Plane:
    """Rise from 0 at ``low`` to 1 at ``high`` with no slope at either end (or fall, if swapped)."""
    share = ((np.asarray(values, np.float32) - np.float32(low)) / np.float32(high - low)).clip(0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def window_of(mask: Mask) -> tuple[slice, slice]:
    """The box around a mask; empty where the mask is."""
    edges = []
    for axis in (1, 0):
        places = np.flatnonzero(mask.any(axis=axis))
        edges.append(slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0))
    return edges[0], edges[1]


def check_eye(pixels: Pixels, parts: EditedParts) -> None:
    """Refuse pixels that are not the eye whose parts these are.

    Raises:
        InputError: They are not ``(H, W, 3)`` uint8, or of another size than the parts.
    """
    kind = getattr(pixels, "dtype", type(pixels).__name__)
    shape: tuple[int, ...] = getattr(pixels, "shape", ())
    if kind != np.uint8 or shape != (*parts.shape, CHANNELS):
        height, width = parts.shape
        raise InputError(
            f"pixels: {kind} {tuple(shape)}; allowed: uint8 ({height}, {width}, 3), as its parts"
        )
