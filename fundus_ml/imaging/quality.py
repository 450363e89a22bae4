"""How good a photograph of an eye is: focus, illumination, contrast, colour cast, visible area."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.opencv import cv2

VIEW_SIDE = 256
"""Pixels per side of a view; every other length here follows from it."""
SMALL = 64
"""Side of the copy on which everything but fine detail is measured."""
CELLS = 16
"""Cells per side within which gradients and contrast are averaged."""
CLEAR = 0.9
"""Share of the radius within which nothing is seen of the rim."""
DARK = 16
"""Brightest channel, of 255, up to which nothing is seen."""
GLARE = 250
"""Darkest channel, of 255, from which on nothing is seen."""
FEWEST_CELLS = 8
"""Cells in which something must be seen for it to be judged."""
LOW_PASS = 3.0
"""Standard deviation of the local brightness, pixels of the small copy."""

SHARP = 2.5
"""Fine over coarse gradients of a sharp eye; 1 where blur has left only the coarse ones."""
RICH = 0.05
"""Local Weber contrast (root mean square) of an eye whose vessels stand out: tanh(1) = 0.76."""
LIGHT = 80.0
"""Grey levels that a well lit retina is at least from black, and from white."""
EVEN = 0.6
"""Brightness of the darkest tenth over the brightest of an evenly lit retina."""
RETINA_RED = (0.40, 0.72)
"""Share of red in the colour of a retina, from the palest to the most pigmented."""
RETINA_BLUE = (0.0, 0.27)
"""Share of blue; some cameras record none."""
WORST_CAST = 0.4
"""Colour cast from which on the colour of an eye says nothing."""

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


class Quality(NamedTuple):
    """Measures of one eye; all but ``colour_cast`` are from 0 to 1, the best.

    Attributes:
        focus: How much finer its edges are than blur over 3 pixels of 256 would leave them.
        illumination: Whether its retina is lit, and evenly; places so dark that nothing is seen
            there do not count here but in ``visible_area``.
        contrast: Local contrast of vessels and texture.
        colour_cast: Distance of its colour from the retinas', in shares of red and blue in
            ``R + G + B``; 0 for none, at most 0.84.
        visible_area: Share of the circle that is neither black nor burnt out.
        quality: One score: ``(focus · illumination · contrast)^(1/3)`` times ``visible_area`` times
            ``1 - colour_cast / WORST_CAST``, so that it never rises when a measure worsens.
    """

    focus: float
    illumination: float
    contrast: float
    colour_cast: float
    visible_area: float
    quality: float


def measure_quality(view: Pixels) -> Quality:
    """Measure the quality of one eye without a reference.

    Cameras of any resolution are compared at one size, at scales a small photograph still holds.
    Focus is a ratio of gradients and does not see contrast or brightness; contrast is relative to
    the local brightness and does not see exposure. Gradients count as far as they agree on a
    direction, as at vessels and unlike noise.

    Args:
        view: ``(256, 256, 3)`` uint8 RGB, the circle of radius 128 in its middle, black outside
            the circle and outside the photograph's frame.

    Returns:
        Its measures; all but ``visible_area`` are 0 where too little is seen to be judged.

    Raises:
        InputError: ``view`` has another shape or type.

    Source:
        The four indicators of Pires Dias et al. 2012, doi:10.1016/j.protcy.2012.09.096, each by a
        closed form of its own. Focus: the coherent gradient energy of Zhu & Milanfar 2010, IEEE
        TIP 19:3116, here fine over coarse. Contrast: local, band-limited, after Peli 1990, JOSA A
        7:2032. Constants are near what ODIR-5K eyes called normal show: the 95th percentile
        (``SHARP``), the middle (``RICH``, ``LIGHT``, ``EVEN``), all but 2 % (the colours).
    """
    small, seen, clear, cells = _looked_at(view)
    visible = float(seen.sum() / _CIRCLE.sum())
    if cells.sum() < FEWEST_CELLS:
        return Quality(0.0, 0.0, 0.0, 0.0, visible, 0.0)
    focus = _focus(view, small, cells)
    illumination = _illumination(small, clear)
    contrast = _contrast(small, clear, cells)
    cast = _colour_cast(small[clear > 0])
    quality = np.cbrt(focus * illumination * contrast) * visible * max(0.0, 1 - cast / WORST_CAST)
    return Quality(focus, illumination, contrast, cast, visible, float(quality))


def measure_focus(view: Pixels) -> float:
    """Measure the focus of one eye alone, as :func:`measure_quality` does.

    Args:
        view: ``(256, 256, 3)`` uint8 RGB, as there.

    Returns:
        From 0 to 1; 0 where too little is seen to be judged.

    Raises:
        InputError: ``view`` has another shape or type.
    """
    small, _, _, cells = _looked_at(view)
    return 0.0 if cells.sum() < FEWEST_CELLS else _focus(view, small, cells)


class _LookedAt(NamedTuple):
    """The small copy, what is seen on it, away from edges too, and the cells that are judged."""

    small: Pixels
    seen: Pixels
    clear: Floats
    cells: NDArray[np.bool_]


def _looked_at(view: Pixels) -> _LookedAt:
    if view.shape != (VIEW_SIDE, VIEW_SIDE, 3) or view.dtype != np.uint8:
        raise InputError(
            f"view of shape {view.shape}, {view.dtype}: "
            f"must be ({VIEW_SIDE}, {VIEW_SIDE}, 3) of uint8"
        )
    small = np.asarray(cv2.resize(view, (SMALL, SMALL), interpolation=cv2.INTER_AREA), np.uint8)
    seen = _seen(small)
    # Away from the edges of what is seen, which are none of the retina's.
    clear = _CLEAR * np.asarray(cv2.erode(seen, np.ones((5, 5), np.uint8)), np.float32)
    return _LookedAt(small, seen, clear, _averaged(clear) > CLEAR)


def _radius() -> NDArray[np.float64]:
    along = (2 * np.arange(SMALL) + 1 - SMALL) / SMALL
    return np.hypot(*np.meshgrid(along, along))


_CIRCLE = _radius() <= 1
_CLEAR = (_radius() <= CLEAR).astype(np.float32)


def _seen(small: Pixels) -> Pixels:
    red, green, blue = cv2.split(small)
    brightest = cv2.max(red, cv2.max(green, blue))
    darkest = cv2.min(red, cv2.min(green, blue))
    return ((brightest > DARK) & (darkest < GLARE) & _CIRCLE).astype(np.uint8)


def _averaged(values: NDArray[Any]) -> Floats:
    return np.asarray(cv2.resize(values, (CELLS, CELLS), interpolation=cv2.INTER_AREA), np.float32)


def _focus(view: Pixels, small: Pixels, cells: NDArray[np.bool_]) -> float:
    """Compare gradients at 1 pixel with those at about 3 (0.7 and a pixel's width, times 4)."""
    fine = _coherent_gradients(view, 1.0)[cells].mean()
    coarse = _coherent_gradients(small, 0.7)[cells].mean() * SMALL / VIEW_SIDE
    ratio = float(fine / coarse) if coarse > 0 else 1.0
    return float(np.clip((ratio - 1) / (SHARP - 1), 0, 1))


def _coherent_gradients(picture: Pixels, sigma: float) -> Floats:
    """Per cell, the root of the difference of the eigenvalues of the green structure tensor."""
    green = cv2.extractChannel(picture, 1).astype(np.float32)
    # Written over one another: fresh memory for each would cost more than the arithmetic.
    cv2.GaussianBlur(green, (0, 0), sigma, dst=green)
    across = cv2.Scharr(green, cv2.CV_32F, 1, 0)
    down = cv2.Scharr(green, cv2.CV_32F, 0, 1)
    mixed = _averaged(cv2.multiply(across, down, dst=green))
    cv2.multiply(across, across, dst=across)
    cv2.multiply(down, down, dst=down)
    difference = _averaged(cv2.subtract(across, down, dst=across))
    return np.sqrt(np.hypot(difference, 2 * mixed))


def _illumination(small: Pixels, clear: Floats) -> float:
    luminance = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    low = _low_pass(luminance, clear)[clear > 0]
    dark, middle, bright = np.percentile(low, (10, 50, 90))
    lit = min(1.0, middle / LIGHT, (255 - middle) / LIGHT)
    even = min(1.0, dark / bright / EVEN)
    return float(np.sqrt(lit * even))


def _contrast(small: Pixels, clear: Floats, cells: NDArray[np.bool_]) -> float:
    green = cv2.extractChannel(small, 1).astype(np.float32)
    low = _low_pass(green, clear)
    # A few grey levels more, or the noise of a black channel would pass for contrast.
    weber = clear * (green - low) / (low + 4)
    return float(np.tanh(np.sqrt(np.median(_averaged(weber * weber)[cells])) / RICH))


def _low_pass(values: Floats, clear: Floats) -> Floats:
    weight = cv2.GaussianBlur(clear, (0, 0), LOW_PASS)
    total = cv2.GaussianBlur(values * clear, (0, 0), LOW_PASS)
    return np.asarray(total / np.maximum(weight, 1e-3), np.float32)


def _colour_cast(colours: Pixels) -> float:
    red, green, blue = np.median(colours, axis=0) + 1
    whole = red + green + blue
    return float(np.hypot(_beyond(red / whole, *RETINA_RED), _beyond(blue / whole, *RETINA_BLUE)))


def _beyond(value: float, low: float, high: float) -> float:
    return max(low - value, value - high, 0.0)
