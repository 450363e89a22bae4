"""Edits that change colour alone: shifts of the logit of each channel under a soft weight.

A shift of the logit, v -> v·g / (1 - v + v·g) with g = exp(shift), stays inside (0, 1): it clips
nothing, and a shift by -s is the inverse of a shift by s.
"""

import math
from collections.abc import Sequence

import numpy as np

from fundus_ml.imaging.regions.structures import Ellipse
from fundus_ml.synthesis.edits.parts import (
    EditedParts,
    Pixels,
    Plane,
    disc_distance,
    extent,
    smooth_step,
    soft_retina,
    window_of,
)

SHIFTS = {
    "rim_pallor": (0.0, 0.5, 0.5),
    "ring_colour": (0.5, 0.5, 0.5),
    "foveal_darkness": (-0.4, -0.8, -0.6),
    "hue": (0.3, -0.3, 0.0),
}
"""Shift of the logits of red, green and blue at strength 1, where the weight is 1."""

RING = (1.05, 1.35, 1.45, 2.4)
"""Where the peripapillary ring begins, is whole, is whole no more and ends, in disc radii."""
BESIDE_RING = (2.5, 3.3)
"""Between which radii the retina lies that the ring's colour is compared with."""
FOVEAL_SPREAD = 0.06
"""Standard deviation of the foveal darkening, in diameters of the field of view."""
NOTCH_DARKNESS = 1.5
"""Fall of the log brightness in the middle of the notch at strength 1."""
NOTCH_RADIUS = 0.045
"""Radius of the notch, in diameters of the field of view."""
NOTCH_ANGLE = math.radians(40)
"""Angle above (second class) or below (first) the middle row, right of the field's centre.

Training mirrors eyes left to right, so a notch may not tell the classes by its side.
"""


def rim_weight(parts: EditedParts) -> Plane:
    """``(H, W)`` 1 on the rim between cup and border of the disc, 0 inside the cup and beyond."""
    assert parts.cup is not None
    inside = smooth_step(disc_distance(parts), 1.02, 0.86)
    return inside * smooth_step(parts.cup.distance(parts.shape), 0.90, 1.12) * soft_retina(parts)


def ring_weight(parts: EditedParts) -> Plane:
    """``(H, W)`` 1 on the ring around the disc: :data:`RING`."""
    begins, whole, ends, over = RING
    away = disc_distance(parts)
    return smooth_step(away, begins, whole) * smooth_step(away, over, ends) * soft_retina(parts)


def foveal_weight(parts: EditedParts) -> Plane:
    """``(H, W)`` Gaussian around the fovea, brought smoothly to 0 between 2 and 3 SDs."""
    away = _foveal_distance(parts)
    gaussian = np.exp(-0.5 * np.square(away))
    return np.asarray(gaussian * smooth_step(away, 3.0, 2.0) * soft_retina(parts), np.float32)


def beside_fovea(parts: EditedParts) -> Plane:
    """``(H, W)`` 1 in the ring that the fovea's darkness is compared with, 3 to 4 SDs away."""
    away = _foveal_distance(parts)
    return smooth_step(away, 2.9, 3.1) * smooth_step(away, 4.1, 3.9) * soft_retina(parts)


def _foveal_distance(parts: EditedParts) -> Plane:
    assert parts.fovea is not None
    side = 2 * FOVEAL_SPREAD * extent(parts)
    return Ellipse(x=parts.fovea.x, y=parts.fovea.y, width=side, height=side).distance(parts.shape)


def notch_weight(parts: EditedParts, *, upper: bool) -> Plane:
    """``(H, W)`` 1 in the notch at the rim of the field of view, 0 elsewhere.

    Args:
        parts: Parts of the eye.
        upper: Above the middle row; below it otherwise.
    """
    rows, columns = np.nonzero(parts.retina)
    y, x = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    down = -math.sin(NOTCH_ANGLE) if upper else math.sin(NOTCH_ANGLE)
    across = math.cos(NOTCH_ANGLE)
    steps = np.arange(extent(parts))
    ray_y = np.rint(y + steps * down).astype(int).clip(0, parts.shape[0] - 1)
    ray_x = np.rint(x + steps * across).astype(int).clip(0, parts.shape[1] - 1)
    reach = float(np.flatnonzero(parts.retina[ray_y, ray_x]).max(initial=0))
    side = 2 * NOTCH_RADIUS * extent(parts)
    notch = Ellipse(x=x + reach * across, y=y + reach * down, width=side, height=side)
    return smooth_step(notch.distance(parts.shape), 1.0, 0.75) * parts.retina


def shifted(pixels: Pixels, weight: Plane, shift: Sequence[float]) -> Pixels:
    """Shift the logits of the channels by ``shift`` times ``weight``.

    Args:
        pixels: ``(H, W, 3)`` uint8.
        weight: ``(H, W)``; where it is 0 the bytes stay.
        shift: Shift of red, green and blue.
    """
    window = window_of(weight > 0)
    gain = np.exp(weight[window][..., None] * np.asarray(shift, np.float32))
    level = (pixels[window].astype(np.float32) + np.float32(0.5)) / 256
    moved = level * gain / (1 + level * (gain - 1))
    result = pixels.copy()
    result[window] = np.rint(moved * 256 - np.float32(0.5)).clip(0, 255)
    return result


def darkened(pixels: Pixels, weight: Plane, fall: float) -> Pixels:
    """Multiply the pixels by ``exp(-fall * weight)``."""
    window = window_of(weight > 0)
    result = pixels.copy()
    gain = np.exp(-np.float32(fall) * weight[window])[..., None]
    result[window] = np.rint(pixels[window] * gain)
    return result
