"""Zones of an eye that its region map implies: rings around the disc and fovea, quadrants, arcades.

They are computed where they are needed and stored nowhere, so that they cannot contradict the map.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.maps import DISC_MARGIN, REGION_FLAGS
from fundus_ml.imaging.regions.shams import LEAST_LEFT
from fundus_ml.imaging.regions.structures import Mask

RINGS = (0.5, 1.0)
"""Distances from the disc's border up to which its two rings reach, in disc diameters."""
ETDRS = (1 / 3, 1.0, 2.0)
"""Radii of the ETDRS grid, in disc diameters: 500, 1500 and 3000 µm at 1500 µm a diameter."""
ARCADES = (0.5, 3.0)
"""Distances from the disc's border between which temporal vessels are its arcades, likewise."""

ZONES = (
    "disc_ring_inner",
    "disc_ring_outer",
    "etdrs_centre",
    "etdrs_inner",
    "etdrs_outer",
    "superior_temporal",
    "inferior_temporal",
    "superior_nasal",
    "inferior_nasal",
    "arcades",
)
"""Rings around the disc; circle and rings around the fovea; quadrants about the disc; the vessels
that run around the macula. Rings and quadrants leave the disc out; zones of different kinds
overlap."""


RING = "disc ring"
"""The inner ring as a part of the retina: where atrophy around the disc lies."""


class _Frame(NamedTuple):
    """Where each pixel of one eye lies.

    Attributes:
        retina: ``(H, W)`` photographed retina without the disc.
        vessels: ``(H, W)``.
        beyond: ``(H, W)`` distance from the disc's border, in disc diameters.
        foveal: ``(H, W)`` distance from the fovea, likewise.
        temporal: ``(H, W)`` on the fovea's side of the disc's centre.
        superior: ``(H, W)`` above the line through disc and fovea.
    """

    retina: Mask
    vessels: Mask
    beyond: NDArray[np.float32]
    foveal: NDArray[np.float32]
    temporal: Mask
    superior: Mask


def zone_masks(regions: NDArray[np.uint8]) -> dict[str, Mask]:
    """Mark the zones of some eyes.

    Args:
        regions: ``(N, H, W)`` uint8 maps of :data:`~fundus_ml.imaging.regions.maps.REGION_FLAGS`.

    Returns:
        ``(N, H, W)`` by name of :data:`ZONES`. A zone is empty in an eye whose map lacks what it
        is measured from: all of them need the disc, all but the rings around it the macula too.

    Source:
        ETDRS Research Group 1991, report 10, doi:10.1016/S0161-6420(13)38012-9; circles of 1, 3
        and 6 mm around the fovea: DICOM PS3.17, section UU.5.
    """
    masks = {name: np.zeros(regions.shape, np.bool_) for name in ZONES}
    for place, drawn in enumerate(regions):
        for name, mask in _zones_of(drawn).items():
            masks[name][place] = mask
    return masks


def inner_rings(regions: NDArray[np.uint8], sham_discs: Mask) -> tuple[Mask, Mask]:
    """Mark the inner ring around each disc, and the ring of that width around the disc's sham.

    Args:
        regions: ``(N, H, W)`` uint8 region maps.
        sham_discs: ``(N, H, W)`` sham of each disc, empty where an eye has none.

    Returns:
        ``(N, H, W)`` ring and its sham, both on the retina. The sham's leaves out disc, ring and
        macula, and is empty where less than half of the ring's area is left.
    """
    rings, shams = np.zeros_like(sham_discs), np.zeros_like(sham_discs)
    for place, (drawn, sham_disc) in enumerate(zip(regions, sham_discs, strict=True)):
        retina = drawn & REGION_FLAGS["retina"] > 0
        disc = drawn & REGION_FLAGS["disc"] > 0
        if not disc.any():
            continue
        rings[place] = retina & ~disc & (_beyond_disc(disc) <= RINGS[0])
        if sham_disc.any():
            free = retina & ~disc & ~rings[place] & (drawn & REGION_FLAGS["macula"] == 0)
            sham = free & ~sham_disc & (_beyond_disc(sham_disc) <= RINGS[0])
            shams[place] = sham & (sham.sum() >= LEAST_LEFT * rings[place].sum())
    return rings, shams


def _zones_of(drawn: NDArray[np.uint8]) -> dict[str, Mask]:
    disc = drawn & REGION_FLAGS["disc"] > 0
    if not disc.any():
        return {}
    retina = (drawn & REGION_FLAGS["retina"] > 0) & ~disc
    beyond = _beyond_disc(disc)
    inner, outer = RINGS
    rings = {
        "disc_ring_inner": retina & (beyond <= inner),
        "disc_ring_outer": retina & (beyond > inner) & (beyond <= outer),
    }
    frame = _frame(drawn, disc, retina, beyond)
    return rings if frame is None else rings | _zones_with_macula(frame)


def _beyond_disc(disc: Mask) -> NDArray[np.float32]:
    """Distance of each pixel from the disc's border, in disc diameters."""
    away = cv2.distanceTransform((~disc).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    diameter = _diameter(disc)
    # The map's disc reaches beyond the border by a share of its radius.
    return np.asarray(away / diameter + DISC_MARGIN / 2, np.float32)


def _diameter(disc: Mask) -> float:
    return 2 * math.sqrt(float(disc.sum()) / math.pi) / (1 + DISC_MARGIN)


def _frame(
    drawn: NDArray[np.uint8], disc: Mask, retina: Mask, beyond: NDArray[np.float32]
) -> _Frame | None:
    """Lay out one eye; None where its macula is not known."""
    macula = drawn & REGION_FLAGS["macula"] > 0
    if not macula.any():
        return None
    (disc_row, disc_column), (row, column) = (np.argwhere(m).mean(axis=0) for m in (disc, macula))
    rows, columns = np.mgrid[: drawn.shape[0], : drawn.shape[1]].astype(np.float32)
    to_fovea = np.array([row - disc_row, column - disc_column])
    along = (rows - disc_row) * to_fovea[0] + (columns - disc_column) * to_fovea[1]
    # Rows run down: above the line is where the cross product has the sign of the way up.
    across = (rows - disc_row) * to_fovea[1] - (columns - disc_column) * to_fovea[0]
    return _Frame(
        retina=retina,
        vessels=drawn & REGION_FLAGS["vessels"] > 0,
        beyond=beyond,
        foveal=np.asarray(np.hypot(rows - row, columns - column) / _diameter(disc), np.float32),
        temporal=np.asarray(along > 0),
        superior=np.asarray(across * np.sign(to_fovea[1]) < 0),
    )


def _zones_with_macula(frame: _Frame) -> dict[str, Mask]:
    centre, inner, outer = ETDRS
    retina, foveal = frame.retina, frame.foveal
    nearest, farthest = ARCADES
    near = (frame.beyond > nearest) & (frame.beyond <= farthest) & (foveal > inner)
    return {
        "etdrs_centre": retina & (foveal <= centre),
        "etdrs_inner": retina & (foveal > centre) & (foveal <= inner),
        "etdrs_outer": retina & (foveal > inner) & (foveal <= outer),
        "superior_temporal": retina & frame.temporal & frame.superior,
        "inferior_temporal": retina & frame.temporal & ~frame.superior,
        "superior_nasal": retina & ~frame.temporal & frame.superior,
        "inferior_nasal": retina & ~frame.temporal & ~frame.superior,
        "arcades": retina & frame.vessels & frame.temporal & near,
    }
