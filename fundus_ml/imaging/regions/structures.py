"""The parts of one eye as values: where each lies, in pixels, and how sure that is."""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.field import FieldOfView

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Ellipse:
    """Optic disc or cup.

    Attributes:
        x: Column of the centre, pixels; whole numbers are pixel centres.
        y: Row of the centre, pixels.
        width: Full length of the axis at ``angle``, pixels, above 0.
        height: Full length of the axis across it, pixels, above 0.
        angle: Angle of the axis of ``width`` from the columns' direction, radians, clockwise as
            seen (rows run down), from -pi/4 to pi/4: ``height`` is the more vertical axis.
        confidence: From 0 to 1.
    """

    x: float
    y: float
    width: float
    height: float
    angle: float = 0.0
    confidence: float = 1.0

    @property
    def diameter(self) -> float:
        """Diameter of the circle of the same area, pixels: the disc diameter of this eye."""
        return math.sqrt(self.width * self.height)

    @property
    def area(self) -> float:
        """Area, square pixels."""
        return math.pi / 4 * self.width * self.height

    @property
    def vertical(self) -> float:
        """Height of the box around it, pixels: the vertical diameter."""
        return math.hypot(self.width * math.sin(self.angle), self.height * math.cos(self.angle))

    @property
    def horizontal(self) -> float:
        """Width of the box around it, pixels: the horizontal diameter."""
        return math.hypot(self.width * math.cos(self.angle), self.height * math.sin(self.angle))

    def distance(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Distance of every pixel from the centre, 1 on the border; ``shape`` is ``(H, W)``."""
        down = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(self.y)
        across = np.arange(shape[1], dtype=np.float32) - np.float32(self.x)
        cos, sin = np.float32(math.cos(self.angle)), np.float32(math.sin(self.angle))
        along = (across * cos + down * sin) / np.float32(self.width / 2)
        athwart = (down * cos - across * sin) / np.float32(self.height / 2)
        return np.asarray(np.hypot(along, athwart), np.float32)

    def contains(self, x: float, y: float) -> bool:
        """Whether a point, column ``x`` and row ``y``, lies inside it or on its border."""
        across, down = x - self.x, y - self.y
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        along, athwart = across * cos + down * sin, down * cos - across * sin
        return math.hypot(2 * along / self.width, 2 * athwart / self.height) <= 1

    def mask(self, shape: tuple[int, int]) -> Mask:
        """``(H, W)`` pixels inside it."""
        return np.asarray(self.distance(shape) <= 1)

    def scaled(self, factor: float, *, left: float = 0.0, top: float = 0.0) -> Self:
        """Say where it lies once ``left``, ``top`` are cut off, the rest resized by ``factor``."""
        x, y = _moved(self.x, left, factor), _moved(self.y, top, factor)
        return replace(self, x=x, y=y, width=self.width * factor, height=self.height * factor)


@dataclass(frozen=True, kw_only=True)
class Landmark:
    """A point of the eye: the fovea.

    Attributes:
        x: Column, pixels; whole numbers are pixel centres.
        y: Row, pixels.
        confidence: From 0 to 1.
    """

    x: float
    y: float
    confidence: float = 1.0

    def scaled(self, factor: float, *, left: float = 0.0, top: float = 0.0) -> Self:
        """Say where it lies once ``left``, ``top`` are cut off, the rest resized by ``factor``."""
        return replace(self, x=_moved(self.x, left, factor), y=_moved(self.y, top, factor))


@dataclass(frozen=True, kw_only=True)
class Laterality:
    """Which eye it is.

    Attributes:
        eye: ``left`` or ``right``: a right eye's disc lies right of its fovea.
        confidence: From 0 to 1.
    """

    eye: str
    confidence: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Vessels:
    """The vessels of one eye.

    Attributes:
        mask: ``(H, W)`` pixels on a vessel.
        arteries: ``(H, W)`` those known to be on an artery; all False where none can be told.
        veins: ``(H, W)`` likewise of veins; crossings may be both.
        confidence: From 0 to 1.
    """

    mask: Mask
    arteries: Mask
    veins: Mask
    confidence: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Regions:
    """What was found on one photograph, in its pixels; a part is None where it is not sure.

    Attributes:
        shape: ``(H, W)`` of the photograph.
        field: Field of view.
        retina: ``(H, W)`` pixels inside it that were photographed.
        disc: Optic disc, with its rim.
        cup: Excavation inside the disc.
        fovea: Centre of the macula.
        vessels: Vessel tree.
        eye: Left or right.
        doubts: Part to the one line that says why it is None.
    """

    shape: tuple[int, int]
    field: FieldOfView
    retina: Mask
    disc: Ellipse | None = None
    cup: Ellipse | None = None
    fovea: Landmark | None = None
    vessels: Vessels | None = None
    eye: Laterality | None = None
    doubts: tuple[tuple[str, str], ...] = ()


def ellipse_of_spread(x: float, y: float, spread: NDArray[np.float64]) -> Ellipse:
    """The ellipse of evenly spread area with these second moments.

    Args:
        x: Column of its centre, pixels.
        y: Row.
        spread: ``(2, 2)`` covariance of column and row within it, square pixels.
    """
    values, vectors = np.linalg.eigh(spread)
    upright = int(np.argmax(np.abs(vectors[1])))
    (across, down), high, wide = vectors[:, 1 - upright], values[upright], values[1 - upright]
    width, height = (4 * math.sqrt(max(float(value), 0.0)) for value in (wide, high))
    angle = math.atan2(float(down), float(across))
    angle = (angle + math.pi / 2) % math.pi - math.pi / 2
    return Ellipse(x=x, y=y, width=width, height=height, angle=angle)


def ellipse_of_mask(mask: Mask, *, fewest: int = 3) -> Ellipse | None:
    """The ellipse of a mask's area and moments.

    Args:
        mask: ``(H, W)``.
        fewest: Pixels; a mask of fewer has none (there is no ellipse through two).
    """
    rows, columns = np.nonzero(mask)
    if len(rows) < fewest:
        return None
    # A pixel is a square of 1 by 1, whose own variance adds to that of the centres.
    spread = np.cov(np.stack([columns, rows]), bias=True) + np.eye(2) / 12
    return ellipse_of_spread(float(columns.mean()), float(rows.mean()), spread)


def ellipse_of_moments(numbers: NDArray[np.float64]) -> Ellipse | None:
    """The ellipse of column and row of its centre and second moments xx, xy, yy; None of NaN."""
    if not np.isfinite(numbers).all():
        return None
    x, y, xx, xy, yy = (float(number) for number in numbers)
    return ellipse_of_spread(x, y, np.array([[xx, xy], [xy, yy]]))


def spread_of(ellipse: Ellipse) -> NDArray[np.float64]:
    """``(2, 2)`` covariance of column and row within an ellipse, square pixels."""
    cos, sin = math.cos(ellipse.angle), math.sin(ellipse.angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    semi = np.diag([(ellipse.width / 4) ** 2, (ellipse.height / 4) ** 2])
    return np.asarray(turn @ semi @ turn.T)


def stretched(ellipse: Ellipse, across: float, down: float) -> Ellipse:
    """Stretch an ellipse about its own centre by a factor along the rows and one along columns."""
    stretch = np.diag([across, down])
    spread = stretch @ spread_of(ellipse) @ stretch
    found = ellipse_of_spread(ellipse.x, ellipse.y, spread)
    return replace(found, confidence=ellipse.confidence)


def _moved(at: float, cut: float, factor: float) -> float:
    return (at - cut + 0.5) * factor - 0.5
