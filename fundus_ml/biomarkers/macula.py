"""The macula: where the fovea lies beside the disc, how dark it is, the light it throws back."""

import math

import numpy as np

from fundus_ml.biomarkers.view import Measured, View, log_light

CENTRE = 0.25
"""Radius of the fovea's middle, in typical disc diameters."""
RING = (1.0, 1.5)
"""Ring it is compared with, likewise."""
REFLEX = 0.15
"""Radius within which the reflex is looked for, likewise."""
LEAST_SHOWN = 0.8
"""Share of middle and ring that must have been photographed."""
_BRIGHTEST = 99.0
"""Percentile of green taken as the reflex."""


def measure_position(view: View) -> dict[str, Measured]:
    """Measure the way from disc to fovea.

    Args:
        view: Has disc and fovea.
    """
    disc, fovea = view.regions.disc, view.regions.fovea
    assert disc is not None
    assert fovea is not None
    across, down = fovea.x - disc.x, fovea.y - disc.y
    length = math.hypot(across, down)
    return {
        "disc_fovea_distance": length / view.typical,
        "disc_fovea_ratio": length / disc.diameter,
        "disc_fovea_angle": math.degrees(math.atan2(down, abs(across))),
    }


def measure_fovea(view: View) -> dict[str, Measured]:
    """Measure how dark the fovea is, and the brightest light in it.

    Args:
        view: Has a fovea.
    """
    away = view.about_fovea[0] / view.typical
    whole = away <= RING[1]
    if view.shown(whole, area=math.pi * (RING[1] * view.typical) ** 2) < LEAST_SHOWN:
        reason = "the macula lies outside the field of view"
        return {"foveal_darkness": reason, "foveal_reflex": reason}
    ring = whole & (away >= RING[0])
    own, around = (
        view.colour(part & view.background & view.regions.retina) for part in (away <= CENTRE, ring)
    )
    green = view.image[(away <= REFLEX) & view.regions.retina][:, 1].astype(np.float64)
    if own is None or around is None or not len(green):
        reason = "too few pixels show the macula"
        return {"foveal_darkness": reason, "foveal_reflex": reason}
    brightest, middle = log_light(np.percentile(green, [_BRIGHTEST, 50]))
    return {
        "foveal_darkness": float(around[1] - own[1]),
        "foveal_reflex": float(brightest - middle),
    }
