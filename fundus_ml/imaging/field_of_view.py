"""The lit circle of a fundus photograph: found by its edge, cropped without changing its shape."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import InputError
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
EDGE_TOLERANCE = 0.015
"""Share of the radius an edge point may be off the circle."""
LEAST_ON_CIRCLE = 0.5
"""Share of the edge inside the frame that must lie on the circle."""
LEAST_ARC = 0.2
"""Share of the circle's turn that its edge must be seen on."""
LEAST_FILLED = 0.5
"""Share of the circle inside the frame that must be lit."""
RADIUS_RANGE = (0.2, 1.0)
"""Radius allowed, as a share of the frame's longer side."""
TRIALS = 400
"""Circles through three edge points that are tried."""


class NoFieldOfView(InputError):
    """A photograph without a lit circle; ``reason`` is a short class, ``detail`` what was seen."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["NoFieldOfView"], tuple[str, str]]:
        """Rebuild from both texts, so that it survives the way back from a worker."""
        return type(self), (self.reason, self.detail)


@dataclass(frozen=True)
class FieldOfView:
    """The lit circle, in pixels of the original photograph.

    Attributes:
        x: Column of the centre; whole numbers are pixel centres; may lie outside the frame.
        y: Row of the centre.
        radius: Above 0; the circle may reach over the frame's edges.
    """

    x: float
    y: float
    radius: float


def find_field_of_view(image: NDArray[np.uint8]) -> FieldOfView:
    """Fit a circle to the edge between the lit retina and its dark surround.

    Only edge points inside the frame count, so the circle may be off-centre and cut by any of the
    frame's sides as long as some of its edge is seen. Shadows, notches and labels on the edge are
    outvoted: the circle most edge points agree on is kept (RANSAC), then refined on those.

    Args:
        image: ``(H, W, 3)`` uint8 RGB, any size.

    Returns:
        The circle in the pixels of ``image``, good to about a thousandth of its longer side.

    Raises:
        NoFieldOfView: ``no bright field``, ``no edge in the frame``, ``circle does not fit``.

    Source:
        Fischler and Bolles 1981 (RANSAC); Gauss-Newton on the points' distances to the circle.
    """
    height, width = image.shape[:2]
    scale = min(1.0, DETECTION_SIZE / max(height, width))
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(image, shape, interpolation=cv2.INTER_AREA), np.uint8)
    lit = _lit(small)
    points = _edge(lit)
    circle, on_circle = _vote(points, max(lit.shape))
    circle = _refine(circle, points[on_circle])
    _check(circle, points, lit)
    x, y, radius = circle
    wide, high = width / shape[0], height / shape[1]
    return FieldOfView(
        x=float((x + 0.5) * wide - 0.5),
        y=float((y + 0.5) * high - 0.5),
        radius=float(radius * (wide + high) / 2),
    )


def crop_to_field_of_view(
    image: NDArray[np.uint8],
    field: FieldOfView,
    *,
    size: int,
    interpolation: Literal["area", "nearest"] = "area",
) -> NDArray[np.uint8]:
    """Cut the square around the circle and bring it to ``size``, with one scale for both axes.

    Args:
        image: ``(H, W, 3)`` uint8 photograph, or an ``(H, W)`` uint8 map of its regions.
        field: The circle, in the pixels of ``image``.
        size: Side of the result in pixels.
        interpolation: ``area`` averages the pixels under each new one (and is linear where the
            square must grow); ``nearest`` mixes nothing, as bit flags need.

    Returns:
        ``(size, size, 3)`` or ``(size, size)`` uint8; black where the square leaves the frame.

    Raises:
        InputError: ``size`` or the circle's radius is too small.
    """
    side = round(2 * field.radius)
    if size < 1 or side < 1:
        raise InputError(f"size={size}, radius={field.radius}: both must be at least 1 pixel")
    left, top = (round(centre - (side - 1) / 2) for centre in (field.x, field.y))
    height, width = image.shape[:2]
    square = np.zeros((side, side, *image.shape[2:]), np.uint8)
    rows = slice(max(0, top), max(0, min(height, top + side)))
    columns = slice(max(0, left), max(0, min(width, left + side)))
    seen = image[rows, columns]
    y, x = rows.start - top, columns.start - left
    square[y : y + seen.shape[0], x : x + seen.shape[1]] = seen
    shrink = cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR
    how = cv2.INTER_NEAREST_EXACT if interpolation == "nearest" else shrink
    return np.asarray(cv2.resize(square, (size, size), interpolation=how), np.uint8)


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
    if inside.sum() < max(lit.shape) // 16:
        raise NoFieldOfView(
            "no edge in the frame", f"{inside.sum()} points of the lit area's edge are inside it"
        )
    return points[inside]


def _vote(
    points: NDArray[np.float64], longest: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    draws = np.random.default_rng(0).integers(len(points), size=(TRIALS, 3))
    circles = _through(points[draws])
    low, high = (share * longest for share in RADIUS_RANGE)
    circles = circles[(circles[:, 2] >= low) & (circles[:, 2] <= high)]
    if not len(circles):
        raise NoFieldOfView("circle does not fit", "its edge bends too much or too little")
    away = np.hypot(*(points[None] - circles[:, None, :2]).transpose(2, 0, 1)) - circles[:, 2:]
    near = np.abs(away) <= EDGE_TOLERANCE * circles[:, 2:]
    best = int(near.sum(axis=1).argmax())
    return circles[best], near[best]


def _through(triples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Circles ``(n, 3)`` as x, y, radius through ``(n, 3, 2)`` points; bad triples are left out."""
    origin = triples[:, 0]
    b, c = triples[:, 1] - origin, triples[:, 2] - origin
    twice = 2 * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])
    usable = np.abs(twice) > 1
    origin, b, c, twice = origin[usable], b[usable], c[usable], twice[usable]
    b2, c2 = (b**2).sum(axis=1), (c**2).sum(axis=1)
    x = (c[:, 1] * b2 - b[:, 1] * c2) / twice
    y = (b[:, 0] * c2 - c[:, 0] * b2) / twice
    return np.column_stack([origin[:, 0] + x, origin[:, 1] + y, np.hypot(x, y)])


