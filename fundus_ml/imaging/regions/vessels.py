"""The vessels of one photograph, in its own pixels, or why none can be told."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.field_of_view import FieldOfView, crop_to_field_of_view, rectangle_around
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.arteries import tell_arteries
from fundus_ml.imaging.regions.ridges import ridge_agreement
from fundus_ml.imaging.regions.structures import Ellipse, Mask, Vessels
from fundus_ml.imaging.regions.vessel_network import (
    SIDE,
    VesselWeights,
    load_vessel_network,
    local_contrast,
    vessel_probabilities,
)

DARK = 16
"""Brightest channel up to which nothing is seen."""

LEAST_SEEN = 0.3
"""Share of the field that must be brighter."""

LEAST_SHARE = 0.02
"""Share of the field that the vessels of an eye cover at least; 7 to 15 % is usual."""

LEAST_CONFIDENCE = 0.5
"""Below, no vessels are told."""

CHANCE, FULL = 0.45, 0.9
"""Agreement with ridges that counts nothing, and wholly."""


class _Seen(NamedTuple):
    """The square around one eye, what of it was photographed, and the network's word on it."""

    square: NDArray[np.uint8]
    seen: Mask
    probability: NDArray[np.float32]


def find_vessels(
    image: NDArray[np.uint8],
    field: FieldOfView,
    *,
    disc: Ellipse | None = None,
    weights: VesselWeights | None = None,
) -> tuple[Vessels | None, str]:
    """Find the vessels of an eye, and which are arteries and veins where that can be told.

    Args:
        image: ``(H, W, 3)`` uint8 RGB photograph.
        field: Field of view, in its pixels.
        disc: Optic disc, in its pixels, around which vessels are compared.
        weights: Network; the one that comes with the package where None.

    Returns:
        The vessels, and ``""``; or None, and the one line that says why. Confidence is the
        least of how decided the network is and how well a detector of dark ridges, which learned
        nothing, agrees with it.

    Raises:
        InputError: ``image`` is no photograph, the field is too small, or the weights are damaged.
    """
    weights = weights or load_vessel_network()
    eye = _look(image, field, weights)
    lit = eye.seen & (eye.square.max(axis=2) > DARK)
    if lit.sum() < LEAST_SEEN * eye.seen.sum() or not lit.any():
        return None, f"too dark: {lit.sum() / max(eye.seen.sum(), 1):.0%} of the field is lit"
    mask = lit & (eye.probability >= weights.threshold)
    share = mask.sum() / lit.sum()
    if share < LEAST_SHARE:
        return None, f"few vessels stand out: they cover {share:.1%} of the field"
    confidence = vessel_confidence(eye.square, eye.seen, eye.probability, mask)
    if confidence < LEAST_CONFIDENCE:
        told_by = f"confidence {confidence:.2f}, {LEAST_CONFIDENCE} is needed"
        return None, f"vessels are blurred: {told_by}"
    told = tell_arteries(eye.square, mask, disc=_on_square(disc, field))
    shape = (image.shape[0], image.shape[1])
    whole = _on_photograph(eye.probability * lit, field, shape) >= weights.threshold
    arteries, veins = (
        whole & (_on_photograph(_widened(plane), field, shape) > 0.5)  # noqa: PLR2004 (mostly)
        for plane in told
    )
    return Vessels(mask=whole, arteries=arteries, veins=veins, confidence=confidence), ""


def vessel_probability(
    image: NDArray[np.uint8], field: FieldOfView, *, weights: VesselWeights | None = None
) -> NDArray[np.float32]:
    """Say of each pixel of a photograph how likely it lies on a vessel.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        field: Field of view, in its pixels.
        weights: Network; the one that comes with the package where None.

    Returns:
        ``(H, W)`` in [0, 1], 0 outside the field.

    Raises:
        InputError: As of :func:`find_vessels`.
    """
    eye = _look(image, field, weights or load_vessel_network())
    return _on_photograph(eye.probability, field, (image.shape[0], image.shape[1]))


def vessel_confidence(
    square: NDArray[np.uint8], seen: Mask, probability: NDArray[np.float32], mask: Mask
) -> float:
    """How far a vessel mask can be relied on.

    Args:
        square: ``(S, S, 3)`` uint8 RGB.
        seen: ``(S, S)`` pixels inside the field of view.
        probability: ``(S, S)`` of the network.
        mask: ``(S, S)`` what was taken for vessels.

    Returns:
        From 0 to 1.
    """
    agreement = ridge_agreement(local_contrast(square, seen)[1], seen, mask)
    agreeing = (agreement - CHANCE) / (FULL - CHANCE)
    expected = expected_dice(probability[seen], mask[seen])
    return float(np.clip(min(agreeing, expected), 0, 1))


def expected_dice(probability: NDArray[np.float32], mask: Mask) -> float:
    """Dice that a mask would have if the probabilities were true.

    Source:
        Expectation of the numerator over that of the denominator, as in the soft Dice loss.
    """
    total = float(probability.sum(dtype=np.float64)) + float(mask.sum())
    return 2 * float(probability[mask].sum(dtype=np.float64)) / max(total, 1.0)


def _look(image: NDArray[np.uint8], field: FieldOfView, weights: VesselWeights) -> _Seen:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:  # noqa: PLR2004 (RGB)
        raise InputError(f"image of shape {image.shape}, {image.dtype}: must be (H, W, 3) of uint8")
    square = crop_to_field_of_view(image, field, size=SIDE, surround="black")
    everywhere = np.full(image.shape[:2], 255, np.uint8)
    seen = (
        crop_to_field_of_view(
            everywhere, field, size=SIDE, interpolation="nearest", surround="black"
        )
        > 0
    )
    probability = vessel_probabilities(weights.network, square[None], seen[None])[0]
    return _Seen(square, seen, probability)


def _on_square(disc: Ellipse | None, field: FieldOfView) -> Ellipse | None:
    if disc is None:
        return None
    left, top, wide, high = rectangle_around(field)
    x = (disc.x - left + 0.5) * SIDE / wide - 0.5
    return replace(disc.scaled(SIDE / high, left=left, top=top), x=x)


def _widened(plane: Mask) -> NDArray[np.float32]:
    """One pixel more all round, so that its border is that of the whole mask."""
    return cv2.dilate(plane.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)


def _on_photograph(
    plane: NDArray[np.float32], field: FieldOfView, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Bring a plane of the square to the photograph's pixels, 0 outside the square."""
    left, top, wide, high = rectangle_around(field)
    how = cv2.INTER_AREA if max(wide, high) < SIDE else cv2.INTER_LINEAR
    rectangle = cv2.resize(plane, (wide, high), interpolation=how)
    whole = np.zeros(shape, np.float32)
    rows = slice(max(top, 0), max(0, min(top + high, shape[0])))
    columns = slice(max(left, 0), max(0, min(left + wide, shape[1])))
    whole[rows, columns] = rectangle[
        rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]
    return whole
