"""Straight cuts inside the frame: where a camera's mask ends the circle before the frame does."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.circles import Circle
from fundus_ml.imaging.field import Cut
from fundus_ml.imaging.lit_area import FAINTEST_RISE, Light
from fundus_ml.imaging.opencv import cv2

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

SIDES = ("left", "top", "right", "bottom")
NEAREST, FARTHEST = 0.35, 0.985
"""Distance of a cut from the centre, shares of the radius; further out nothing legible is left."""
TILTS = tuple(np.tan(np.deg2rad(np.arange(-4.0, 4.1, 2.0))).tolist())
"""Slopes that are tried, up to four degrees; the best is refined."""
UNLIT = 0.15
"""Level from the surround's brightness to the retina's up to which a pixel is dark."""
WHITE = 225
"""Darkest channel from which on a pixel is paper, where the retina is too pale to tell."""
RETINA_WITHIN = 0.2
"""Share of the lines just inside a cut that may look unlike retina: vessels, bleedings."""
SURROUND_BEYOND = 0.6
"""Share of what lies beyond it that must look unlike retina: the rest is writing."""
MIDDLE = 0.5
"""Half-side of the square around the centre that says how bright and red the retina is."""
REDDISH = 20.0
"""Red over green, grey levels, from which on what is not red is no retina: greys, most inks."""
UNREDDISH = 8
"""Red over green, grey levels, up to which a pixel is not red; JPEG leaves that much on grey."""
OUTERMOST = 5
"""Rows of the detection copy that are looked at first: most circles are whole in all of them."""
EVERY = 3
"""One pixel in so many is enough for a median, and to find a line."""
FEWEST_ROWS = 2
"""Pixels of the detection copy that a strip must be wide."""
REACH = 4
"""Pixels to either side of a cut that are compared."""
STRAIGHT = 1.0
"""Pixels that the edge may be off the line, at each place along it."""
ON_LINE = 0.65
"""Share of the places along a cut where it must be that straight; letters may touch the others."""
SEEN_ALONG = 0.85
"""Share of the cut's length that is looked at; its ends lie in the dark of the rim."""
FEWEST_PLACES = 12
"""Pixels of it needed at least."""
FAINTEST_STEP, CLEAR_STEP = 12.0, 0.33
"""Distance in colour from 2 pixels inside to 2 outside: grey levels, and share of the inner one."""
SOFTEST = 0.45
"""Share of that step that may lie further inside: shadows, eyelids and glare fade."""


def find_cuts(image: Pixels, light: Light, circle: Circle) -> tuple[Cut, ...]:
    """Find the straight edges between retina and a strip of surround, one a side at most.

    A strip is dark, white or grey, and may bear writing. The edge between strip and retina is sharp
    and runs straight from rim to rim, tilted by a few degrees at most.

    Args:
        image: ``(H, W, 3)`` uint8 RGB in which the circle was found.
        light: Light of the same pixels.
        circle: The circle, which the frame may cut as well.
    """
    cuts = []
    masks = _unlike_retina(image, light, circle)
    for side in SIDES:
        views = (_seen_from(side, image, unlit, circle) for unlit in masks)
        lines = [line for line in map(_line_below, views) if line is not None]
        if lines:
            cuts.append(_laid_back(side, min(lines, key=lambda line: line.distance), circle))
    return tuple(cuts)


def beyond_cuts(
    cuts: tuple[Cut, ...], left: float, top: float, wide: float, high: float, *, size: int
) -> NDArray[np.bool_]:
    """Tell which pixels of a square crop are not wholly retina.

    Args:
        cuts: In the pixels of the photograph.
        left: Column of the photograph where the crop begins.
        top: Row, likewise.
        wide: Columns of the photograph that a pixel of the crop covers.
        high: Rows, likewise.
        size: Side of the crop, pixels.

    Returns:
        ``(size, size)``; also true where a cut runs through the pixel.
    """
    steps = np.arange(size) + 0.5
    columns, rows = left - 0.5 + wide * steps, (top - 0.5 + high * steps)[:, None]
    beyond = np.zeros((size, size), bool)
    for _, across, down, limit in cuts:
        mixed = np.hypot(across * wide, down * high) / 2
        beyond |= across * columns + down * rows > limit - mixed
    return beyond


class _Line(NamedTuple):
    """Rows below the centre of a view: ``distance`` plus ``slope`` times the columns from it."""

    slope: float
    distance: float