def _refine(
    circle: NDArray[np.float64], points: NDArray[np.float64], rounds: int = 5
) -> NDArray[np.float64]:
    for _ in range(rounds):
        apart = points - circle[:2]
        distance = np.hypot(apart[:, 0], apart[:, 1])
        slope = np.column_stack([-apart / distance[:, None], -np.ones(len(points))])
        step, *_ = np.linalg.lstsq(slope, circle[2] - distance, rcond=None)
        circle = circle + step
    return circle


def _check(
    circle: NDArray[np.float64], points: NDArray[np.float64], lit: NDArray[np.bool_]
) -> None:
    x, y, radius = circle
    apart = points - circle[:2]
    on_circle = np.abs(np.hypot(apart[:, 0], apart[:, 1]) - radius) <= EDGE_TOLERANCE * radius
    angles = np.arctan2(apart[on_circle, 1], apart[on_circle, 0])
    arc = len(np.unique((angles * 180 / np.pi).astype(int))) / 360
    rows, columns = np.indices(lit.shape)
    inside = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    filled = lit[inside].mean() if inside.any() else 0.0
    measures = (
        (on_circle.mean(), LEAST_ON_CIRCLE, "of the lit edge lies on it"),
        (arc, LEAST_ARC, "of its turn is seen"),
        (filled, LEAST_FILLED, "of it is lit"),
    )
    for share, least, what in measures:
        if share < least:
            raise NoFieldOfView(
                "circle does not fit", f"{share:.0%} {what}, {least:.0%} are needed"
            )
