"""Lines along the middle of vessels: their pieces, lengths, windings, and widths across them."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from fundus_ml.biomarkers.view import Mask

Points = NDArray[np.float64]
"""``(n, 2)`` rows and columns."""

_EIGHT = np.ones((3, 3), np.int8)
_DIRECTIONS = 16
"""Directions in which a chord across a vessel is tried, over half a turn."""
_STEP = 0.5
"""Pixels between two looks along a chord."""
_BLUR = 0.6
"""Blur of a mask in pixels, which turns its stairs into a slope and leaves its border in place."""


def centre_line(mask: Mask) -> Mask:
    """``(H, W)`` one-pixel lines along the middle of everything in a mask."""
    return np.asarray(skeletonize(mask), np.bool_)


def pieces(line: Mask) -> list[Points]:
    """Cut a centre line at its branchings, and order the pixels of each piece from end to end.

    Returns:
        ``(n, 2)`` rows and columns per piece, of two pixels or more; rings are left out.
    """
    neighbours = ndimage.convolve(line.astype(np.int8), _EIGHT, mode="constant") - line
    free = line & (neighbours <= 2)  # noqa: PLR2004 (a line has two sides)
    labels, count = ndimage.label(free, _EIGHT)
    rows, columns = labels.nonzero()
    order = np.argsort(labels[rows, columns], kind="stable")
    edges = np.cumsum(np.bincount(labels[rows, columns], minlength=count + 1)[1:])[:-1]
    places = np.stack([rows, columns], axis=1)[order]
    ordered = [_walk(part) for part in np.split(places, edges)] if count else []
    return [piece for piece in ordered if len(piece) > 1]


def _walk(part: NDArray[np.int64]) -> Points:
    left = {(int(row), int(column)) for row, column in part}
    ends = [place for place in left if len(_beside(place, left)) == 1]
    if not ends:
        return np.empty((0, 2))
    at = min(ends)
    way = [at]
    left.discard(at)
    while following := _beside(at, left):
        # A step along rows or columns first, so that no pixel of a corner is left behind.
        at = min(following, key=lambda place: abs(place[0] - at[0]) + abs(place[1] - at[1]))
        way.append(at)
        left.discard(at)
    return np.asarray(way, np.float64)


def _beside(place: tuple[int, int], among: set[tuple[int, int]]) -> list[tuple[int, int]]:
    row, column = place
    return [
        (row + down, column + right)
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
        if (down or right) and (row + down, column + right) in among
    ]


def arc_and_chord(piece: Points, *, smooth: float) -> tuple[float, float]:
    """Length along a piece and straight from end to end, pixels.

    Args:
        piece: ``(n, 2)`` ordered pixels.
        smooth: Width of the blur along it, pixels, that takes away the stairs of pixels.
    """
    soft = ndimage.gaussian_filter1d(piece, smooth, axis=0, mode="nearest")
    soft[0], soft[-1] = piece[0], piece[-1]
    steps = np.hypot(*np.diff(soft, axis=0).T)
    return float(steps.sum()), float(math.dist(piece[0], piece[-1]))


def widths_across(mask: Mask, points: Points, *, widest: float) -> NDArray[np.float64]:
    """Width of a mask at points inside it: the shortest chord through each.

    Args:
        mask: ``(H, W)`` vessels.
        points: ``(n, 2)`` rows and columns on centre lines.
        widest: Longest chord looked for, pixels.

    Returns:
        ``(n,)`` pixels, to a fraction of one.
    """
    soft = ndimage.gaussian_filter(mask.astype(np.float32), _BLUR)
    angle = np.arange(2 * _DIRECTIONS) * np.pi / _DIRECTIONS
    along = np.arange(0, widest / 2 + 1, _STEP)
    rays = np.stack([np.sin(angle), np.cos(angle)], axis=-1)[:, None] * along[:, None]
    places = points[:, None, None] + rays  # (n, directions, steps, 2)
    levels = ndimage.map_coordinates(soft, np.moveaxis(places, -1, 0), order=1)
    reach = _first_below_half(levels) * _STEP
    chords = reach[:, :_DIRECTIONS] + reach[:, _DIRECTIONS:]
    return np.asarray(chords.min(axis=1))


def _first_below_half(levels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Steps until a level falls below one half, between two of them; all where none does."""
    below = levels < 0.5  # noqa: PLR2004 (half covered)
    at = np.where(below.any(axis=-1), below.argmax(axis=-1), levels.shape[-1] - 1)
    before = np.take_along_axis(levels, (at - 1).clip(0)[..., None], -1)[..., 0]
    here = np.take_along_axis(levels, at[..., None], -1)[..., 0]
    part = (before - 0.5) / np.maximum(before - here, 1e-6)
    return np.asarray(np.where(at > 0, at - 1 + part.clip(0, 1), 0.0), np.float64)
