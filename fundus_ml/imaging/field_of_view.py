"""The lit circle of a fundus photograph: found by its edge, cropped without changing its shape."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import InputError, Refused
from fundus_ml.imaging.circles import Circle, fit_circle
from fundus_ml.imaging.opencv import cv2

DETECTION_SIZE = 256
"""Longer side, in pixels, of the copy the circle is looked for in."""
LIT_FRACTION = 0.08
"""Lit begins this far from the surround's brightness to the retina's."""
FAINTEST_RISE = 6.0
"""Grey levels a lit pixel has over the surround at least; JPEG noise stays below."""
DIMMEST_RETINA = 16.0
"""Grey levels the brightest twentieth of a photograph must reach above the surround."""
WHITE = 235
"""A corner whose darkest channel reaches this is paper or an overlay, never retina."""
LEAST_ON_CIRCLE = 0.6
"""Share of the edge inside the frame that must lie on the circle."""
LEAST_ARC = 0.2
"""Share of the circle's turn that its edge must be seen on."""
LEAST_FILLED = 0.5
"""Share of the circle inside the frame that must be lit."""
RADIUS_RANGE = (0.2, 1.0)
"""Radius allowed, as a share of the frame's longer side."""
FEWEST_POINTS = 8
"""Edge points a circle is fitted to at least."""


class NoFieldOfView(Refused):
    """A photograph without a lit circle."""


@dataclass(frozen=True)
class FieldOfView:
    """The lit circle, in pixels of the image it was found in.

    Attributes:
        x: Column of the centre; whole numbers are pixel centres; may lie outside the frame.
        y: Row of the centre.
        radius: Half its height, above 0; the circle may reach over the frame's edges.
        aspect: Its width over its height: 1 unless the frame's shape was changed after the shot.
        cut: The frame's sides that cut it, in the order left, top, right, bottom.
        confidence: From 0 to 1, how well what was seen agrees with the circle.
    """

    x: float
    y: float
    radius: float
    aspect: float = 1.0
    cut: tuple[str, ...] = ()
    confidence: float = 1.0


def find_field_of_view(image: NDArray[np.uint8]) -> FieldOfView:
    """Fit a circle to the edge between the lit retina and its dark surround.

    Only edge points inside the frame count, so the circle may be off-centre and cut by any of the
    frame's sides as long as some of its edge is seen. Shadows, notches and labels on the edge are
    outvoted by the circle most edge points agree on. Some releases make wide frames square; an
    edge that only a squashed circle explains is taken as one.

    Args:
        image: ``(H, W, 3)`` uint8 RGB, any size.

    Returns:
        The circle in the pixels of ``image``, good to a few thousandths of its longer side.

    Raises:
        NoFieldOfView: ``no bright field``, ``no edge in the frame``, ``circle does not fit``.
    """
    height, width = image.shape[:2]
    scale = min(1.0, DETECTION_SIZE / max(height, width))
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(image, shape, interpolation=cv2.INTER_AREA), np.uint8)
    lit = _lit(small)
    pixel = np.array([width / shape[0], height / shape[1]])
    points = (_edge(lit) + 0.5) * pixel - 0.5
    low, high = (share * max(height, width) for share in RADIUS_RANGE)
    circle = fit_circle(points, low=low, high=high)
    if circle is None:
        raise NoFieldOfView("circle does not fit", "its edge bends too much or too little")
    rows, columns = np.indices(lit.shape)
    places = (np.stack([columns, rows], axis=-1) + 0.5) * pixel - 0.5
    _check(circle, points, lit[np.hypot(*circle.offsets(places)) <= circle.radius])
    return FieldOfView(*circle)


