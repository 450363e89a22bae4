"""The lit circle of a fundus photograph: found by its edge, cropped without changing its shape."""

import math
from dataclasses import replace
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.agreement import Agreement, measure_agreement
from fundus_ml.imaging.circles import Circle, fit_circle
from fundus_ml.imaging.cuts import SIDES, beyond_cuts, find_cuts
from fundus_ml.imaging.field import FieldOfView
from fundus_ml.imaging.lit_area import Light, NoFieldOfView, edge_points, measure_light
from fundus_ml.imaging.opencv import cv2

__all__ = [
    "LEAST_CONFIDENCE",
    "SURE",
    "FieldOfView",
    "NoFieldOfView",
    "crop_to_field_of_view",
    "cut_rectangle",
    "find_field_of_view",
]

DETECTION_SIZE = 224
"""The circle is looked for in a copy whose longer side has this to twice this many pixels."""
LIT_FRACTIONS = (0.08, 0.25, 0.5)
"""Lit begins this far from the surround's brightness to the retina's; the first that is clear."""
CLEAR = 0.95
"""Confidence below which the next fraction is tried as well."""
FAINT = 0.0
"""The fraction tried where no other gives a sure circle: all that rises out of JPEG noise."""
BRIGHT_RIM = 0.4
"""Likewise for the light just inside the edge, from the surround's to the retina's."""
RADIUS_RANGE = (0.2, 1.0)
"""Radius allowed, as a share of the frame's longer side."""
CUT_TOLERANCE = 0.02
"""Share of the radius by which the circle must leave the frame on a side that cuts it."""
LEAST_CONFIDENCE = 0.6
"""Below, there is no field of view."""
SURE = 0.75
"""Below, the field of view is uncertain; the pipeline flags it."""
BLURRED_BELOW = 1.6
"""Times that shrink by less blur and sample: a quarter of the time of averaging broken pixels."""
MISSING_BLUR = 0.4
"""Width of that blur, pixels: leaves a fine texture as strong as averaging does, within 5 %."""
DOUBLED_BELOW = 2.0
"""Times that shrink by less sample twice as many and average four: half the time, as good."""
BORDERS = {"black": cv2.BORDER_CONSTANT, "mirror": cv2.BORDER_REFLECT}


