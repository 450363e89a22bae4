"""What a picture shows with the retina painted flat, averaged over 8 by 8 cells."""

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.margins import BLACK, MEASURED_SIDE

SIDE = 8
"""Cells per side."""

Floats = NDArray[np.float64]


def masked_retinas(pixels: NDArray[np.uint8]) -> Floats:
    """Average what is left of cropped eyes with the retina painted flat.

    Args:
        pixels: ``(n, size, size, 3)`` uint8 RGB, the circle inscribed.

    Returns:
        ``(n, 128)`` of 8 by 8 cells: the brightness outside the circle in grey levels times the
        share of the cell that lies there, and the share of the cell inside the circle that is
        black, which is where the photograph cuts the field of view.
    """
    seen = _coarse(pixels)
    along = (2 * np.arange(seen.shape[1]) + 1 - seen.shape[1]) / seen.shape[1]
    outside = np.hypot(along[:, None], along) > 1
    surround = np.where(outside, seen.mean(axis=3, dtype=np.float64), 0)
    cut = ~outside & (seen.max(axis=3) <= BLACK)
    return np.hstack(
        [
            _averaged(part[..., None]).reshape(len(pixels), -1)
            for part in (surround, cut.astype(np.float64))
        ]
    )


def _coarse(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    step = -(-pixels.shape[1] // MEASURED_SIDE)
    return pixels[:, step // 2 :: step, step // 2 :: step]


def _averaged(values: Floats) -> Floats:
    """Average over cells of nearly equal size: ``(n, size, size, c)`` to ``(n, 8, 8, c)``."""
    size = values.shape[1]
    side = min(SIDE, size)
    starts = np.arange(side) * size // side
    sizes = np.diff([*starts, size])
    sums = np.add.reduceat(np.add.reduceat(values, starts, axis=1), starts, axis=2)
    means: Floats = sums / (sizes[:, None, None] * sizes[:, None])
    return means
