"""The retina around the disc: its colour, and the atrophy that bares sclera beside the disc."""

import numpy as np

from fundus_ml.biomarkers.view import ZONE, Measured, View, log_light

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
    near = (view.from_margin >= BETA_ZONE[0]) & (view.from_margin <= BETA_ZONE[1])
    near &= view.clear
    if not near.any():
        return dict.fromkeys(_NAMES[4:], "vessels cover the retina beside the disc")
    bright = log_light(view.image[near][:, 1].astype(np.float64)) > green + _ATROPHY
    temporal = np.abs(view.about_disc[1][near]) <= TEMPORAL
    if view.temporal == 0:
        beside: Measured = "the side of the eye is not known"
    elif not temporal.any():
        beside = "vessels cover the retina beside the disc"
    else:
        beside = float(bright[temporal].mean())
    return {"atrophy": float(bright.mean()), "beta_zone": beside}
