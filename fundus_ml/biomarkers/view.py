"""What every biomarker looks at: one photograph, its regions, and the lengths they give."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fundus_ml.biomarkers.centre_lines import Mask, centre_line
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.structures import Regions

Plane: TypeAlias = NDArray[np.float32]
Pixels: TypeAlias = NDArray[np.uint8]
Measured: TypeAlias = float | str
"""A number, or the one line that says why there is none."""

ZONE = (0.5, 1.0)
"""From the disc's margin, in its diameters: zone B of the calibre protocols."""

WIDEST = 0.35
"""Widest vessel looked for, in typical disc diameters."""

TYPICAL_DISC = 0.30
"""Typical disc diameter over the radius of a field of 45 degrees."""

_DARKEST = 0.5
"""8-bit level that stands for 0 in a logarithm."""
_SPARED = 0.04
"""Width of the border around each vessel that is left out of colours, in typical disc diameters."""
_AROUND_DISC = 1.25
"""Left out of background colours around the disc, in its radius."""
_FEWEST = 30
"""Pixels from which a colour is measured."""
_ENOUGH = 20_000
"""Pixels of which a median is taken: a larger area is thinned out evenly."""
_TOLD = 0.2
"""Distance of fovea and disc across, in disc diameters, from which it tells the temporal side."""


@dataclass(frozen=True)
class View:
    """One photograph and its regions.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB.
        regions: What was found on it, in its pixels.
    """

    image: Pixels
    regions: Regions

    @cached_property
    def typical(self) -> float:
        """Typical disc diameter, pixels: the scale that no eye's own disc moves."""
        return TYPICAL_DISC * self.regions.field.radius

    @cached_property
    def temporal(self) -> float:
        """Sign of the columns' direction from disc to fovea; 0 where the side is not known."""
        disc, fovea, eye = self.regions.disc, self.regions.fovea, self.regions.eye
        if disc and fovea and abs(fovea.x - disc.x) > _TOLD * disc.diameter:
            return math.copysign(1.0, fovea.x - disc.x)
        if eye:
            return -1.0 if eye.eye == "right" else 1.0
        return 0.0

    @cached_property
    def background(self) -> Mask:
        """``(H, W)`` retina without disc and vessels, each with its border."""
        return self.clear & (self.disc_distance > _AROUND_DISC) if self.regions.disc else self.clear

    @cached_property
    def beside_vessels(self) -> Mask:
        """``(H, W)`` vessels with the border that their blur reaches."""
        if self.regions.vessels is None:
            return np.zeros(self.regions.shape, np.bool_)
        side = 2 * math.ceil(_SPARED * self.typical) + 1
        brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        mask = self.regions.vessels.mask.astype(np.uint8)
        return np.asarray(cv2.dilate(mask, brush) > 0)

    @cached_property
    def clear(self) -> Mask:
        """``(H, W)`` retina, disc included, without vessels and their border."""
        return self.regions.retina & ~self.beside_vessels

    @cached_property
    def disc_distance(self) -> Plane:
        """``(H, W)`` distance from the disc's centre, 1 on its border; the disc must be known."""
        assert self.regions.disc is not None
        return self.regions.disc.distance(self.regions.shape)

    @cached_property
    def cup_distance(self) -> Plane:
        """``(H, W)`` distance from the cup's centre, 1 on its border; the cup must be known."""
        assert self.regions.cup is not None
        return self.regions.cup.distance(self.regions.shape)

    @cached_property
    def from_margin(self) -> Plane:
        """``(H, W)`` distance from the disc's margin along rays, in its diameters; below 0 inside.

        The disc must be known.
        """
        return np.asarray((self.disc_distance - 1) / 2, np.float32)

    @cached_property
    def disc_window(self) -> tuple[slice, slice]:
        """Rows and columns of the disc with the zone around it, and a vessel's width more."""
        disc = self.regions.disc
        assert disc is not None
        radius = max(disc.width, disc.height) / 2
        reach = (1 + 2 * ZONE[1]) * radius + WIDEST * self.typical
        rows, columns = (
            slice(max(int(at - reach), 0), max(min(math.ceil(at + reach), length), 0))
            for at, length in zip((disc.y, disc.x), self.regions.shape, strict=True)
        )
        return rows, columns

    @cached_property
    def lines(self) -> tuple[Mask, Mask]:
        """Centre lines of arteries and of veins in :attr:`disc_window`."""
        vessels = self.regions.vessels
        assert vessels is not None
        arteries, veins = (
            self.line_of(mask[self.disc_window]) for mask in (vessels.arteries, vessels.veins)
        )
        return arteries, veins

    def line_of(self, mask: Mask) -> Mask:
        """Centre lines, thinned as in a right eye: thinning takes sides, fellow eyes must not."""
        turn = slice(None, None, -1 if self.temporal > 0 else 1)
        return centre_line(mask[:, turn])[:, turn]

    @cached_property
    def about_disc(self) -> tuple[Plane, Plane]:
        """Distance from the disc's centre and direction from it: see :meth:`_about`."""
        assert self.regions.disc is not None
        return self._about(self.regions.disc.x, self.regions.disc.y)

    @cached_property
    def about_fovea(self) -> tuple[Plane, Plane]:
        """Distance from the fovea and direction from it: see :meth:`_about`."""
        assert self.regions.fovea is not None
        return self._about(self.regions.fovea.x, self.regions.fovea.y)

    def _about(self, x: float, y: float) -> tuple[Plane, Plane]:
        """Distance of every pixel from a point, and its direction.

        Args:
            x: Column.
            y: Row.

        Returns:
            ``(H, W)`` pixels, and ``(H, W)`` degrees from -180 to 180: 0 temporal, 90 superior,
            whichever the eye; where its side is not known, as in a left eye.
        """
        height, width = self.regions.shape
        away = np.arange(width, dtype=np.float32) - np.float32(x)
        away *= np.float32(self.temporal or 1)
        up = (np.float32(y) - np.arange(height, dtype=np.float32))[:, None]
        return np.hypot(away, up), np.degrees(np.arctan2(up, away))

    def shown(self, mask: Mask, *, area: float) -> float:
        """Share of a region that was photographed, also where the frame cuts it.

        Args:
            mask: ``(H, W)`` what of it lies in the frame.
            area: Its whole area, square pixels.
        """
        return float((mask & self.regions.retina).sum()) / area

    def colour(self, mask: Mask) -> NDArray[np.float64] | None:
        """Median red, green and blue light under a mask; None where there is too little.

        Returns:
            ``(3,)`` natural logarithms of linear light, 0 at white.
        """
        pixels = self.image[mask]
        if len(pixels) < _FEWEST:
            return None
        pixels = pixels[:: len(pixels) // _ENOUGH + 1]
        return log_light(np.median(pixels, axis=0))


def log_light(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn 8-bit levels into the logarithm of light, so that a brighter lamp only adds.

    Args:
        levels: 0 to 255, encoded as sRGB.

    Source:
        IEC 61966-2-1.
    """
    share = np.maximum(levels, _DARKEST) / 255
    bright = ((share + 0.055) / 1.055) ** 2.4
    return np.asarray(np.log(np.where(share <= 0.04045, share / 12.92, bright)))  # noqa: PLR2004
