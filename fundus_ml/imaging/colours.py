"""Whether a photograph has a fundus's colours: red outweighs green, green outweighs blue."""

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import Refused
from fundus_ml.imaging.opencv import cv2

Pixels = NDArray[np.uint8]

SMALL = 64
"""Side of the copy that is looked at, pixels."""
INNER = 0.9
"""Share of the radius within which nothing is seen of the rim."""
DARK, GLARE = 16, 250
"""Brightest channel up to which, darkest from which on, a pixel has no colour to judge."""
FEWEST = 200
"""Pixels of the copy needed to judge."""
GREYEST, COLOURED = 4.0, 0.05
"""Grey levels by which the channels of grey differ, and share of its pixels where by more."""
MOST_BLUE = 0.75
"""Share of an eye in which blue may outweigh red."""
LEAST_ORDER = 0.3
"""Share in which red must outweigh green, and green blue."""
LEAST_HUES = 0.004
"""Standard deviation, in shares of red and of blue in ``R + G + B``; tinted grey stays below."""


def check_colours(view: Pixels) -> bool:
    """Refuse what has no fundus's colours, and say whether an eye's are doubtful.

    Blood, pigment and the lens take blue from the light before green and green before red, in every
    eye and camera. Each limit lies between what photographs of eyes show and what grey, inverted,
    swapped and tinted copies of them do.

    Args:
        view: ``(size, size, 3)`` uint8 RGB, the circle inscribed, black outside it.

    Returns:
        Whether the colours are unlike a retina's: green outweighs red, or blue green, or there is
        one hue in all of the eye, as where grey was tinted. False where too little is seen.

    Raises:
        Refused: ``grey`` where the three channels are equal, ``colours swapped or inverted`` where
            blue outweighs red.
    """
    red, green, blue = _seen(view)
    if len(red) < FEWEST:
        return False
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    if np.mean(spread > GREYEST) <= COLOURED:
        raise Refused(
            "grey",
            "the three channels are equal, as in red-free, fluorescein and X-ray pictures: "
            "give the colour photograph",
        )
    bluer = float(np.mean(blue > red))
    if bluer > MOST_BLUE:
        raise Refused(
            "colours swapped or inverted",
            f"blue outweighs red in {bluer:.0%} of the eye: store it as red, green, blue, "
            "and as a positive",
        )
    if min(np.mean(red > green), np.mean(green > blue)) < LEAST_ORDER:
        return True
    whole = red + green + blue
    return bool(max(np.std(red / whole), np.std(blue / whole)) < LEAST_HUES)


def _seen(view: Pixels) -> tuple[NDArray[np.float32], ...]:
    """Red, green, blue of the pixels inside that are neither black nor burnt out, ``(n,)`` each."""
    small = cv2.resize(view, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    channels = red, green, blue = cv2.split(small)
    brightest = cv2.max(red, cv2.max(green, blue))
    darkest = cv2.min(red, cv2.min(green, blue))
    seen = (brightest > DARK) & (darkest < GLARE) & _INNER
    return tuple(channel[seen].astype(np.float32) for channel in channels)


_ALONG = (2 * np.arange(SMALL) + 1 - SMALL) / SMALL
_INNER = np.hypot(_ALONG[:, None], _ALONG) <= INNER
