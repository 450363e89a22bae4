"""Calibre of the vessels around the disc: the equivalents of Knudtson, and the arcades' angle."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fundus_ml.biomarkers.centre_lines import Mask, medians_by_piece, widths_across
from fundus_ml.biomarkers.view import WIDEST, ZONE, Measured, View

COUNTED = 6
"""Widest vessels of a kind that make up an equivalent."""
ARTERY, VEIN = 0.88, 0.95
"""Knudtson's branching coefficients."""
ARCADE = 1.0
"""Radius of the circle around the disc's centre that the arcades cross, in disc diameters."""
TEMPORAL_ARCADE = (15.0, 100.0)
"""Where a temporal arcade may cross it, degrees from the way to the fovea."""
_CIRCLES = 8
"""Circles of the zone on which vessels are counted."""
_LEAST_CIRCLES = 3
"""How many of those circles must show six vessels."""
_BAND = 0.05
"""Half the width of the circle of the arcades, in disc diameters."""
NOT_TOLD = "arteries and veins are not told apart"


def knudtson(widths: Sequence[float], coefficient: float) -> float:
    """Join six widths into the width of the one vessel they would come from.

    The widest is joined with the narrowest, the second with the second narrowest, and so on, until
    one is left; an odd one in the middle waits.

    Args:
        widths: Widths of six vessels, in any unit.
        coefficient: :data:`ARTERY` or :data:`VEIN`.

    Source:
        Knudtson et al. 2003, doi:10.1076/ceyr.27.3.143.16049.
    """
    left = sorted(widths)
    while len(left) > 1:
        half = len(left) // 2
        pairs = zip(left[:half], reversed(left[-half:]), strict=True)
        joined = [coefficient * math.hypot(narrow, wide) for narrow, wide in pairs]
        left = sorted(joined + left[half : len(left) - half])
    return left[0]


def measure_calibre(view: View) -> dict[str, Measured]:
    """Measure the arterial and the venous equivalent, in typical disc diameters.

    Args:
        view: Has disc and vessels.
    """
    vessels = view.regions.vessels
    assert vessels is not None
    if not (vessels.arteries.any() and vessels.veins.any()):
        return dict.fromkeys(("crae", "crve", "artery_vein_ratio"), NOT_TOLD)
    artery = _equivalent(view, vessels.arteries, view.lines[0], ARTERY)
    vein = _equivalent(view, vessels.veins, view.lines[1], VEIN)
    if isinstance(artery, str) or isinstance(vein, str):
        ratio: Measured = artery if isinstance(artery, str) else vein
    else:
        ratio = artery / vein
    return {"crae": artery, "crve": vein, "artery_vein_ratio": ratio}


def measure_arcades(view: View) -> dict[str, Measured]:
    """Measure the angle between the upper and the lower temporal artery, and between the veins.

    Args:
        view: Has disc, fovea and vessels.
    """
    vessels = view.regions.vessels
    assert vessels is not None
    if not (vessels.arteries.any() and vessels.veins.any()):
        return dict.fromkeys(("artery_angle", "vein_angle"), NOT_TOLD)
    return {
        "artery_angle": _arcade_angle(view, vessels.arteries, view.lines[0]),
        "vein_angle": _arcade_angle(view, vessels.veins, view.lines[1]),
    }


def _equivalent(view: View, mask: Mask, lines: Mask, coefficient: float) -> Measured:
    """Median over circles of the zone, each with its own six widest vessels."""
    window = view.disc_window
    away = view.from_margin[window]
    line = lines & view.regions.retina[window] & (away >= ZONE[0]) & (away < ZONE[1])
    widths = _widths(mask[window], line, view.typical)
    found = []
    for low, high in pairwise(np.linspace(*ZONE, _CIRCLES + 1)):
        (crossing,) = medians_by_piece(line & (away >= low) & (away < high), widths)
        if len(crossing) >= COUNTED:
            found.append(knudtson(np.sort(crossing)[-COUNTED:].tolist(), coefficient))
    if len(found) < _LEAST_CIRCLES:
        return "fewer than six vessels cross the zone around the disc"
    return float(np.median(found)) / view.typical


def _widths(mask: Mask, line: Mask, typical: float) -> NDArray[np.float64]:
    """``(h, w)`` width of the vessel at every pixel of its centre line, 0 elsewhere."""
    widths = np.zeros(line.shape)
    points = np.argwhere(line).astype(np.float64)
    if len(points):
        widths[line] = widths_across(mask, points, widest=WIDEST * typical)
    return widths


def _arcade_angle(view: View, mask: Mask, lines: Mask) -> Measured:
    disc, fovea = view.regions.disc, view.regions.fovea
    assert disc is not None
    assert fovea is not None
    window = view.disc_window
    away, angle = (part[window] for part in view.about_disc)
    circle = np.abs(away / disc.diameter - ARCADE) <= _BAND
    line = lines & circle & view.regions.retina[window]
    widths = _widths(mask[window], line, view.typical)
    across = (fovea.x - disc.x) * (view.temporal or 1)
    from_fovea = angle - math.degrees(math.atan2(disc.y - fovea.y, across))
    from_fovea = (from_fovea + 180) % 360 - 180
    sides = [_main(widths, line, side * from_fovea) for side in (1, -1)]
    return sum(sides) if all(sides) else "a temporal arcade was not found"


def _main(widths: NDArray[np.float64], line: Mask, from_fovea: NDArray[np.float32]) -> float:
    """Angle at which the widest vessel of one side crosses; 0 where none does."""
    low, high = TEMPORAL_ARCADE
    crossing = line & (from_fovea >= low) & (from_fovea <= high)
    width, angle = medians_by_piece(crossing, widths, from_fovea)
    return float(angle[width.argmax()]) if len(width) else 0.0
