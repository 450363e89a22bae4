"""Find the parts of an eye on its photograph: optic disc, cup, fovea, and which eye it is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import InputError, Refused
from fundus_ml.imaging.colours import check_colours
from fundus_ml.imaging.field import FieldOfView
from fundus_ml.imaging.field_of_view import NoFieldOfView, find_field_of_view
from fundus_ml.imaging.regions.classical import look_without_learning
from fundus_ml.imaging.regions.evidence import (
    IMPLAUSIBLE,
    SURE,
    UNPLACED,
    confidence,
    cup_evidence,
    disc_evidence,
    fovea_evidence,
    judge_side,
    side_evidence,
    weakest,
)
from fundus_ml.imaging.regions.landmark_network import SIZE, LandmarkNetwork
from fundus_ml.imaging.regions.landmarks import (
    FoundLandmarks,
    eye_maps,
    find_on_square,
    landmark_network,
)
from fundus_ml.imaging.regions.squares import Square
from fundus_ml.imaging.regions.structures import Ellipse, Regions, stretched
from fundus_ml.imaging.regions.trained import read_trained
from fundus_ml.imaging.regions.vessels import find_vessels

ALONE = 0.9
"""Confidence below which a fovea is None where the disc is."""
BACKED = 0.5
"""Support without learning that lets an unsure disc say, with a sure fovea, which eye it is."""
SMALLEST = 32
"""Pixels of the shorter side of a photograph, at least."""
CHANNELS = 3
MIDDLE = (SIZE - 1) / 2
"""Row and column of the middle of the square, pixels."""


@dataclass(frozen=True)
class Candidates:
    """Everything that was seen on the square, sure or not.

    Attributes:
        found: Parts, in pixels of the square.
        evidence: By part, by name: what speaks for it; nothing of a part that was not seen.
    """

    found: FoundLandmarks
    evidence: Mapping[str, dict[str, float]]


def find_regions(image: NDArray[np.uint8], *, field: FieldOfView | None = None) -> Regions:
    """Find disc, cup and fovea on one photograph, and which eye it is.

    Args:
        image: ``(H, W, 3)`` uint8 RGB: a whole photograph, or a crop that shows some of the edge of
            its field of view.
        field: Its field of view, where it is known; looked for without.

    Returns:
        In pixels of ``image``. A part that is not sure, or not there, is None, and ``doubts`` says
        why. What has no field of view gets one of confidence 0 and no parts.

    Raises:
        InputError: ``image`` is not of that shape and type, or the packaged weights are damaged.
    """
    check_image(image)
    image = np.ascontiguousarray(image)
    try:
        field = field or find_field_of_view(image)
    except NoFieldOfView as error:
        return _nothing(image, f"no field of view: {error}")
    square = Square.around(image, field, size=SIZE)
    if unlike := _unlike_a_retina(square.pixels):
        return _nothing(image, unlike, field)
    seen = look_for_candidates(square.pixels)
    card = read_trained("landmarks").card
    sure, doubts = _sure_parts(seen, card["confidence"])
    disc = _out(square, sure.get("disc"), card["scales"]["disc"])
    vessels, doubts["vessels"] = find_vessels(image, field, disc=disc)
    if vessels:
        del doubts["vessels"]
    return Regions(
        shape=(image.shape[0], image.shape[1]),
        field=field,
        retina=_retina(image.shape[:2], field),
        disc=disc,
        cup=_out(square, sure.get("cup"), card["scales"]["cup"]),
        fovea=square.point_out(sure["fovea"]) if "fovea" in sure else None,
        vessels=vessels,
        eye=sure.get("eye"),
        doubts=tuple(doubts.items()),
    )


def check_image(image: NDArray[np.uint8]) -> None:
    """Refuse what is no picture of 8-bit RGB.

    Raises:
        InputError: It has another type or shape, or is too small to show an eye.
    """
    shape: tuple[int, ...] = getattr(image, "shape", ())
    kind = getattr(image, "dtype", type(image).__name__)
    fits = len(shape) == 3 and shape[2] == CHANNELS and min(shape[:2]) >= SMALLEST  # noqa: PLR2004
    if not isinstance(image, np.ndarray) or kind != np.uint8 or not fits:
        raise InputError(
            f"image: {kind} {tuple(shape)}; allowed: uint8 (H, W, 3) RGB with sides of at least "
            f"{SMALLEST} pixels"
        )


def look_for_candidates(
    pixels: NDArray[np.uint8], network: LandmarkNetwork | None = None
) -> Candidates:
    """Ask the network and the detector without learning about one square of an eye.

    Args:
        pixels: ``(SIZE, SIZE, 3)`` uint8 RGB, black outside the field of view.
        network: The packaged one without.
    """
    found = find_on_square(eye_maps(network or landmark_network(), pixels))
    classical = look_without_learning(pixels)
    evidence = {"fovea": fovea_evidence(found, classical)}
    if found.disc:
        evidence["disc"] = disc_evidence(found, classical)
        evidence["eye"] = side_evidence(found, classical)
    if found.cup:
        evidence["cup"] = cup_evidence(found)
    return Candidates(found, evidence)


def _sure_parts(
    seen: Candidates, weights: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Keep what is sure enough; say why the rest is not."""
    found = seen.found
    sure: dict[str, Any] = {}
    doubts: dict[str, str] = {}
    for part, place in (("disc", found.disc), ("cup", found.cup), ("fovea", found.fovea)):
        needed = SURE[part] if "disc" in sure or part != "fovea" else ALONE
        if place is None:
            doubts[part] = f"no {part} is seen"
        elif part == "cup" and "disc" not in sure:
            doubts[part] = "the disc is not sure"
        elif np.hypot(place.x - MIDDLE, place.y - MIDDLE) > SIZE / 2:
            doubts[part] = "it lies outside the field of view"
        else:
            value = confidence(weights[part], seen.evidence[part])
            if value >= needed:
                sure[part] = replace(place, confidence=value)
            else:
                reason = weakest(weights[part], seen.evidence[part])
                doubts[part] = f"{reason}: confidence {value:.2f}, {needed} is needed"
    _drop_implausible(seen, sure, doubts)
    _judge_side(seen, weights["eye"], sure, doubts)
    return sure, doubts


