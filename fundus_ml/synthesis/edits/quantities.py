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
    window_of,
)
from fundus_ml.synthesis.edits.warps import fine_size, vessel_frame

RED, GREEN = 0, 1
BORDER_SOUGHT = (0.5, 1.9)
"""Disc radii between which the disc's border is looked for."""
FALL_BLUR = 0.05
"""Spread over which brightness is smoothed before its fall is taken, in disc diameters."""
BESIDE_VESSELS = 0.03
"""Spread of the average that gives the brightness beside a vessel, in widths of the square."""


def log_disc_diameter(pixels: Pixels, parts: EditedParts) -> float:
    """Logarithm of the disc's diameter over the square's width.

    The border lies where brightness falls along the radius: the mean distance of the pixels near
    it, weighted by the squared fall and counted alike in every direction.
    """
    assert parts.disc is not None
    away = disc_distance(parts)
    near, far = BORDER_SOUGHT
    window = window_of((away < far + 0.2) & parts.retina)
    away = away[window]
    bright = np.log(pixels[window][..., RED].astype(np.float32) + pixels[window][..., GREEN] + 1)
    soft = cv2.GaussianBlur(bright, (0, 0), FALL_BLUR * parts.disc.diameter)
    along = np.gradient(away)
    steep = np.hypot(*along) + np.float32(1e-6)
    fall = -sum(step * way / steep for step, way in zip(np.gradient(soft), along, strict=True))
    weight = smooth_step(away, near, near + 0.15) * smooth_step(away, far, far - 0.15)
    weight = weight * soft_retina(parts)[window] / (away + np.float32(0.1))
    border = _mean(away, weight * np.square(np.clip(fall, 0, None)) + np.float32(1e-12))
    return float(np.log(border * parts.disc.diameter / parts.shape[1]))


def log_disc_size(parts: EditedParts) -> float:
    """Logarithm of the diameter of the disc that was found, over the square's width."""
    assert parts.disc is not None
    return float(np.log(parts.disc.diameter / parts.shape[1]))


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


def log_vessel_width(parts: EditedParts) -> float:
    """Logarithm of the mean width of the vessels that were found, over the square's width.

    Their area over the length of their centre lines, where they may be warped.
    """
    assert parts.vessels is not None
    frame, width = vessel_frame(parts), parts.shape[1]
    # `line` holds shares of a pixel; a step along a line is one over the fine steps of a pixel.
    length = float(frame.line.sum()) * fine_size(parts)[0] / width
    area = float((parts.vessels & frame.support).sum())
    return float(np.log(max(area, 1.0) / max(length, 1.0) / width))


def _log(pixels: Pixels, channel: int) -> Plane:
    level = pixels[..., channel].astype(np.float32) + np.float32(0.5)
    return np.asarray(np.log(level), np.float32)


def _logit(pixels: Pixels, channel: int) -> Plane:
    level = pixels[..., channel].astype(np.float32) + np.float32(0.5)
    return np.asarray(np.log(level / (256 - level)), np.float32)


def _mean(values: NDArray[np.float32], weight: Plane) -> float:
    return float((values * weight).sum(dtype=np.float64) / (weight.sum(dtype=np.float64) + 1e-9))
