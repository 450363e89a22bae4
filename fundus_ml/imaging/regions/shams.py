"""Sham regions: places of a structure's shape and size in the same eye where no structure lies."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.maps import REGION_FLAGS

SHAMMED = ("disc", "macula", "vessels")
"""Structures that have a sham; the periphery is a ring, and no other place has its shape."""
SHAM = "sham "
"""Begins the name of a sham among those of parts."""
LEAST_LEFT = 0.5
"""Share of a structure's area that its sham must keep, or the eye has none."""
MACULA_SHIFT = 1.25
"""Distance of the macula's sham from the macula, in diameters of the macula."""
ROTATIONS = tuple(range(15, 360, 15))
"""Degrees by which vessels are rotated, and directions in which the macula is shifted."""

TILTS = (15, -15, 30, -30, 45, -45, 60, -60)
"""Degrees by which the mirrored disc is rotated where its place is taken."""

Mask = NDArray[np.bool_]


def sham_regions(regions: NDArray[np.uint8]) -> dict[str, Mask]:
    """Place a sham of each structure in each eye.

    The *disc* is mirrored about the vertical line through the middle of the retina; where it would
    lie on itself or keeps too little there, about the fovea, else tilted about the middle by
    :data:`TILTS`, the first that does. The *macula* is shifted by :data:`MACULA_SHIFT` diameters in
    the direction that keeps most of it, the one nearest to the middle of the retina among equals.
    *Vessels* are rotated about the middle of the retina by the angle of :data:`ROTATIONS` that
    keeps most of them. A sham keeps what lies on the retina and on no real disc, macula or vessel;
    the disc's keeps its vessels, as the disc does
    (:func:`fundus_ml.imaging.regions.maps.part_masks`).

    Args:
        regions: ``(N, H, W)`` uint8 maps of
            :data:`~fundus_ml.imaging.regions.maps.REGION_FLAGS`.

    Returns:
        ``(N, H, W)`` booleans per name of :data:`SHAMMED`; all False for an eye that does not show
        the structure, or where its sham keeps less than :data:`LEAST_LEFT` of its area.

    Source:
        None.
    """
    found = {name: np.zeros(regions.shape, np.bool_) for name in SHAMMED}
    for place, flags in enumerate(regions):
        retina = flags & REGION_FLAGS["retina"] > 0
        if not retina.any():
            continue
        masks = {name: retina & (flags & REGION_FLAGS[name] > 0) for name in SHAMMED}
        round_ones = masks["disc"] | masks["macula"]
        free = dict.fromkeys(SHAMMED, retina & ~round_ones & ~masks["vessels"])
        free["disc"] = retina & ~round_ones
        middle = _middle(retina)
        moved = {
            "disc": _mirrored(masks["disc"], middle, masks["macula"]),
            "macula": _shifted(masks["macula"], middle),
            "vessels": _rotated(masks["vessels"], middle),
        }
        for name, candidates in moved.items():
            if masks[name].any():
                found[name][place] = _best(
                    candidates, masks[name], free[name], first=name == "disc"
                )
    return found


def _best(candidates: Iterator[Mask], own: Mask, free: Mask, *, first: bool) -> Mask:
    """Take the first candidate that keeps enough, or the one that keeps most."""
    best = np.zeros_like(own)
    for candidate in candidates:
        kept = candidate & free
        enough = kept.sum() >= LEAST_LEFT * own.sum()
        if enough and kept.sum() > best.sum():
            best = kept
            if first:
                break
    return best


def _mirrored(disc: Mask, middle: tuple[float, float], macula: Mask) -> Iterator[Mask]:
    """Mirror about the middle of the retina, about the fovea, and tilt; not onto itself."""
    axes = [middle[0], *([_middle(macula)[0]] if macula.any() else [])]
    candidates = [_moved(disc, np.array([[-1, 0, 2 * axis], [0, 1, 0]])) for axis in axes]
    tilted = (cv2.getRotationMatrix2D(middle, angle, 1.0) for angle in TILTS)
    for moved in chain(candidates, (_moved(candidates[0], matrix) for matrix in tilted)):
        if not (moved & disc).any():
            yield moved


def _shifted(macula: Mask, middle: tuple[float, float]) -> Iterator[Mask]:
    """Shift in each direction, those first that end nearest to the middle of the retina."""
    if not macula.any():
        return
    x, y = _middle(macula)
    reach = MACULA_SHIFT * 2 * np.sqrt(macula.sum() / np.pi)
    angles = np.deg2rad([0, *ROTATIONS])
    shifts = reach * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    away = np.hypot(*(shifts + np.subtract((x, y), middle)).T)
    for across, down in shifts[np.argsort(away, kind="stable")]:
        yield _moved(macula, np.array([[1, 0, across], [0, 1, down]]))


def _rotated(vessels: Mask, middle: tuple[float, float]) -> Iterator[Mask]:
    """Rotate about the middle of the retina by each angle."""
    for angle in ROTATIONS:
        yield _moved(vessels, cv2.getRotationMatrix2D(middle, angle, 1.0))


def _moved(mask: Mask, matrix: ArrayLike) -> Mask:
    """Move pixels by a ``(2, 3)`` affine map, without mixing neighbours."""
    height, width = mask.shape
    drawn = cv2.warpAffine(
        mask.astype(np.uint8),
        np.asarray(matrix, np.float64),
        (width, height),
        flags=cv2.INTER_NEAREST,
    )
    return np.asarray(drawn > 0)


def _middle(mask: Mask) -> tuple[float, float]:
    """Middle of the box around a mask, ``(x, y)`` in pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0] + columns[-1]) / 2, float(rows[0] + rows[-1]) / 2
