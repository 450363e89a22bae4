"""From a photograph to the square around its field of view, and back with what was found there."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.circles import Circle
from fundus_ml.imaging.cuts import find_cuts
from fundus_ml.imaging.field import Cut, FieldOfView
from fundus_ml.imaging.field_of_view import crop_to_field_of_view, rectangle_around
from fundus_ml.imaging.lit_area import Light
from fundus_ml.imaging.pictures import brightest_channel
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, Mask, stretched

DARK = 16
"""Brightest channel up to which nothing of a retina is seen."""

RETINA = (160, 80, 40)
"""Red, green and blue that stand for what was photographed; any colour of a retina does."""


@dataclass(frozen=True)
class Square:
    """The square around a field of view; its circle is round, its surround black.

    Attributes:
        pixels: ``(size, size, 3)`` uint8 RGB.
        left: Column of the photograph at which the square begins, pixels.
        top: Row, likewise.
        across: Pixels of the square per pixel of the photograph, along a row.
        down: Likewise along a column; differs where the frame's shape was changed.
    """

    pixels: NDArray[np.uint8]
    left: float
    top: float
    across: float
    down: float

    @classmethod
    def around(cls, image: NDArray[np.uint8], field: FieldOfView, *, size: int) -> Self:
        """Cut it out of an ``(H, W, 3)`` photograph."""
        left, top, wide, high = rectangle_around(field)
        pixels = crop_to_field_of_view(image, field, size=size, surround="black")
        return cls(pixels, left, top, size / wide, size / high)

    def point_in(self, point: Landmark) -> Landmark:
        """Where a point of the photograph lies on the square."""
        x, y = (point.x - self.left + 0.5) * self.across, (point.y - self.top + 0.5) * self.down
        return replace(point, x=x - 0.5, y=y - 0.5)

    def point_out(self, point: Landmark) -> Landmark:
        """Where a point of the square lies on the photograph."""
        x, y = (point.x + 0.5) / self.across + self.left, (point.y + 0.5) / self.down + self.top
        return replace(point, x=x - 0.5, y=y - 0.5)

    def ellipse_in(self, ellipse: Ellipse) -> Ellipse:
        """Where an ellipse of the photograph lies on the square."""
        centre = self.point_in(Landmark(x=ellipse.x, y=ellipse.y))
        return replace(stretched(ellipse, self.across, self.down), x=centre.x, y=centre.y)

    def ellipse_out(self, ellipse: Ellipse) -> Ellipse:
        """Where an ellipse of the square lies on the photograph."""
        centre = self.point_out(Landmark(x=ellipse.x, y=ellipse.y))
        return replace(stretched(ellipse, 1 / self.across, 1 / self.down), x=centre.x, y=centre.y)


def field_on_square(field: FieldOfView, *, frame: tuple[int, int], size: int) -> FieldOfView:
    """Say where a field of view lies on the square that is cut around it.

    Args:
        field: In pixels of the photograph.
        frame: ``(H, W)`` of the photograph.
        size: Side of the square, pixels.

    Returns:
        The circle that touches the square's four sides. Straight edges that cut it are those of
        ``field``, and those of the frame where the square leaves it.
    """
    left, top, wide, high = rectangle_around(field)
    edges = {
        "left": (left < 0, Cut("left", -1, 0, 0.5)),
        "top": (top < 0, Cut("top", 0, -1, 0.5)),
        "right": (left + wide > frame[1], Cut("right", 1, 0, frame[1] - 0.5)),
        "bottom": (top + high > frame[0], Cut("bottom", 0, 1, frame[0] - 0.5)),
    }
    cuts = (*field.cuts, *(edge for leaves, edge in edges.values() if leaves))
    middle = (size - 1) / 2
    return FieldOfView(
        x=middle,
        y=middle,
        radius=size / 2,
        cut=field.cut,
        confidence=field.confidence,
        cuts=tuple(cut.without(left, top).scaled(size / wide, size / high) for cut in cuts),
    )


def field_that_fills(seen: Mask) -> FieldOfView:
    """Say what field of view a square shows, from what of it was photographed.

    Args:
        seen: ``(S, S)``: the retina of a stored map, or the pixels that are lit. Shadows and dark
            vessels may be missing.

    Returns:
        The circle that touches the square's four sides, with the straight edges beyond which a
        side of it was not photographed.
    """
    size = len(seen)
    middle = (size - 1) / 2
    painted = np.asarray(seen[..., None] * np.array(RETINA, np.uint8), np.uint8)
    light = Light(painted, painted[..., 0], 0.0, float(RETINA[0]), on_paper=False)
    cuts = find_cuts(painted, light, Circle(middle, middle, size / 2, 1.0))
    return FieldOfView(middle, middle, size / 2, cuts=cuts)


def lit_pixels(pixels: NDArray[np.uint8]) -> Mask:
    """Pixels of an ``(S, S, 3)`` uint8 RGB square that are brighter than what no light fell on."""
    return brightest_channel(pixels) > DARK
