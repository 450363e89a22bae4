"""What of a photograph is lit: the retina, against a dark surround or paper, and its edge."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import Refused
from fundus_ml.imaging.opencv import cv2

FAINTEST_RISE = 6.0
"""Grey levels a lit pixel has over the surround at least; JPEG noise stays below."""
DIMMEST_RETINA = 16.0
"""Grey levels the brightest twentieth of a photograph must reach above the surround."""
BRIGHTEST_SHARE = 0.05
"""That twentieth."""
WHITE = 235
"""A corner whose darkest channel reaches this is paper or an overlay, never retina."""
LINE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
"""What this does not fit into is no retina where paper was taken away."""
FEWEST_POINTS = 8
"""Edge points needed at least."""


class NoFieldOfView(Refused):
    """A photograph without a lit circle."""


@dataclass(frozen=True)
class Light:
    """How bright a photograph is where, and what of that is the retina's.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 RGB that was measured.
        brightness: ``(H, W)`` uint8, the brightest channel; 0 where paper was taken away.
        surround: Level of the darkest corner.
        retina: Level that the brightest twentieth reaches.
        on_paper: Whether a corner showed paper.
    """

    pixels: NDArray[np.uint8]
    brightness: NDArray[np.uint8]
    surround: float
    retina: float
    on_paper: bool

    def rise(self, fraction: float) -> float:
        """Grey levels from the surround to a level between it and the retina."""
        return max(FAINTEST_RISE, fraction * (self.retina - self.surround))

    def lit(self, fraction: float) -> NDArray[np.uint8]:
        """Tell what lies above a level between surround and retina: ``(H, W)`` uint8, 1 if so."""
        lit = np.asarray(self.brightness > self.surround + self.rise(fraction), np.uint8)
        if not self.on_paper:
            return lit
        # Between paper and a dark surround runs a grey line.
        return np.asarray(cv2.morphologyEx(lit, cv2.MORPH_OPEN, LINE), np.uint8)


def measure_light(image: NDArray[np.uint8]) -> Light:
    """Measure brightness against the darkest corner; paper that reaches a corner is dark.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.

    Raises:
        NoFieldOfView: ``no bright field``.
    """
    red, green, blue = cv2.split(image)
    brightness = np.asarray(cv2.medianBlur(cv2.max(cv2.max(red, green), blue), 3), np.uint8)
    paper = _paper(image)
    if paper is not None:
        brightness[paper] = 0
    surround = _surround(brightness)
    counts = cv2.calcHist([brightness], [0], None, [256], [0, 256]).ravel()
    retina = float(np.searchsorted(counts.cumsum(), (1 - BRIGHTEST_SHARE) * brightness.size))
    if retina - surround < DIMMEST_RETINA:
        raise NoFieldOfView(
            "no bright field", f"brightest {retina:.0f} of 255 over a surround of {surround:.0f}"
        )
    return Light(image, brightness, surround, retina, on_paper=paper is not None)


def edge_points(lit: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Follow the outline of the largest lit area, where it does not run along the frame.

    Args:
        lit: ``(H, W)`` uint8, 1 where lit.

    Returns:
        ``(n, 2)`` columns and rows, in order.

    Raises:
        NoFieldOfView: ``no edge in the frame``.
    """
    outlines, _ = cv2.findContours(lit, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    nothing = np.empty((0, 1, 2))
    points = max(outlines, key=cv2.contourArea, default=nothing)[:, 0].astype(np.float64)
    x, y = points.T
    inside = (x > 1) & (y > 1) & (x < lit.shape[1] - 2) & (y < lit.shape[0] - 2)
    count = np.count_nonzero(inside)
    if count < max(FEWEST_POINTS, max(lit.shape) // 16):
        raise NoFieldOfView(
            "no edge in the frame", f"{count} points of the lit area's edge are inside it"
        )
    return np.asarray(points[inside])


def _surround(brightness: NDArray[np.uint8]) -> float:
    margin = max(2, min(brightness.shape) // 32)
    ends = (slice(margin), slice(-margin, None))
    corners = [brightness[rows, columns].ravel() for rows in ends for columns in ends]
    # A sort takes a tenth of the time of np.median.
    ordered = np.sort(corners, axis=1)
    return float(ordered[:, ordered.shape[1] // 2].min())


def _paper(image: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    corners = [(y, x) for y in (0, -1) for x in (0, -1)]
    if max(min(image[corner].tolist()) for corner in corners) < WHITE:
        return None
    _, labels = cv2.connectedComponents(np.asarray(image.min(axis=2) >= WHITE, np.uint8))
    # White wedges between round pictures on one page reach a side of the frame only.
    sides = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.isin(labels, np.unique(sides[sides > 0]))
