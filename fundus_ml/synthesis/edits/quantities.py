"""The edited quantities measured on pixels: what an oracle that knows the cause would read."""

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.opencv import cv2
from fundus_ml.synthesis.edits.colours import (
    BESIDE_RING,
    beside_fovea,
    foveal_weight,
    notch_weight,
    rim_weight,
    ring_weight,
)
from fundus_ml.synthesis.edits.parts import (
    EditedParts,
    Pixels,
    Plane,
    disc_distance,
    smooth_step,
    soft_retina,
)
from fundus_ml.synthesis.edits.warps import vessel_frame

RED, GREEN = 0, 1
PROFILE = np.arange(0.5, 2.0, 0.05, dtype=np.float32)
"""Disc radii at which the disc's brightness is read to find its border."""
BESIDE_VESSELS = 0.03
"""Spread of the average that gives the brightness beside a vessel, in widths of the square."""


def log_disc_diameter(pixels: Pixels, parts: EditedParts) -> float:
    """Logarithm of the disc's diameter over the square's width.

    The border lies where the mean red and green fall along the radius: the centre of the squared
    falls.
    """
    assert parts.disc is not None
    bright = np.log(pixels[..., RED].astype(np.float32) + pixels[..., GREEN] + 1)
    away = disc_distance(parts)
    bins = np.digitize(away, PROFILE)
    weight = soft_retina(parts)
    count = np.bincount(bins.ravel(), weight.ravel(), len(PROFILE) + 1)[1:-1]
    total = np.bincount(bins.ravel(), (bright * weight).ravel(), len(PROFILE) + 1)[1:-1]
    place = (PROFILE[:-1] + PROFILE[1:]) / 2
    seen = count > 0.5  # noqa: PLR2004 (half a pixel)
    profile = np.interp(place, place[seen], total[seen] / count[seen])
    falls = np.square(np.clip(-np.gradient(profile), 0, None)) + 1e-9
    border = float((place * falls).sum() / falls.sum())
    return float(np.log(border * parts.disc.diameter / parts.shape[1]))


def rim_pallor(pixels: Pixels, parts: EditedParts) -> float:
    """Mean of log(green / red) on the rim."""
    return _mean(_log(pixels, GREEN) - _log(pixels, RED), rim_weight(parts))


def ring_brightness(pixels: Pixels, parts: EditedParts) -> float:
    """Mean logit of green in the ring around the disc less that of the retina beyond it."""
    away, (near, far) = disc_distance(parts), BESIDE_RING
    beside = smooth_step(away, near - 0.1, near) * smooth_step(away, far, far - 0.1)
    level = _logit(pixels, GREEN)
    return _mean(level, ring_weight(parts)) - _mean(level, beside * soft_retina(parts))


def foveal_darkness(pixels: Pixels, parts: EditedParts) -> float:
    """Mean logit of green around the fovea less that in the fovea."""
    level = _logit(pixels, GREEN)
    return _mean(level, beside_fovea(parts)) - _mean(level, foveal_weight(parts))


def hue(pixels: Pixels, parts: EditedParts) -> float:
    """Mean over the retina of the logit of red less that of green."""
    return _mean(_logit(pixels, RED) - _logit(pixels, GREEN), soft_retina(parts))


def notch(pixels: Pixels, parts: EditedParts) -> float:
    """Log brightness where a lower notch would be less that where an upper one would be."""
    level = np.log(pixels.sum(axis=2, dtype=np.float32) + 1)
    return _mean(level, notch_weight(parts, upper=False)) - _mean(
        level, notch_weight(parts, upper=True)
    )


def log_calibre(pixels: Pixels, parts: EditedParts) -> float:
    """Logarithm of the vessels' equivalent width over the square's width.

    Absorbance log(beside / here) of green, summed across the vessels, over its mean on their centre
    lines: the width of a rectangle as deep as the vessel.
    """
    frame = vessel_frame(parts)
    free = ((~frame.support) & parts.retina).astype(np.float32)
    level = _log(pixels, GREEN)
    spread = BESIDE_VESSELS * parts.shape[1]
    beside = cv2.GaussianBlur(level * free, (0, 0), spread) / (
        cv2.GaussianBlur(free, (0, 0), spread) + np.float32(1e-6)
    )
    absorbed = beside - level
    within, line = frame.within, frame.line
    deep = _mean(absorbed, line)
    width = float((absorbed * within).sum()) / (max(deep, 1e-3) * float(line.sum()) + 1e-9)
    return float(np.log(max(width, 1e-3) / parts.shape[1]))


def _log(pixels: Pixels, channel: int) -> Plane:
    level = pixels[..., channel].astype(np.float32) + np.float32(0.5)
    return np.asarray(np.log(level), np.float32)


def _logit(pixels: Pixels, channel: int) -> Plane:
    level = pixels[..., channel].astype(np.float32) + np.float32(0.5)
    return np.asarray(np.log(level / (256 - level)), np.float32)


def _mean(values: NDArray[np.float32], weight: Plane) -> float:
    return float((values * weight).sum(dtype=np.float64) / (weight.sum(dtype=np.float64) + 1e-9))