def _unlike_retina(image: Pixels, light: Light, circle: Circle) -> list[NDArray[np.bool_]]:
    """Mask what is dark or paper; where the retina is red, mask a second time with what is not red.

    The first misses grey strips and coloured letters; to the second a pale rim may look alike.
    """
    red, green, blue = cv2.split(image)
    redness = cv2.subtract(red, green)
    half = MIDDLE * circle.radius
    middle = (
        _around(circle.y, half, len(redness)),
        _around(circle.x, half * circle.aspect, redness.shape[1]),
    )
    lit, reddish = (float(np.median(levels[middle])) for levels in (light.brightness, redness))
    dark = light.brightness <= light.surround + max(FAINTEST_RISE, UNLIT * (lit - light.surround))
    masks = [np.asarray(dark | (cv2.min(red, cv2.min(green, blue)) >= WHITE))]
    if reddish >= REDDISH:
        masks.append(masks[0] | (redness <= UNREDDISH))
    return masks


def _around(middle: float, half: float, side: int) -> slice:
    """Some pixels of a side that lie that near, one at least: the middle may be off the frame."""
    first = min(max(0, round(middle - half)), side - 1)
    return slice(first, min(max(first + 1, round(middle + half)), side), EVERY)


class _View(NamedTuple):
    """A photograph rotated so that one side lies below, and the circle in it.

    Attributes:
        image: ``(H, W, 3)``, rotated.
        unlit: ``(H, W)``, likewise.
        middle: Column and row of the circle's centre.
        reach: Its half-axes, along the columns and along the rows.
    """

    image: Pixels
    unlit: NDArray[np.bool_]
    middle: tuple[float, float]
    reach: tuple[float, float]

    def places(self) -> tuple[Floats, Floats]:
        """Columns and rows where a cut may lie, from the centre."""
        (wide, high), shape = self.reach, self.unlit.shape[::-1]
        half = wide * np.sqrt(1 - NEAREST**2)
        limits = ((-half, half), (NEAREST * high, FARTHEST * high))
        columns, rows = (
            np.arange(max(0, np.ceil(middle + low)), min(side, middle + high)) - middle
            for middle, (low, high), side in zip(self.middle, limits, shape, strict=True)
        )
        return columns, rows

    def inside(self, columns: Floats, rows: Floats) -> NDArray[np.bool_]:
        """Tell which of ``(rows, columns)`` lie inside the circle."""
        wide, high = self.reach
        return np.asarray(np.hypot(columns / wide, rows[:, None] / high) <= 1)

    def indices(self, columns: Floats, rows: Floats) -> tuple[Indices, Indices]:
        """Rows and columns of the picture."""
        x, y = self.middle
        return np.rint(rows + y).astype(int), np.rint(columns + x).astype(int)


def _seen_from(side: str, image: Pixels, unlit: NDArray[np.bool_], circle: Circle) -> _View:
    middle, reach = (circle.x, circle.y), (circle.radius * circle.aspect, circle.radius)
    if side in ("left", "right"):
        image, unlit = image.swapaxes(0, 1), unlit.T
        middle, reach = middle[::-1], reach[::-1]
    if side in ("left", "top"):
        image, unlit = image[::-1], unlit[::-1]
        middle = middle[0], len(image) - 1 - middle[1]
    return _View(image, unlit, middle, reach)


def _laid_back(side: str, line: _Line, circle: Circle) -> Cut:
    outwards = -1.0 if side in ("left", "top") else 1.0
    across, down = -line.slope, outwards
    if side in ("left", "right"):
        across, down = down, across
    return Cut(side, across, down, line.distance + across * circle.x + down * circle.y)


def _line_below(view: _View) -> _Line | None:
    columns, rows = view.places()
    if len(rows) < REACH or not len(columns):
        return None
    # Where all the outermost rows show retina, as in most photographs, there is no strip.
    inside = view.inside(columns, rows[-OUTERMOST:])
    down, across = view.indices(columns, rows[-OUTERMOST:])
    unlit = view.unlit[down[:, None], across] & inside
    if not np.any(unlit.sum(axis=1) > SURROUND_BEYOND * inside.sum(axis=1)):
        return None
    line = _best_line(view, columns, rows)
    return None if line is None else _refined(view, line)


