"""What is lit beside a circle: perhaps a second eye, never a caption or a white label."""

import math

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.circles import Circle, draw_disc
from fundus_ml.imaging.lit_area import WHITE, Light
from fundus_ml.imaging.opencv import cv2

NOTICED = ((0.0, 0.2), (0.08, 0.1))
"""Fractions of light, and the share of the circle's radius from which a disc of it counts.

On 5,465 eyes with one circle, halos and tabs reach 0.161 and 0.072."""
HALO = 1.03
"""Share of the radius within which light belongs to the circle's soft edge."""
COLOURLESS = 0.25, 8, 24
"""Difference of the channels up to which a pixel is white or grey: a share of its brightness,
and the least and most grey levels; JPEG adds some."""
ONE_LEVEL = 12
"""Grey levels around the commonest that count as one: paper and windows are painted evenly."""
EVEN = 0.5
"""Share of the colourless pixels that must have one level to be taken for labels."""


def size_beside(circle: Circle, light: Light) -> float:
    """Measure the largest disc outside a circle that stands out from the surround.

    A second eye may be a dark one, so even faint light counts where there is much of it, and on a
    grey page also what is darker or coloured. What is white, or colourless and of one level, is a
    label, paper, a reflex or a window of a screen, and does not count.

    Args:
        circle: The circle, in the pixels of ``light``.
        light: How bright the photograph is where.

    Returns:
        The disc's radius as a share of the circle's, 0 where it is too small to count.
    """
    free = 1 - draw_disc(circle, light.brightness.shape, grown=HALO)
    radius = circle.radius * min(1.0, circle.aspect)
    fewest = math.pi * (radius * min(share for _, share in NOTICED)) ** 2
    for fraction, share in NOTICED:
        outside = np.asarray(cv2.bitwise_and(_standing_out(light, fraction), free), np.uint8)
        if cv2.countNonZero(outside) < fewest:
            break
        largest = _largest_disc(_without_labels(outside, light)) / radius
        if largest >= share:
            return largest
    return 0.0


def _standing_out(light: Light, fraction: float) -> NDArray[np.uint8]:
    """What is brighter than the surround or, where that is grey, darker or coloured."""
    lit = light.lit(fraction)
    darkest = light.surround - light.rise(fraction)
    if darkest <= 0:
        return lit
    return lit | (light.brightness < darkest) | _coloured(light)


def _coloured(light: Light) -> NDArray[np.bool_]:
    share, least, most = COLOURLESS
    allowed = (share * light.brightness.astype(np.float32)).clip(least, most)
    darkest, brightest = _channel_range(light.pixels)
    return np.asarray(brightest - darkest > allowed)


def _channel_range(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Least and largest channel of every pixel, much sooner than by reducing so short an axis."""
    red, green, blue = np.moveaxis(pixels, 2, 0)
    least = np.minimum(np.minimum(red, green), blue)
    return least, np.maximum(np.maximum(red, green), blue)


def _without_labels(outside: NDArray[np.uint8], light: Light) -> NDArray[np.uint8]:
    """Take away what is white, and what is colourless where most of that has one level."""
    outside = outside & (_channel_range(light.pixels)[0] < WHITE)
    plain = (outside > 0) & ~_coloured(light)
    levels = np.bincount(light.brightness[plain], minlength=256)
    near = np.convolve(levels, np.ones(2 * ONE_LEVEL + 1), "same")
    if near.max() < EVEN * levels.sum():
        return outside
    common = np.abs(light.brightness.astype(int) - int(near.argmax())) <= ONE_LEVEL
    return np.asarray(outside & ~(plain & common), np.uint8)


def _largest_disc(area: NDArray[np.uint8]) -> float:
    # A dark margin lets the area end where the frame does.
    framed = cv2.copyMakeBorder(area, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    return float(cv2.distanceTransform(framed, cv2.DIST_L2, 3).max())
