"""Lines along the middle of vessels: their pieces, lengths, windings, and widths across them."""

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from fundus_ml.imaging.opencv import cv2

Mask: TypeAlias = NDArray[np.bool_]
Points: TypeAlias = NDArray[np.float64]
"""``(n, 2)`` rows and columns."""

EIGHT = np.ones((3, 3), np.int8)
"""Pixels that touch, corners too."""

_STEPS = ((-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
"""To the pixels around one: along rows and columns first, so that no corner is left behind."""
_DIRECTIONS = 16
"""Directions in which a chord across a vessel is tried, over half a turn."""
_STEP = 0.5
"""Pixels between two looks along a chord."""
_BLUR = 0.6
"""Blur of a mask in pixels, which turns its stairs into a slope and leaves its border in place."""


def centre_line(mask: Mask) -> Mask:
    """``(H, W)`` one-pixel lines along the middle of everything in a mask."""
    return np.asarray(skeletonize(mask), np.bool_)  # type: ignore[no-untyped-call]


def line_length(line: Mask) -> float:
    """Length of all centre lines, pixels.

    Source:
        Kulpa 1977, doi:10.1016/S0146-664X(77)80021-X: steps along rows and columns count 0.948,
        diagonal ones 1.340, which is right on average over all directions.
    """
    padded = np.pad(line, 1)
    here = padded[1:-1, 1:-1]
    beside, below = here & padded[1:-1, 2:], here & padded[2:, 1:-1]
    straight = beside.sum() + below.sum()
    # A corner that steps along rows and columns join already is no diagonal step.
    falling = here & padded[2:, 2:] & ~padded[1:-1, 2:] & ~padded[2:, 1:-1]
    rising = here & padded[2:, :-2] & ~padded[1:-1, :-2] & ~padded[2:, 1:-1]
    return float(0.948 * straight + 1.340 * (falling.sum() + rising.sum()))


def pieces(line: Mask) -> list[Points]:
    """Cut a centre line at its branchings, and order the pixels of each piece from end to end.

    Returns:
        ``(n, 2)`` rows and columns per piece, of two pixels or more; closed rings are left out.
    """
    touching = cv2.filter2D(line.astype(np.uint8), -1, EIGHT, borderType=cv2.BORDER_CONSTANT)
    free = line & (touching <= 3)  # noqa: PLR2004 (itself and one on each side)
    places = np.argwhere(free)
    if not len(places):
        return []
    label = ndimage.label(free, EIGHT)[0][free]
    order = _along(places, label, free.shape)
    walked = order >= 0
    sorting = np.lexsort((order[walked], label[walked]))
    found, label = places[walked][sorting].astype(np.float64), label[walked][sorting]
    return [part for part in np.split(found, np.flatnonzero(np.diff(label)) + 1) if len(part) > 1]


def _along(
    places: NDArray[np.int64], label: NDArray[np.int32], shape: tuple[int, ...]
) -> NDArray[np.int64]:
    """Walk all pieces at once, each from one end, and say at which step each pixel is met.

    Returns:
        ``(n,)``; -1 for what no walk meets, such as closed rings.
    """
    numbers = np.full((shape[0] + 2, shape[1] + 2), -1)
    numbers[places[:, 0] + 1, places[:, 1] + 1] = np.arange(len(places))
    beside = np.stack(
        [numbers[places[:, 0] + 1 + down, places[:, 1] + 1 + right] for down, right in _STEPS], 1
    )
    order = np.full(len(places) + 1, -1)
    order[-1] = 0  # where -1 points: no pixel to walk to
    ends = np.flatnonzero((beside >= 0).sum(axis=1) == 1)
    at = ends[np.unique(label[ends], return_index=True)[1]]
    order[at] = step = 0
    while len(at):
        step += 1
        open_to = order[beside[at]] < 0
        going = open_to.any(axis=1)
        at = beside[at[going], open_to[going].argmax(axis=1)]
        order[at] = step
    return order[:-1]


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
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _BLUR)
    angle = np.arange(2 * _DIRECTIONS) * np.pi / _DIRECTIONS
    along = np.arange(0, widest / 2 + 1, _STEP)
    shape = (len(points), len(angle), len(along))
    rows, columns = (
        (points[:, axis, None] + np.outer(way(angle), along).ravel()).astype(np.float32)
        for axis, way in enumerate((np.sin, np.cos))
    )
    levels = cv2.remap(soft, columns, rows, cv2.INTER_LINEAR)
    reach = _first_below_half(np.asarray(levels, np.float32).reshape(shape)) * _STEP
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


def medians_by_piece(line: Mask, *values: NDArray[np.generic]) -> tuple[NDArray[np.float64], ...]:
    """Median of each of several maps over each connected piece of a line, ``(pieces,)`` each."""
    labels, count = ndimage.label(line, EIGHT)
    if not count:
        return tuple(np.empty(0) for _ in values)
    own = labels[line]
    edges = np.cumsum(np.bincount(own)[1:])[:-1]
    order = np.argsort(own, kind="stable")
    return tuple(
        np.array([np.median(part) for part in np.split(each[line][order], edges)])
        for each in values
    )