def crop_to_field_of_view(
    image: NDArray[np.uint8],
    field: FieldOfView,
    *,
    size: int,
    interpolation: Literal["area", "nearest"] = "area",
) -> NDArray[np.uint8]:
    """Cut the rectangle around the circle and bring it to a square in which the circle is round.

    Args:
        image: ``(H, W, 3)`` uint8 photograph, or an ``(H, W)`` uint8 map of its regions.
        field: The circle, in the pixels of ``image``.
        size: Side of the result in pixels.
        interpolation: ``area`` averages the pixels under each new one (and is linear where the
            rectangle must grow); ``nearest`` mixes nothing, as bit flags need.

    Returns:
        ``(size, size, 3)`` or ``(size, size)`` uint8; black where the rectangle leaves the frame.

    Raises:
        InputError: ``size`` or the circle's radius is too small.
    """
    wide, high = round(2 * field.radius * field.aspect), round(2 * field.radius)
    if size < 1 or min(wide, high) < 1:
        raise InputError(f"size={size}, radius={field.radius}: both must be at least 1 pixel")
    left, top = round(field.x - (wide - 1) / 2), round(field.y - (high - 1) / 2)
    height, width = image.shape[:2]
    cut = np.zeros((high, wide, *image.shape[2:]), np.uint8)
    rows = slice(max(0, top), max(0, min(height, top + high)))
    columns = slice(max(0, left), max(0, min(width, left + wide)))
    seen = image[rows, columns]
    y, x = rows.start - top, columns.start - left
    cut[y : y + seen.shape[0], x : x + seen.shape[1]] = seen
    shrink = cv2.INTER_AREA if min(wide, high) >= size else cv2.INTER_LINEAR
    how = cv2.INTER_NEAREST_EXACT if interpolation == "nearest" else shrink
    return np.asarray(cv2.resize(cut, (size, size), interpolation=how), np.uint8)


def _lit(small: NDArray[np.uint8]) -> NDArray[np.bool_]:
    brightness = cv2.medianBlur(np.ascontiguousarray(small.max(axis=2)), 3)
    brightness[_white_corners(small)] = 0
    margin = max(2, min(brightness.shape) // 32)
    corners = [
        np.median(brightness[rows, columns])
        for rows in (slice(margin), slice(-margin, None))
        for columns in (slice(margin), slice(-margin, None))
    ]
    surround, retina = min(corners), float(np.percentile(brightness, 95))
    if retina - surround < DIMMEST_RETINA:
        raise NoFieldOfView(
            "no bright field", f"brightest {retina:.0f} of 255 over a surround of {surround:.0f}"
        )
    rise = max(FAINTEST_RISE, LIT_FRACTION * (retina - surround))
    lit = np.asarray(brightness > surround + rise, np.uint8)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(lit)
    assert count > 1
    return np.asarray(labels == 1 + np.argmax(statistics[1:, cv2.CC_STAT_AREA]))


def _white_corners(small: NDArray[np.uint8]) -> NDArray[np.bool_]:
    white = np.asarray(small.min(axis=2) >= WHITE, np.uint8)
    _, labels = cv2.connectedComponents(white)
    touched = {int(labels[y, x]) for y in (0, -1) for x in (0, -1)} - {0}
    return np.isin(labels, list(touched))


def _edge(lit: NDArray[np.bool_]) -> NDArray[np.float64]:
    outlines, _ = cv2.findContours(lit.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = max(outlines, key=len)[:, 0].astype(np.float64)
    limit = np.array(lit.shape[::-1]) - 2
    inside = ((points > 1) & (points < limit)).all(axis=1)
    if inside.sum() < max(FEWEST_POINTS, max(lit.shape) // 16):
        raise NoFieldOfView(
            "no edge in the frame", f"{inside.sum()} points of the lit area's edge are inside it"
        )
    return points[inside]


def _check(circle: Circle, points: NDArray[np.float64], lit_inside: NDArray[np.bool_]) -> None:
    on_circle = circle.holds(points)
    across, down = circle.offsets(points[on_circle])
    degrees = (np.arctan2(down, across) * 180 / np.pi).astype(int)
    measures = (
        (on_circle.mean(), LEAST_ON_CIRCLE, "of the lit edge lies on it"),
        (len(np.unique(degrees)) / 360, LEAST_ARC, "of its turn is seen"),
        (lit_inside.mean() if lit_inside.size else 0.0, LEAST_FILLED, "of it is lit"),
    )
    for share, least, what in measures:
        if share < least:
            raise NoFieldOfView(
                "circle does not fit", f"{share:.0%} {what}, {least:.0%} are needed"
            )
