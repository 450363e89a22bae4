"""The field of view as a value: the lit circle, and the straight edges that cut it."""

from dataclasses import dataclass, replace
from typing import NamedTuple


class Cut(NamedTuple):
    """A straight edge inside the frame; outside it lies surround, also within the circle.

    A pixel is outside where ``across * x + down * y`` exceeds ``limit``.

    Attributes:
        side: Which side of the circle it cuts off: left, top, right or bottom.
        across: Growth of the distance outwards per column; 1 or -1 along its own axis.
        down: Growth per row.
        limit: Distance at which the cut lies.
    """

    side: str
    across: float
    down: float
    limit: float

    def scaled(self, factor_x: float, factor_y: float) -> "Cut":
        """Say where it lies once the image is resized by these factors."""
        across, down = self.across / factor_x, self.down / factor_y
        moved = (self.across - across + self.down - down) / 2
        return Cut(self.side, across, down, self.limit + moved)

    def without(self, left: int, top: int) -> "Cut":
        """Say where it lies once so many columns and rows are cut off."""
        return self._replace(limit=self.limit - self.across * left - self.down * top)


@dataclass(frozen=True)
class FieldOfView:
    """The lit circle, in pixels of the image it was found in.

    Attributes:
        x: Column of the centre; whole numbers are pixel centres; may lie outside the frame.
        y: Row of the centre.
        radius: Half its height, above 0; the circle may reach over the frame's edges.
        aspect: Its width over its height: 1 unless the frame's shape was changed after the shot.
        cut: The sides on which it is cut, by the frame or by a straight edge inside the frame, in
            the order left, top, right, bottom.
        confidence: From 0 to 1, how well what was seen agrees with the circle.
        cuts: Those straight edges inside the frame.
    """

    x: float
    y: float
    radius: float
    aspect: float = 1.0
    cut: tuple[str, ...] = ()
    confidence: float = 1.0
    cuts: tuple[Cut, ...] = ()

    def scaled(self, factor_x: float, factor_y: float) -> "FieldOfView":
        """Say where it lies once the image is resized by these factors."""
        return replace(
            self,
            x=(self.x + 0.5) * factor_x - 0.5,
            y=(self.y + 0.5) * factor_y - 0.5,
            radius=self.radius * factor_y,
            aspect=self.aspect * factor_x / factor_y,
            cuts=tuple(cut.scaled(factor_x, factor_y) for cut in self.cuts),
        )
