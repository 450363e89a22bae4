"""What is lit beside a circle: perhaps a second eye, never a caption or a white label."""

import math

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.circles import Circle, draw_disc
from fundus_ml.imaging.lit_area import Light
from fundus_ml.imaging.opencv import cv2

NOTICED = ((0.08, 0.1), (0.0, 0.2))
"""Fractions of light, and the share of the circle's radius from which a disc of it counts.

On 5,465 eyes with one circle, halos and tabs reach 0.072 and 0.161."""
HALO = 1.03
"""Share of the radius within which light belongs to the circle's soft edge."""
COLOURLESS = 24
"""Grey levels between the channels of what is white or grey, with what JPEG adds."""
ONE_LEVEL = 12
"""Grey levels around the commonest that count as one: paper and windows are painted evenly."""
EVEN = 0.5
"""Share of an area at one level that makes a colourless area a label; text covers the rest."""


def size_beside(circle: Circle, light: Light) -> float:
    """Measure the largest disc of light outside a circle.

    A second eye may be a dark one, so even faint light counts where there is much of it. Areas
    that are colourless and of one level are labels, paper or windows of a screen, and do not count.

    Args:
        circle: The circle, in the pixels of ``light``.
        light: How bright the photograph is where.

    Returns:
        The disc's radius as a share of the circle's, 0 where it is too small to count.
    """
    free = 1 - draw_disc(circle, light.brightness.shape, grown=HALO)
    radius = circle.radius * min(1.0, circle.aspect)
    for fraction, share in NOTICED:
        outside = np.asarray(cv2.bitwise_and(light.lit(fraction), free), np.uint8)
        least = share * radius
        if cv2.countNonZero(outside) >= math.pi * least**2:
            largest = _largest_disc(outside, light, least=least)
            if largest:
                return largest / radius
    return 0.0


def _largest_disc(outside: NDArray[np.uint8], light: Light, *, least: float) -> float:
    """Radius of the largest disc inside an area that is no label; 0 below ``least``."""
    # A dark margin lets areas end where the frame does.
    framed = cv2.copyMakeBorder(outside, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    depth = np.asarray(cv2.distanceTransform(framed, cv2.DIST_L2, 3), np.float64)[1:-1, 1:-1]
    if depth.max() < least:
        return 0.0
    _, areas = cv2.connectedComponents(outside)
    large = (areas == area for area in np.unique(areas[depth >= least]))
    return max((float(depth[area].max()) for area in large if not _is_label(area, light)), default=0)


def _is_label(area: NDArray[np.bool_], light: Light) -> bool:
    pixels = light.pixels[area]
    if np.median(np.ptp(pixels, axis=1)) > COLOURLESS:
        return False
    levels = np.bincount(pixels.max(axis=1), minlength=256)
    near = np.convolve(levels, np.ones(2 * ONE_LEVEL + 1), "same")
    return bool(near.max() >= EVEN * len(pixels))
