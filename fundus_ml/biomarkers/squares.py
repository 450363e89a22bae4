"""Biomarkers of many stored squares, by all cores."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fundus_ml.biomarkers.catalogue import CATALOGUE
from fundus_ml.biomarkers.measuring import measure_biomarkers
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.columns import regions_of_row
from fundus_ml.imaging.regions.finding import find_regions
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.imaging.regions.squares import field_that_fills, lit_pixels
from fundus_ml.imaging.regions.structures import Regions
from fundus_ml.parallel import in_order


class EyeSquare(NamedTuple):
    """One stored eye, which its field of view fills.

    Attributes:
        pixels: ``(size, size, 3)`` uint8 RGB.
        region_map: ``(size, size)`` uint8 of ``REGION_FLAGS``, or None.
        row: Its row of the manifest, with ``REGION_COLUMNS``, or None. Without it, regions are
            looked for inside the retina of the map; without a map, inside what is lit.
    """

    pixels: NDArray[np.uint8]
    region_map: NDArray[np.uint8] | None = None
    row: Mapping[str, object] | None = None

    def regions(self) -> Regions:
        """Where its parts lie, as stored, or as found on the square."""
        if self.region_map is None:
            return find_regions(self.pixels, field=field_that_fills(lit_pixels(self.pixels)))
        if self.row is None:
            retina = self.region_map & REGION_FLAGS["retina"] > 0
            return find_regions(self.pixels, field=field_that_fills(retina))
        return regions_of_row(self.row, self.region_map)


def measure_squares(
    squares: Sequence[EyeSquare],
) -> Iterator[tuple[NDArray[np.float64], list[str]]]:
    """Measure every square, inside :func:`~fundus_ml.parallel.processes` by all of them.

    Args:
        squares: Eyes of one size.

    Yields:
        ``(biomarkers,)`` values in the order of the catalogue, and the reason of each, empty where
        it has a value.
    """
    yield from in_order(_measure, squares)


def _measure(square: EyeSquare) -> tuple[NDArray[np.float64], list[str]]:
    # Processes share the cores already.
    cv2.setNumThreads(1)
    found = measure_biomarkers(square.pixels, square.regions())
    values = np.array([found.values[each.name] for each in CATALOGUE])
    return values, [found.reasons.get(each.name, "") for each in CATALOGUE]
