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
MOST_BLUE, DOUBTFUL_BLUE = 0.75, 0.5
"""Share of an eye in which blue outweighs red: above, it is refused, or doubtful."""
LEAST_ORDER = 0.3
"""Share in which red must outweigh green, and green blue."""
HUES = (0.004, 0.2)
"""Standard deviation of the share of red or of blue: tinted grey is below, flowers are above."""


def check_colours(view: Pixels) -> bool:
    """Refuse what has no fundus's colours, and say whether an eye's are doubtful.

    Blood, pigment and the lens absorb blue more than green and green more than red, in every eye.
    Each limit lies between what 5,465 photographs of eyes show and what their grey, inverted,
    swapped and tinted copies show.

    Args:
        view: ``(size, size, 3)`` uint8 RGB, the circle inscribed, black outside it.

    Returns:
        Whether the colours are unlike a retina's: green outweighs red, or blue outweighs either;
        the eye has a single hue, as tinted grey has, or more than eyes have. False where too little
        is seen to judge.

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
    ordered = min(float(np.mean(red > green)), float(np.mean(green > blue)))
    if ordered < LEAST_ORDER or bluer > DOUBTFUL_BLUE:
        return True
    whole = red + green + blue
    hues = max(float(np.std(red / whole)), float(np.std(blue / whole)))
    return not HUES[0] <= hues <= HUES[1]


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
