"""Edits that move pixels: the disc larger or smaller, the vessels wider or narrower."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.morphology import skeletonize

from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.structures import Mask
from fundus_ml.synthesis.edits.parts import (
    RECENT,
    EditedParts,
    Pixels,
    Plane,
    border_distance,
    disc_distance,
    smooth_step,
    soft_retina,
    window_of,
)

LOG_MAGNIFICATION = 0.25
"""Natural logarithm of the disc's magnification at strength 1."""
WHOLE, OVER = 1.35, 3.0
"""Disc radii up to which the magnification is whole, and beyond which nothing moves."""

FROM_BORDER = 0.6
"""Disc diameters from the border of the retina from which the magnification is whole."""

LOG_CALIBRE = 0.4
"""Natural logarithm of the factor on the width of the vessels at strength 1."""
FINE_SIDE = 512
"""Steps, at least, along the grid on which vessels are warped: they are few pixels wide."""
VESSEL_REACH = (1.2, 3.0, 2.0)
"""Half widths up to which a vessel's warp is whole, half widths and fine steps where it ends."""
FREE_OF_DISC = (1.15, 1.35)
"""Disc radii below which vessels stay, and beyond which they are warped wholly."""


def magnification_weight(parts: EditedParts) -> Plane:
    """``(H, W)`` 1 on the disc, 0 beyond :data:`OVER` disc radii and outside the retina."""
    assert parts.disc is not None
    # Pixels from beyond the border would move in, were the warp not slower near it.
    inside = smooth_step(border_distance(parts), 0.5, FROM_BORDER * parts.disc.diameter)
    return smooth_step(disc_distance(parts), OVER, WHOLE) * inside


def magnified(pixels: Pixels, parts: EditedParts, log_factor: float) -> Pixels:
    """Scale the disc about its centre by ``exp(log_factor)``, fading out around it."""
    assert parts.disc is not None
    weight = magnification_weight(parts)
    window = window_of(weight > 0)
    rows, columns = (np.arange(each.start, each.stop, dtype=np.float32) for each in window)
    factor = np.exp(-np.float32(log_factor) * weight[window])
    down = (rows[:, None] - np.float32(parts.disc.y)) * factor + np.float32(parts.disc.y)
    across = (columns[None] - np.float32(parts.disc.x)) * factor + np.float32(parts.disc.x)
    result = pixels.copy()
    warped = cv2.remap(pixels, across, down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    result[window] = np.where(weight[window][..., None] > 0, warped, pixels[window])
    return result


class VesselFrame(NamedTuple):
    """Where each step of the fine grid lies beside the nearest vessel.

    Attributes:
        across: ``(F·H, F·W)`` columns from the centre line, fine steps.
        down: ``(F·H, F·W)`` rows from it.
        weight: ``(F·H, F·W)`` 1 within the vessel, 0 where nothing moves.
        support: ``(H, W)`` pixels that may change.
        within: ``(H, W)`` share of each pixel that lies near a vessel that may be warped.
        line: ``(H, W)`` share of it on the centre line of one.
    """

    across: Plane
    down: Plane
    weight: Plane
    support: Mask
    within: Plane
    line: Plane


@lru_cache(maxsize=RECENT)
def vessel_frame(parts: EditedParts) -> VesselFrame:
    """Lay the vessels out along their centre lines."""
    assert parts.vessels is not None
    height, width = parts.shape
    size = fine_size(parts)
    drawn = cv2.resize(parts.vessels.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    mask = cv2.GaussianBlur(drawn, (0, 0), 0.8) > 0.5  # noqa: PLR2004 (half covered)
    lines = np.asarray(skeletonize(mask), np.bool_)  # type: ignore[no-untyped-call]
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    away, nearest = cv2.distanceTransformWithLabels(
        (~lines).astype(np.uint8),
        cv2.DIST_L2,
        cv2.DIST_MASK_5,
        labelType=cv2.DIST_LABEL_PIXEL,
    )
    rows, columns = _line_places(lines, np.asarray(nearest, np.int32))
    down = np.arange(size[1], dtype=np.float32)[:, None] - rows
    across = np.arange(size[0], dtype=np.float32)[None] - columns
    half = cv2.GaussianBlur(depth, (0, 0), 1.0)[rows.astype(int), columns.astype(int)]
    whole, over, more = VESSEL_REACH
    begins, ends = whole * half, over * half + more
    share = ((ends - away) / (ends - begins)).clip(0, 1)
    allowed = _allowed(parts, size)
    weight = np.asarray(share * share * (3 - 2 * share) * allowed, np.float32)
    small, within, line = (
        np.asarray(cv2.resize(each, (width, height), interpolation=cv2.INTER_AREA), np.float32)
        for each in (weight, allowed * (share > 0), allowed * lines)
    )
    return VesselFrame(
        across, down, weight, np.asarray((small > 0) & (soft_retina(parts) > 0)), within, line
    )


def fine_size(parts: EditedParts) -> tuple[int, int]:
    """Width and height of the fine grid, a whole number of steps a pixel."""
    height, width = parts.shape
    steps = max(1, math.ceil(FINE_SIDE / max(height, width)))
    return width * steps, height * steps


def _line_places(lines: Mask, nearest: NDArray[np.int32]) -> tuple[Plane, Plane]:
    """Row and column of the centre-line step nearest to every step."""
    if not lines.any():
        empty = np.zeros(lines.shape, np.float32)
        return empty, empty
    table = np.zeros((int(nearest.max()) + 1, 2), np.float32)
    table[nearest[lines]] = np.argwhere(lines)
    return table[nearest, 0], table[nearest, 1]


def _allowed(parts: EditedParts, size: tuple[int, int]) -> Plane:
    """1 where vessels may be warped: on the retina, off the disc where that is known."""
    allowed = soft_retina(parts)
    if parts.disc is not None:
        allowed = allowed * smooth_step(disc_distance(parts), *FREE_OF_DISC)
    return np.asarray(cv2.resize(allowed, size, interpolation=cv2.INTER_LINEAR), np.float32)


def calibre_changed(pixels: Pixels, parts: EditedParts, log_factor: float) -> Pixels:
    """Widen the vessels about their centre lines by ``exp(log_factor)``.

    What the warp changes on the fine grid is added to the pixels, so that resampling changes
    nothing where nothing moves.
    """
    frame = vessel_frame(parts)
    height, width = parts.shape
    size = fine_size(parts)
    fine = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    pull = np.expm1(-np.float32(log_factor) * frame.weight)
    move_x = cv2.GaussianBlur(frame.across * pull, (0, 0), 0.7)
    move_y = cv2.GaussianBlur(frame.down * pull, (0, 0), 0.7)
    columns = np.arange(size[0], dtype=np.float32)[None] + move_x
    rows = np.arange(size[1], dtype=np.float32)[:, None] + move_y
    warped = cv2.remap(fine, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    change = cv2.resize(warped - fine, (width, height), interpolation=cv2.INTER_AREA)
    changed = np.rint(pixels + change * frame.support[..., None]).clip(0, 255)
    return np.asarray(changed, np.uint8)
