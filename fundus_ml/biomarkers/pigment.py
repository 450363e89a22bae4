"""Pigment: how dark and of which colour the retina is between disc and vessels."""

import math

import numpy as np

from fundus_ml.biomarkers.disc import cup_middle
from fundus_ml.biomarkers.view import Measured, View

MACULA = 1.0
"""Radius of the macula, in typical disc diameters."""
BESIDE = (0.1, 1.0)
"""From the disc's margin, in its diameters: retina under the same light as the disc."""


def measure_background(view: View) -> dict[str, Measured]:
    """Measure the colour of the retina without vessels and disc.

    Args:
        view: Has a field of view.
    """
    own = view.colour(view.background)
    if own is None:
        names = ("background_green_red", "background_red_blue", "hue")
        return dict.fromkeys(names, "too few pixels show the retina")
    red, green, blue = own
    return {
        "background_green_red": float(green - red),
        "background_red_blue": float(red - blue),
        "hue": _hue(*np.exp(own)),
    }


def measure_against_disc(view: View) -> dict[str, Measured]:
    """Measure how much darker the retina is than the white of the disc beside it.

    Args:
        view: Has disc and cup.
    """
    away = view.from_margin
    beside = view.colour((away >= BESIDE[0]) & (away <= BESIDE[1]) & view.background)
    white = cup_middle(view)
    if beside is None or white is None:
        return {"background_darkness": "vessels cover the cup or the retina beside the disc"}
    return {"background_darkness": float(white[1] - beside[1])}


def measure_macula(view: View) -> dict[str, Measured]:
    """Measure the colour of the macula.

    Args:
        view: Has a fovea.
    """
    away, _ = view.about_fovea
    own = view.colour((away <= MACULA * view.typical) & view.background)
    names = ("macula_green_red", "macula_red_blue")
    if own is None:
        return dict.fromkeys(names, "the macula lies outside the field of view")
    return dict(zip(names, (float(own[1] - own[0]), float(own[0] - own[2])), strict=True))


def _hue(red: float, green: float, blue: float) -> float:
    """Angle on the colour circle, degrees: 0 red, 60 yellow."""
    return math.degrees(math.atan2(math.sqrt(3) * (green - blue), 2 * red - green - blue))
