"""The vessels of one photograph, in its own pixels, or why none can be told."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.field import FieldOfView
from fundus_ml.imaging.field_of_view import crop_to_field_of_view, rectangle_around
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.pictures import brightest_channel
from fundus_ml.imaging.quality import VIEW_SIDE, measure_focus
from fundus_ml.imaging.regions.arteries import tell_arteries
from fundus_ml.imaging.regions.ridges import ridge_agreement
from fundus_ml.imaging.regions.squares import DARK, Square
from fundus_ml.imaging.regions.structures import Ellipse, Mask, Vessels
from fundus_ml.imaging.regions.vessel_network import (
    SIDE,
    VesselWeights,
    load_vessel_network,
    local_contrast,
    vessel_probabilities,
)

Value = TypeVar("Value", np.bool_, np.float32)

LEAST_SEEN = 0.3
"""Share of the field that must be brighter."""

RIM = 10
"""Width of the field's rim, pixels of its square: 3 % of its radius."""

LEAST_CONFIDENCE = 0.5
"""Below, no vessels are told."""

UNDECIDED = "the network is undecided"

RAMPS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "few vessels stand out": (0.02, 0.07),
        "blurred": (0.0, 0.35),
        "no dark ridges where vessels are taken to be": (0.45, 0.8),
    }
)
"""What may be wrong with an eye; the measure that then counts nothing, and that counts wholly.
The measures are share of the field that is vessel (7 to 15 % is usual), focus, and agreement with
ridges; the ends are where DRIVE and CHASE_DB1, blurred, darkened, veiled or noisy, lose Dice."""


class _Seen(NamedTuple):
    """The square around one eye, what of it was photographed, and what the network sees in it."""

    square: Square
    contrast: NDArray[np.float32]
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
        The vessels, and ``""``; or None, and the one line that says why. Confidence is the Dice
        that the network expects of itself, times the least of three numbers that it has no part
        in: focus, share of the field that is vessel, and how well a detector of dark ridges,
        which learned nothing, agrees with it.

    Raises:
        InputError: ``image`` is no photograph, the field is too small, or the weights are damaged.
    """
    weights = weights or load_vessel_network()
    eye = _look(image, field, weights)
    lit = eye.seen & (brightest_channel(eye.square.pixels) > DARK)
    if lit.sum() < LEAST_SEEN * eye.seen.sum() or not lit.any():
        return None, f"too dark: {lit.sum() / max(eye.seen.sum(), 1):.0%} of the field is lit"
    mask = lit & (eye.probability >= weights.threshold)
    confidence, weakest = _confidence(eye, lit, mask)
    if confidence < LEAST_CONFIDENCE:
        return None, f"{weakest}: confidence {confidence:.2f}, {LEAST_CONFIDENCE} is needed"
    on_square = eye.square.ellipse_in(disc) if disc else None
    told = tell_arteries(eye.square.pixels, mask, disc=on_square)
    shape = (image.shape[0], image.shape[1])
    whole = _rectangle(eye.probability * lit, field) >= weights.threshold
    kinds = (
        whole & (_rectangle(_widened(plane), field) > 0.5)  # noqa: PLR2004 (mostly)
        for plane in told
    )
    mask, arteries, veins = (_on_photograph(plane, field, shape) for plane in (whole, *kinds))
    return Vessels(mask=mask, arteries=arteries, veins=veins, confidence=confidence), ""


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
    rectangle = _rectangle(eye.probability, field)
    return _on_photograph(rectangle, field, (image.shape[0], image.shape[1]))


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
    square = Square.around(image, field, size=SIDE)
    seen = _photographed((image.shape[0], image.shape[1]), replace(field, cut=(), confidence=1.0))
    contrast = local_contrast(square.pixels, seen)
    probability = vessel_probabilities(weights.network, contrast[None], seen[None])[0]
    return _Seen(square, contrast, seen, _without_rim(probability, seen))


@lru_cache(maxsize=8)
def _photographed(shape: tuple[int, int], field: FieldOfView) -> Mask:
    """Pixels of the square that a photograph of that shape shows; shared, so read-only."""
    everywhere = np.full(shape, 255, np.uint8)
    seen = crop_to_field_of_view(
        everywhere, field, size=SIDE, interpolation="nearest", surround="black"
    )
    mask = seen > 0
    mask.setflags(write=False)
    return mask


def _without_rim(probability: NDArray[np.float32], seen: Mask) -> NDArray[np.float32]:
    """Keep of the rim only what runs on from inside: the edge itself looks like a vessel."""
    whole = np.pad(seen.astype(np.uint8), 1)
    inside = cv2.distanceTransform(whole, cv2.DIST_L2, cv2.DIST_MASK_3)[1:-1, 1:-1] > RIM
    kept = probability * inside
    around, wider = np.ones((3, 3), np.uint8), np.empty_like(kept)
    for _ in range(RIM + 2):
        np.minimum(cv2.dilate(kept, around, dst=wider), probability, out=kept)
    return np.where(inside, probability, kept)


def _confidence(eye: _Seen, lit: Mask, mask: Mask) -> tuple[float, str]:
    """How far a mask can be relied on, and what speaks against it most."""
    view = cv2.resize(eye.square.pixels, (VIEW_SIDE, VIEW_SIDE), interpolation=cv2.INTER_AREA)
    measures = (
        float(mask.sum() / lit.sum()),
        measure_focus(np.asarray(view, np.uint8)),
        ridge_agreement(np.ascontiguousarray(eye.contrast[1]), eye.seen, mask),
    )
    counts = {
        what: float(np.clip((measure - none) / (full - none), 0, 1))
        for (what, (none, full)), measure in zip(RAMPS.items(), measures, strict=True)
    }
    weakest = min(counts, key=lambda what: counts[what])
    expected = expected_dice(eye.probability[lit], mask[lit])
    return expected * counts[weakest], weakest if counts[weakest] <= expected else UNDECIDED


def _widened(plane: Mask) -> NDArray[np.float32]:
    """One pixel more all round, so that its border is that of the whole mask."""
    return cv2.dilate(plane.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)


def _rectangle(plane: NDArray[np.float32], field: FieldOfView) -> NDArray[np.float32]:
    """Bring a plane of the square to the size of the rectangle it was cut from."""
    _, _, wide, high = rectangle_around(field)
    how = cv2.INTER_AREA if max(wide, high) < SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, (wide, high), interpolation=how), np.float32)


def _on_photograph(
    rectangle: NDArray[Value], field: FieldOfView, shape: tuple[int, int]
) -> NDArray[Value]:
    """Lay a rectangle where it was cut from the photograph, 0 around it."""
    left, top, wide, high = rectangle_around(field)
    whole = np.zeros(shape, rectangle.dtype)
    rows = slice(max(top, 0), max(0, min(top + high, shape[0])))
    columns = slice(max(left, 0), max(0, min(left + wide, shape[1])))
    whole[rows, columns] = rectangle[
        rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]
    return whole
