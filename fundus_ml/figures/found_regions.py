"""Eyes with the regions found on them, for a person to check."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fundus_ml.figures.inputs import check_same_length
from fundus_ml.figures.panels import outline_regions
from fundus_ml.figures.sheets import sample_sheet
from fundus_ml.imaging.regions.maps import REGION_FLAGS

BLOOD = ("vessels", "arteries", "veins")
COLOURS = ((0.20, 0.95, 0.45), (1.0, 0.25, 0.30), (0.30, 0.55, 1.0))
"""Red, green, blue of a vessel, an artery, a vein."""
COVER = 0.55
"""Share of its colour that a vessel is drawn with."""


def region_sheet(
    images: NDArray[np.uint8],
    regions: NDArray[np.uint8],
    captions: Sequence[str],
    *,
    columns: int = 8,
) -> Figure:
    """Lay eyes out in a grid, each as it is and, to its right, with its regions.

    Disc, cup, macula and periphery are outlined; vessels are tinted green, arteries red, veins
    blue.

    Args:
        images: ``(n, H, W, 3)`` uint8 RGB.
        regions: ``(n, H, W)`` uint8 maps of :data:`~fundus_ml.imaging.regions.maps.REGION_FLAGS`.
        captions: ``n`` lines of text.
        columns: Pictures per row, an even number.

    Raises:
        InputError: Wrong shape or type, or another number of maps or captions.
    """
    check_same_length(len(images), captions=captions, regions=regions)
    tinted = np.stack([_tinted(image, drawn) for image, drawn in zip(images, regions, strict=True)])
    pairs = np.stack([images, tinted], axis=1).reshape(-1, *images.shape[1:])
    labels = [label for caption in captions for label in (caption, "")]
    figure = sample_sheet(pairs, labels, columns=columns)
    for axes, drawn in zip(figure.axes[1::2], regions, strict=True):
        outline_regions(axes, drawn)
    return figure


def _tinted(image: NDArray[np.uint8], drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    light = image.astype(np.float32) / 255
    for name, colour in zip(BLOOD, COLOURS, strict=True):
        inside = drawn & REGION_FLAGS[name] > 0
        light[inside] = (1 - COVER) * light[inside] + COVER * np.array(colour, np.float32)
    return np.asarray(np.rint(light * 255), np.uint8)
