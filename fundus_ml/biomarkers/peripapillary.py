"""The retina around the disc: its colour, and the atrophy that bares sclera beside the disc."""

import math

import numpy as np

from fundus_ml.biomarkers.view import Measured, View, log_light

ZONE = (0.5, 1.0)
"""From the disc's margin, in its diameters: zone B of the calibre protocols."""
BETA_ZONE = (0.04, 0.5)
"""From the disc's margin, in its diameters: where atrophy is looked for."""
TEMPORAL = 45.0
"""Degrees to both sides of the temporal direction."""
LEAST_SHOWN = 0.6
"""Share of the ring that must have been photographed."""
_ATROPHY = 0.7
"""Log units of green light by which bared sclera is brighter than the ring: twice as bright."""
_NAMES = (
    "ring_red", "ring_green", "ring_blue", "ring_tessellation", "atrophy", "beta_zone",
)  # fmt: skip


def measure_ring(view: View) -> dict[str, Measured]:
    """Measure the colour of the ring around the disc, and what is bright in it.

    Args:
        view: Has a disc.
    """
    disc = view.regions.disc
    assert disc is not None
    away = view.from_margin
    ring = (away >= ZONE[0]) & (away <= ZONE[1])
    inner, outer = (1 + 2 * end for end in ZONE)
    if view.shown(ring, area=disc.area * (outer**2 - inner**2)) < LEAST_SHOWN:
        return dict.fromkeys(_NAMES, "the ring around the disc lies outside the field of view")
    own, field = view.colour(ring & view.background), view.colour(view.background & ~ring)
    if own is None or field is None:
        return dict.fromkeys(_NAMES, "vessels cover the ring around the disc")
    red, green, blue = np.median(view.image[ring & view.background], axis=0)
    colours: dict[str, Measured] = dict(zip(_NAMES[:3], (own - field).tolist(), strict=True))
    colours["ring_tessellation"] = float(red / max(red + green + blue, 1))
    return colours | _atrophy(view, green=float(own[1]))


def _atrophy(view: View, *, green: float) -> dict[str, Measured]:
    disc = view.regions.disc
    assert disc is not None
    near = (view.from_margin >= BETA_ZONE[0]) & (view.from_margin <= BETA_ZONE[1])
    near &= view.regions.retina & ~view.beside_vessels
    bright = log_light(view.image[..., 1].astype(np.float64)) > green + _ATROPHY
    _, angle = view.around(disc.x, disc.y)
    beside = near & (np.abs(angle) <= TEMPORAL)
    known = view.temporal != 0
    return {
        "atrophy": _share(bright, near),
        "beta_zone": _share(bright, beside) if known else "the side of the eye is not known",
    }


def _share(bright: np.ndarray, among: np.ndarray) -> Measured:
    share = float(bright[among].mean()) if among.any() else math.nan
    return share if math.isfinite(share) else "vessels cover the ring around the disc"