def _drop_implausible(seen: Candidates, sure: dict[str, Any], doubts: dict[str, str]) -> None:
    """Keep the surer one of a disc and a fovea that cannot belong together.

    A fovea that stays without its disc must be as sure as one that never had a sure disc.
    """
    if not {"disc", "fovea"} <= sure.keys() or not _implausible(seen):
        return
    wrong = min(("fovea", "disc"), key=lambda part: float(sure[part].confidence))
    doubts[wrong] = IMPLAUSIBLE
    del sure[wrong]
    if wrong == "disc" and sure.pop("cup", None):
        doubts["cup"] = "the disc is not sure"
    if wrong == "disc" and (value := float(sure["fovea"].confidence)) < ALONE:
        doubts["fovea"] = f"the disc is not sure: confidence {value:.2f}, {ALONE} is needed"
        del sure["fovea"]


def _implausible(seen: Candidates) -> bool:
    """Whether geometry speaks wholly against disc and fovea belonging to one eye."""
    return seen.evidence["fovea"]["distance"] <= UNPLACED


def _judge_side(
    seen: Candidates, weights: Mapping[str, float], sure: dict[str, Any], doubts: dict[str, str]
) -> None:
    # A disc that is not sure may be a reflex; brightness, vessels and the fovea's distance must
    # point to it, too.
    supported = seen.evidence.get("disc", {}).get("support", 0.0) >= BACKED
    backed = "fovea" in sure and supported and not _implausible(seen)
    if "eye" not in seen.evidence or not ("disc" in sure or backed):
        doubts["eye"] = "the disc is not sure"
        return
    eye, doubt = judge_side(weights, seen.evidence["eye"], "disc, fovea and vessels disagree")
    if eye:
        sure["eye"] = eye
    else:
        doubts["eye"] = doubt


def _out(square: Square, ellipse: Ellipse | None, scale: float) -> Ellipse | None:
    """An ellipse of the square on the photograph, its border where people draw it."""
    return square.ellipse_out(stretched(ellipse, scale, scale)) if ellipse else None


def _retina(shape: tuple[int, ...], field: FieldOfView) -> NDArray[np.bool_]:
    """Pixels of the frame inside the circle and its straight cuts."""
    columns = np.arange(shape[1], dtype=np.float32)
    rows = np.arange(shape[0], dtype=np.float32)[:, None]
    across = (columns - np.float32(field.x)) / np.float32(field.radius * field.aspect)
    down = (rows - np.float32(field.y)) / np.float32(field.radius)
    retina = across**2 + down**2 <= 1
    for cut in field.cuts:
        retina &= cut.across * columns + cut.down * rows <= cut.limit
    return np.asarray(retina)


def _unlike_a_retina(pixels: NDArray[np.uint8]) -> str:
    """Why a square cannot show the colours of a retina; empty where it may."""
    try:
        return "colours unlike a retina" if check_colours(pixels) else ""
    except Refused as error:
        return str(error)


def _nothing(image: NDArray[np.uint8], why: str, field: FieldOfView | None = None) -> Regions:
    height, width = image.shape[:2]
    whole = FieldOfView((width - 1) / 2, (height - 1) / 2, min(height, width) / 2, confidence=0)
    return Regions(
        shape=(height, width),
        field=field or whole,
        retina=_retina((height, width), field) if field else np.zeros((height, width), np.bool_),
        doubts=tuple((part, why) for part in (*SURE, "vessels")),
    )
