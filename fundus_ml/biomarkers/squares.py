"""Biomarkers of many stored squares, by all cores, with whatever finds their regions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fundus_ml.biomarkers.anatomy_table import regions_of_row
from fundus_ml.biomarkers.catalogue import CATALOGUE
from fundus_ml.biomarkers.measuring import measure_biomarkers
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.structures import Regions
from fundus_ml.parallel import in_order


class Square(NamedTuple):
    """One stored eye.

    Attributes:
        pixels: ``(size, size, 3)`` uint8 RGB.
        region_map: ``(size, size)`` uint8 of ``REGION_FLAGS``, or None.
        anatomy: Its row of the anatomy table, or None.
    """

    pixels: NDArray[np.uint8]
    region_map: NDArray[np.uint8] | None = None
    anatomy: Mapping[str, object] | None = None


FindRegions: TypeAlias = Callable[[Square], Regions]
"""Says where the parts of one stored eye lie; picklable, so that any process can."""


def tabulated_regions(square: Square) -> Regions:
    """Take the regions from the square's row of the anatomy table and its map."""
    assert square.anatomy is not None
    return regions_of_row(square.anatomy, square.region_map, len(square.pixels))


def measure_squares(
    squares: Sequence[Square], find: FindRegions
) -> Iterator[tuple[NDArray[np.float64], list[str]]]:
    """Measure every square, inside :func:`~fundus_ml.parallel.processes` by all of them.

    Args:
        squares: Eyes of one size.
        find: Finds the regions of each.

    Yields:
        ``(biomarkers,)`` values in the order of the catalogue, and the reason of each, empty where
        it has a value.
    """
    yield from in_order(partial(_measure, find), squares)


def _measure(find: FindRegions, square: Square) -> tuple[NDArray[np.float64], list[str]]:
    # Processes share the cores already.
    cv2.setNumThreads(1)
    found = measure_biomarkers(square.pixels, find(square))
    values = np.array([found.values[each.name] for each in CATALOGUE])
    return values, [found.reasons.get(each.name, "") for each in CATALOGUE]
