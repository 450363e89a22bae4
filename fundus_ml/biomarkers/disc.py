"""The optic disc: its size, shape and tilt, the cup in it and the rim that is left."""

import math

import numpy as np
from numpy.typing import NDArray

from fundus_ml.biomarkers.view import Measured, View
from fundus_ml.imaging.regions.structures import Ellipse

ROUND = 0.97
"""Ovality above which a disc has no long axis to speak of."""
_ANGLES = 360
_RIM = (0.70, 0.92)
"""Where the rim's colour is taken, in the disc's radius: away from both soft borders."""
_CUP_MARGIN = 1.25
"""The rim begins here, in the cup's radius."""
_CUP_MIDDLE = 0.6
"""The cup's colour is taken within this much of its radius."""


def measure_disc(view: View) -> dict[str, Measured]:
    """Measure size and shape of the disc.

    Args:
        view: Has a disc.
    """
    disc = view.regions.disc
    assert disc is not None
    ovality = min(disc.width, disc.height) / max(disc.width, disc.height)
    return {
        "disc_area": disc.area / (math.pi / 4 * view.typical**2),
        "disc_width": disc.horizontal / view.typical,
        "disc_ovality": ovality,
        "disc_tilt": _tilt(disc, view.temporal) if ovality <= ROUND else "the disc is round",
    }


def measure_cup(view: View) -> dict[str, Measured]:
    """Measure the cup in the disc, and how wide the rim around it is.

    Args:
        view: Has disc and cup.
    """
    disc, cup = view.regions.disc, view.regions.cup
    assert disc is not None
    assert cup is not None
    return {
        "cup_disc_ratio": cup.vertical / disc.vertical,
        "rim_width": float(rim_widths(disc, cup).min()),
    }


def rim_widths(disc: Ellipse, cup: Ellipse) -> NDArray[np.float64]:
    """Width of the rim along rays from the disc's centre, as a share of the disc's diameter there.

    Returns:
        ``(360,)``, one a degree; 0 where the cup reaches the border or goes beyond, one half where
        there is no cup.
    """
    angle = np.arange(_ANGLES) * 2 * np.pi / _ANGLES
    outer = _reach(disc, angle, disc.x, disc.y)
    inner = _reach(cup, angle, disc.x, disc.y)
    return np.asarray(((outer - inner) / (2 * outer)).clip(0, 0.5))


def cup_middle(view: View) -> NDArray[np.float64] | None:
    """Light of the middle of the cup, the white of this photograph; None where vessels hide it."""
    return view.colour((view.cup_distance < _CUP_MIDDLE) & view.clear)


def _reach(ellipse: Ellipse, angle: NDArray[np.float64], x: float, y: float) -> NDArray[np.float64]:
    """Distance from a point to where a ray leaves an ellipse; 0 where it does not meet it."""
    cos, sin = math.cos(ellipse.angle), math.sin(ellipse.angle)

    def scaled(across: NDArray[np.float64], down: NDArray[np.float64]) -> NDArray[np.float64]:
        along = (across * cos + down * sin) / (ellipse.width / 2)
        return np.stack([along, (down * cos - across * sin) / (ellipse.height / 2)])

    start = scaled(np.array([x - ellipse.x]), np.array([y - ellipse.y]))
    ray = scaled(np.cos(angle), np.sin(angle))
    square, mixed = (ray**2).sum(axis=0), (start * ray).sum(axis=0)
    root = mixed**2 - square * ((start**2).sum(axis=0) - 1)
    reach = (np.sqrt(root.clip(0)) - mixed) / square
    return np.asarray(np.where(root > 0, reach.clip(0), 0.0))


def _tilt(disc: Ellipse, temporal: float) -> Measured:
    """Angle of the long axis from the vertical, degrees, above 0 where its top leans temporally."""
    if temporal == 0:
        return "the side of the eye is not known"
    along = disc.angle if disc.width > disc.height else disc.angle + math.pi / 2
    across, up = temporal * math.cos(along), -math.sin(along)  # rows run down
    degrees = math.degrees(math.atan2(across, up))
    return (degrees + 90) % 180 - 90


def measure_rim(view: View) -> dict[str, Measured]:
    """Measure how pale the rim is, beside the vessels that cross it.

    Args:
        view: Has disc, cup and vessels: taken for rim, they would pass for a redder one.
    """
    ring = (view.disc_distance > _RIM[0]) & (view.disc_distance < _RIM[1])
    rim = view.colour(ring & (view.cup_distance > _CUP_MARGIN) & view.clear)
    middle = cup_middle(view)
    if rim is None or middle is None:
        return {"rim_pallor": "vessels cover the rim or the cup"}
    return {"rim_pallor": float((rim[1] - rim[0]) - (middle[1] - middle[0]))}
