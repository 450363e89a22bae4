"""Whether a few short arcs fix a circle: how far its unseen part may lie from where it is put."""

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.circles import Circle

FEWEST = 12
"""Points below which arcs say nothing about a shape."""
FEWEST_QUARTERS = 3
"""Quarters of the turn that must show some edge; the corners of a frame lie in all four."""
STANDARD_ERRORS = 2.0
"""Standard errors added to the largest distance."""

_AROUND = np.arange(72) / 72 * 2 * np.pi


def unseen_error(circle: Circle, points: NDArray[np.float64]) -> float:
    """Bound how far the true outline may lie from the circle where it is not seen.

    The distances of the points from the circle are explained by a shape that may also be moved,
    enlarged, squashed (``cos 2t``) and square or cut at its corners (``cos 4t``). Arcs that do
    not exclude such a shape do not fix the circle.

    Args:
        circle: The circle.
        points: ``(n, 2)`` columns and rows of the edge seen on it.

    Returns:
        The largest distance of that shape from the circle with its standard errors, as a share of
        the radius; infinite where the points are too few or lie on one side.
    """
    across, down = circle.offsets(points)
    quarters = np.unique(2 * (across > 0) + (down > 0))
    if len(points) < FEWEST or len(quarters) < FEWEST_QUARTERS:
        return float("inf")
    seen = _shapes(np.arctan2(down, across))
    away = np.hypot(across, down) / circle.radius - 1
    inverse = np.linalg.pinv(seen.T @ seen, rcond=1e-9, hermitian=True)
    shape = inverse @ seen.T @ away
    variance = ((away - seen @ shape) ** 2).sum() / (len(points) - seen.shape[1])
    around = _shapes(_AROUND)
    errors = np.sqrt(variance * np.einsum("ij,jk,ik->i", around, inverse, around).clip(0))
    return float((np.abs(around @ shape) + STANDARD_ERRORS * errors).max())


def _shapes(turns: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack(
        [np.ones_like(turns), np.cos(turns), np.sin(turns), np.cos(2 * turns), np.cos(4 * turns)]
    )