def _best_line(view: _View, columns: Floats, rows: Floats) -> _Line | None:
    """The line where lit turns to unlit most clearly, to a pixel and two degrees."""
    columns = columns[::EVERY]
    down, right = np.nonzero(view.inside(columns, rows))
    unlit = view.unlit[view.indices(columns[right], rows[down])].astype(np.float64)
    best, line = 0.0, None
    for slope in TILTS:
        below = down - np.rint(slope * columns).astype(int)[right]
        first = int(below.min())
        clear = _clearness(np.bincount(below - first), np.bincount(below - first, unlit))
        place = int(clear.argmax())
        if clear[place] > best:
            best, line = float(clear[place]), _Line(slope, float(rows[0]) + first + place - 0.5)
    return line


def _clearness(counts: NDArray[np.number], unlit: NDArray[np.number]) -> Floats:
    """By how much the unlit share rises at each of the lines, 0 where no cut can be."""
    pixels, dark = (np.concatenate([[0], np.cumsum(of)]) for of in (counts, unlit))

    def share(first: Indices, end: Indices) -> Floats:
        return np.asarray((dark[end] - dark[first]) / np.maximum(pixels[end] - pixels[first], 1))

    lines = np.arange(len(counts))
    last = np.full_like(lines, len(counts))
    within = share(np.maximum(lines - REACH, 0), lines)
    beside, beyond = share(lines, np.minimum(lines + REACH, last)), share(lines, last)
    possible = (
        (lines >= REACH)
        & (lines <= len(lines) - FEWEST_ROWS)
        & (within <= RETINA_WITHIN)
        & (np.minimum(beside, beyond) >= SURROUND_BEYOND)
    )
    return np.where(possible, beside - within, 0.0)


def _refined(view: _View, line: _Line) -> _Line | None:
    """Fit the line to where the colour steps, at each place along it; None where it does not."""
    columns = _along(view, line)
    if len(columns) < FEWEST_PLACES:
        return None
    colours, unlit = _across(view, line, columns)
    off = _steps(colours, unlit)
    third = len(columns) // 3
    # Medians of both ends say how the edge runs, whatever letters touch it.
    run = np.median(columns[-third:]) - np.median(columns[:third])
    level = off - columns * (np.median(off[-third:]) - np.median(off[:third])) / run
    close = np.abs(level - np.median(level)) <= STRAIGHT
    if close.mean() < ON_LINE or not _is_sharp(colours):
        return None
    slope, distance = np.polyfit(columns[close], off[close], 1).tolist()
    return _Line(line.slope + slope, line.distance + distance)


def _along(view: _View, line: _Line) -> Floats:
    """Columns between the ends of the cut that the frame shows, from the centre."""
    (wide, high), middle = view.reach, view.middle[0]
    half = SEEN_ALONG * wide * np.sqrt(max(0.0, 1 - (line.distance / high) ** 2))
    low, high = max(-half, -middle), min(half, view.unlit.shape[1] - 1 - middle)
    return np.arange(np.ceil(middle + low), middle + high) - middle


def _across(view: _View, line: _Line, columns: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Colours ``(2 * REACH + 1, columns, 3)`` from inside outwards, and which are unlit."""
    offsets = np.arange(-REACH, REACH + 1.0)[:, None]
    rows = line.distance + line.slope * columns + offsets + view.middle[1]
    rows = rows.clip(0, len(view.image) - 1)
    at = np.rint(columns + view.middle[0]).astype(int)
    upper = np.minimum(rows.astype(int), len(view.image) - 2)
    share = (rows - upper)[..., None]
    colours = (1 - share) * view.image[upper, at] + share * view.image[upper + 1, at]
    return colours, view.unlit[np.rint(rows).astype(int), at]


def _steps(colours: Floats, unlit: NDArray[np.bool_]) -> Floats:
    """Pixels from the line outwards at which the colour steps, one for each column."""
    inside, outside = (np.median(colours[end], axis=(0, 1)) for end in (slice(2), slice(-2, None)))
    way = outside - inside
    share = ((colours - inside) @ way / max(1.0, float(way @ way))).clip(0, 1)
    # How far the inner colour reaches says where the edge is, however soft.
    return np.asarray((1 - np.where(unlit, 1.0, share)).sum(axis=0) - REACH - 0.5)


def _is_sharp(colours: Floats) -> bool:
    """Whether the colour changes at the line, and not before."""
    first, inside, outside = colours[[0, REACH - 2, REACH + 2]]
    fade, step, light = (
        float(np.median(np.linalg.norm(change, axis=1)))
        for change in (inside - first, outside - inside, inside)
    )
    return step >= max(FAINTEST_STEP, CLEAR_STEP * light) and fade <= SOFTEST * step