def find_field_of_view(image: NDArray[np.uint8]) -> FieldOfView:
    """Fit a circle to the edge between the lit retina and its surround.

    Only edge points inside the frame count, so the circle may be off-centre and cut by any of the
    frame's sides as long as some of its edge is seen. Shadows, notches and labels on the edge are
    outvoted by the circle most edge points agree on. Some releases make wide frames square; an
    edge that only a squashed circle explains is taken as one.

    Args:
        image: ``(H, W, 3)`` uint8 RGB, any size.

    Returns:
        The circle in the pixels of ``image``, good to a few thousandths of its longer side. Its
        confidence is the least of five numbers: the share of the edge that lies on it, the share
        of what the frame shows of it that is edge, the share of it that is lit, how well the arcs
        seen fix it (wholly with a third of the turn; with less as far as they exclude any other
        outline), and how little else is lit beside it.

    Raises:
        NoFieldOfView: ``no bright field``, ``no edge in the frame``, ``circle does not fit``
            (also where the confidence is below :data:`LEAST_CONFIDENCE`), ``several eyes`` (a
            second lit area, more than a third as large as the circle, lies beside it).
    """
    reduction = max(1, max(image.shape[:2]) // DETECTION_SIZE)
    reduced = _reduced(image, reduction)
    light = measure_light(reduced)
    best, agreement = _best_fit(light)
    if agreement.confidence < LEAST_CONFIDENCE:
        if agreement.alone < LEAST_CONFIDENCE:
            detail = f"a lit area {agreement.beside:.0%} of the circle's size lies beside it"
            raise NoFieldOfView("several eyes", detail)
        told = f"{agreement.weakest}: confidence {agreement.confidence:.2f}"
        raise NoFieldOfView("circle does not fit", f"{told}, {LEAST_CONFIDENCE} is needed")
    cuts = find_cuts(reduced, light, best)
    found = FieldOfView(*best, confidence=agreement.confidence, cuts=cuts)
    field = found.scaled(reduction, reduction)
    return replace(field, cut=_cut(field, *image.shape[:2]))


def crop_to_field_of_view(
    image: NDArray[np.uint8],
    field: FieldOfView,
    *,
    size: int,
    interpolation: Literal["area", "nearest"] = "area",
    padding: Literal["black", "mirror"] = "black",
    surround: Literal["keep", "black"] = "keep",
) -> NDArray[np.uint8]:
    """Cut the rectangle around the circle and bring it to a square in which the circle is round.

    Args:
        image: ``(H, W, 3)`` uint8 photograph, or an ``(H, W)`` uint8 map of its regions.
        field: The circle, in the pixels of ``image``.
        size: Side of the result in pixels.
        interpolation: ``area`` averages the pixels under each new one, within half a grey level
            on retina (and is linear where the rectangle must grow); ``nearest`` mixes nothing, as
            bit flags need.
        padding: Where the rectangle leaves the frame: black, or the frame mirrored at its edge.
        surround: Outside the circle, and between it and its straight cuts: keep what is there, or
            black over dates and paper.

    Returns:
        ``(size, size, 3)`` or ``(size, size)`` uint8.

    Raises:
        InputError: ``size`` or the circle's radius is too small.
    """
    left, top, wide, high = rectangle_around(field)
    if size < 1 or min(wide, high) < 1:
        raise InputError(f"size={size}, radius={field.radius}: both must be at least 1 pixel")
    rectangle = cut_rectangle(image, left, top, wide, high, border=BORDERS[padding])
    square = _resized(rectangle, size, interpolation)
    if surround == "keep":
        return square
    alone = np.asarray(cv2.bitwise_and(square, _disc(square.shape)), np.uint8)
    if field.cuts:
        alone[beyond_cuts(field.cuts, left, top, wide / size, high / size, size=size)] = 0
    return alone


def rectangle_around(field: FieldOfView) -> tuple[int, int, int, int]:
    """Left, top, width and height of what is cut out, whole pixels; may leave the frame."""
    wide, high = round(2 * field.radius * field.aspect), round(2 * field.radius)
    return round(field.x - (wide - 1) / 2), round(field.y - (high - 1) / 2), wide, high


def _reduced(image: NDArray[np.uint8], reduction: int) -> NDArray[np.uint8]:
    if reduction == 1:
        return image
    # Whole blocks are averaged ten times faster; the last, broken ones are left out.
    height, width = (max(1, side // reduction) for side in image.shape[:2])
    whole = image[: height * reduction, : width * reduction]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _best_fit(light: Light) -> tuple[Circle, Agreement]:
    """The first clear fit; else, as a bright retina's halo may have an edge, the best of all."""
    best: tuple[Circle, Agreement] | None = None
    refused = None
    for fraction in LIT_FRACTIONS:
        try:
            circle, agreement = _fit(light, fraction)
        except NoFieldOfView as error:
            refused = refused or error
            continue
        if best is None or agreement.is_better_than(best[1]):
            best = circle, agreement
        if agreement.confidence >= CLEAR and agreement.rim >= BRIGHT_RIM:
            return best
    if best is not None and best[1].confidence >= SURE:
        return best
    # Bright atrophy or a reflex makes the retina around it look unlit.
    try:
        widest = _fit(light, FAINT)
    except NoFieldOfView as error:
        refused = refused or error
    else:
        if best is None or not best[1].is_better_than(widest[1]):
            best = widest
    if best is None:
        assert refused is not None
        raise refused
    return best


def _fit(light: Light, fraction: float) -> tuple[Circle, Agreement]:
    lit = light.lit(fraction)
    points = edge_points(lit)
    low, high = (share * max(lit.shape) for share in RADIUS_RANGE)
    circle = fit_circle(points, low=low, high=high)
    if circle is None:
        raise NoFieldOfView("circle does not fit", "its edge bends too much or too little")
    return circle, measure_agreement(circle, points, lit, light)


def _cut(field: FieldOfView, height: int, width: int) -> tuple[str, ...]:
    across, down = field.radius * field.aspect, field.radius
    beyond = {
        "left": across - field.x - 0.5,
        "top": down - field.y - 0.5,
        "right": field.x + across - width + 0.5,
        "bottom": field.y + down - height + 0.5,
    }
    straight = {cut.side for cut in field.cuts}
    return tuple(
        side for side in SIDES if side in straight or beyond[side] > CUT_TOLERANCE * field.radius
    )


def cut_rectangle(
    image: NDArray[np.uint8],
    left: int,
    top: int,
    wide: int,
    high: int,
    *,
    border: int = cv2.BORDER_CONSTANT,
) -> NDArray[np.uint8]:
    """Cut ``(high, wide)`` pixels, which may leave the image: there as OpenCV's ``border`` says."""
    height, width = image.shape[:2]
    rows = slice(max(0, top), max(0, min(height, top + high)))
    columns = slice(max(0, left), max(0, min(width, left + wide)))
    seen = image[rows, columns]
    if not seen.size:
        return np.zeros((high, wide, *image.shape[2:]), np.uint8)
    above, before = rows.start - top, columns.start - left
    below, after = high - above - seen.shape[0], wide - before - seen.shape[1]
    if max(above, before, below, after) == 0:
        return seen
    return np.asarray(cv2.copyMakeBorder(seen, above, below, before, after, border), np.uint8)


def _resized(
    rectangle: NDArray[np.uint8], size: int, interpolation: Literal["area", "nearest"]
) -> NDArray[np.uint8]:
    ratio = max(rectangle.shape[:2]) / size
    how = cv2.INTER_AREA
    if interpolation == "nearest":
        how = cv2.INTER_NEAREST_EXACT
    elif min(rectangle.shape[:2]) < size:
        how = cv2.INTER_LINEAR
    elif 1 < ratio < BLURRED_BELOW:
        how = cv2.INTER_LINEAR
        sigma = MISSING_BLUR * math.sqrt(ratio**2 - 1)
        rectangle = np.asarray(cv2.GaussianBlur(rectangle, (3, 3), sigma), np.uint8)
    elif 1 < ratio < DOUBLED_BELOW:
        double = cv2.resize(rectangle, (2 * size, 2 * size), interpolation=cv2.INTER_LINEAR)
        rectangle = np.asarray(double, np.uint8)
    return np.asarray(cv2.resize(rectangle, (size, size), interpolation=how), np.uint8)


@lru_cache(maxsize=8)
def _disc(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """All bits within the circle inscribed in a square, no bit outside; shared, so read-only."""
    size = shape[0]
    along = 2 * np.arange(size) + 1 - size
    inside = np.where(np.hypot(along[:, None], along) <= size, 255, 0).astype(np.uint8)
    disc = np.ascontiguousarray(
        np.broadcast_to(inside.reshape(size, size, *(1,) * len(shape[2:])), shape)
    )
    disc.setflags(write=False)
    return disc
