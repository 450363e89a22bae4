"""How well a circle explains what is lit in a photograph: the ground for trusting it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.arcs import unseen_error
from fundus_ml.imaging.beside import size_beside
from fundus_ml.imaging.circles import Circle, draw_disc
from fundus_ml.imaging.lit_area import Light
from fundus_ml.imaging.opencv import cv2

SECTORS = 72
"""Parts of the circle's turn, each of which shows an edge or not."""
STRAIGHT = 0.5
"""Pixels of edge, as a share of the radius, that make a row or column a straight cut."""
WHOLE_TURN = 1 / 3
"""Share of the turn from which on more of it makes a circle no surer."""
ARCS = 0.85
"""Confidence in less than that where it fixes the circle; the error left is taken away."""
ACCOMPANIED = 0.77
"""Confidence beside a speck of light; half the size of what is lit is taken away."""
BESIDE = 0.03
"""Share of the radius by which the places compared lie inside and outside the edge."""

SURER = 0.02
"""Confidence by which a circle is surer than another."""
STEEPER = 0.3
"""Share by which its edge must be steeper than the other's where it is not."""

_TURNS = (np.arange(SECTORS) + 0.5) / SECTORS * 2 * np.pi
_WAYS = np.stack([np.cos(_TURNS), np.sin(_TURNS)])


class Agreement(NamedTuple):
    """Shares, 0 to 1, that say how well a circle explains what is lit.

    Attributes:
        edge: Share of the lit area's edge, without straight cuts, on the circle.
        sectors: Share of the circle's sectors between frame or cuts, with edge on them.
        filled: Share of the circle inside the frame, lit.
        turn: Share of all its sectors, with edge on them.
        unseen: Share of the radius, by which it may be off where it is not seen; 0 where enough is.
        beside: Share of the radius that the largest disc of light outside it has; 0 if it is small.
        rim: Brightness just inside it, from the surround's to the retina's.
        step: By how much brightness falls across it, in the same unit.
    """

    edge: float
    sectors: float
    filled: float
    turn: float
    unseen: float
    beside: float
    rim: float
    step: float

    @property
    def confidence(self) -> float:
        """The least of the shares: of edge, sectors, filled, how well it is fixed, alone."""
        return min(1.0, self.edge, self.sectors, self.filled, self.fixed, self.alone)

    @property
    def fixed(self) -> float:
        """How well what is seen fixes it: a third of a turn does, and so may a few arcs."""
        return min(1.0, max(self.turn / WHOLE_TURN, ARCS - self.unseen))

    @property
    def alone(self) -> float:
        """Whether nothing of some size is lit beside it, and else how small that is."""
        return ACCOMPANIED - self.beside / 2 if self.beside else 1.0

    def is_better_than(self, wider: "Agreement") -> bool:
        """Whether a circle within another is surer, or as sure with a much steeper edge.

        Where the rim fades, any circle within has a slightly steeper edge; it is not the better.
        """
        if self.confidence < wider.confidence - SURER:
            return False
        rise = self.confidence * self.step - wider.confidence * wider.step
        if self.confidence >= wider.confidence + SURER:
            return rise > 0
        return rise > STEEPER * wider.confidence * wider.step

    @property
    def weakest(self) -> str:
        """What the confidence comes from, in words."""
        told = {
            f"{self.edge:.0%} of the lit edge lies on it": self.edge,
            f"{self.sectors:.0%} of what the frame shows of it is edge": self.sectors,
            f"{self.filled:.0%} of it is lit": self.filled,
            f"{self.turn:.0%} of its turn is seen": self.fixed,
            f"an area {self.beside:.0%} of its size is lit beside it": self.alone,
        }
        return min(told, key=lambda words: told[words])


def measure_agreement(
    circle: Circle, points: NDArray[np.float64], lit: NDArray[np.uint8], light: Light
) -> Agreement:
    """Compare a circle with the edge and the area it was fitted to.

    Args:
        circle: The circle, in the pixels of ``lit``.
        points: ``(n, 2)`` columns and rows of the lit area's edge inside the frame.
        lit: ``(H, W)`` uint8, 1 where lit.
        light: Light of the same pixels.
    """
    on_circle = circle.holds(points)
    left, top, right, bottom = _window(circle, points[~on_circle], lit.shape)
    across, down = circle.offsets(points[on_circle])
    rotated = np.arctan2(down, across) / (2 * np.pi) % 1
    seen = np.bincount((rotated * SECTORS).astype(int) % SECTORS, minlength=SECTORS) > 0
    columns, rows = _around(circle, circle.radius)
    visible = (columns > left) & (rows > top) & (columns < right) & (rows < bottom)
    x, y = points.T
    inner = (x > left) & (x < right) & (y > top) & (y < bottom)
    disc = draw_disc(circle, lit.shape)
    rim, step = _step(circle, light, visible)
    turn = float(seen.mean())
    return Agreement(
        edge=float(on_circle.sum() / max(1, (on_circle | inner).sum())),
        sectors=float((seen & visible).sum() / max(1, visible.sum())),
        filled=cv2.countNonZero(disc & lit) / max(1, cv2.countNonZero(disc)),
        turn=turn,
        unseen=0.0 if turn >= WHOLE_TURN else unseen_error(circle, points[on_circle]),
        beside=size_beside(circle, light),
        rim=rim,
        step=step,
    )


def _around(circle: Circle, radius: float) -> NDArray[np.float64]:
    """Columns and rows ``(2, SECTORS)`` of a circle around the same centre."""
    size = np.array([[radius * circle.aspect], [radius]])
    return np.asarray(_WAYS * size + np.array([[circle.x], [circle.y]]))


def _window(
    circle: Circle, off_circle: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """What the circle is seen through: the frame, or less where straight edges inside it cut."""
    frame = 1, 1, shape[1] - 2, shape[0] - 2
    if len(off_circle) < STRAIGHT * circle.radius:
        return frame
    sides = []
    for axis, centre in enumerate((circle.x, circle.y)):
        counts = np.bincount(off_circle[:, axis].astype(int), minlength=shape[1 - axis])
        dense = np.convolve(counts, np.ones(3), "same") >= STRAIGHT * circle.radius
        straight = np.flatnonzero(dense)
        before, after = straight[straight < centre], straight[straight >= centre]
        first, last = frame[axis], frame[axis + 2]
        sides.append((int(before.max(initial=first)), int(after.min(initial=last))))
    (left, right), (top, bottom) = sides
    return left, top, right, bottom


def _step(circle: Circle, light: Light, visible: NDArray[np.bool_]) -> tuple[float, float]:
    """Median brightness just inside, and the median fall to just outside, over what is seen."""
    if not visible.any():
        return 0.0, 0.0
    beside = max(2.5, BESIDE * circle.radius)
    rings = np.stack([_around(circle, circle.radius + by) for by in (-beside, beside)], axis=1)
    columns, rows = np.rint(rings[:, :, visible]).astype(int)
    height, width = light.brightness.shape
    levels = light.brightness[rows.clip(0, height - 1), columns.clip(0, width - 1)]
    inside, outside = levels.astype(np.float64)
    # A sort takes a tenth of the time of np.median.
    ordered = np.sort([inside - light.surround, inside - outside], axis=1)
    rim, step = ordered[:, ordered.shape[1] // 2]
    span = light.retina - light.surround
    return float(rim / span), float(step / span)
