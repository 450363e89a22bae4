"""Samples of more than 8 bits become 8: scaled by the range they fill, never stretched."""

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.opencv import cv2

BYTE = 8
"""Bits of the samples that everything after decoding works on."""
ROOM = 16
"""Bits that a file has room for where it does not say how many the camera filled."""
DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras and converters fill of those :data:`ROOM`."""


def stored_bits(image: NDArray[np.uint16]) -> int:
    """Tell how many of 16 bits are in use: the fewest of :data:`DEPTHS` that hold every sample.

    PNG and TIFF say 16 and do not say how many of them the camera filled. Each depth is a quarter
    of the next, so a photograph is taken for a shallower one only if nothing in it reaches a
    quarter of the range: none of 5,466 public fundus photographs is that dark.
    """
    largest = int(image.max())
    return next(bits for bits in DEPTHS if largest < 2**bits)


def eight_bits(image: NDArray[np.uint16] | NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Scale ``0 … 2**bits - 1`` to ``0 … 255``, rounded; what lies above becomes 255.

    Args:
        image: ``(H, W, 3)`` samples.
        bits: Bits of each sample, 1 to 16.
    """
    return np.asarray(cv2.convertScaleAbs(image, alpha=255 / (2**bits - 1)), np.uint8)


def depth_remark(bits: int) -> str:
    """Flag of an eye whose samples were scaled: ``scaled from 12 bits``."""
    return f"scaled from {bits} bits"
