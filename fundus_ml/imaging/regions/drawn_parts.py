"""Parts that people drew, in place of those found, and what of the found ones they contradict."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fundus_ml.errors import Refused
from fundus_ml.imaging.field import FieldOfView
from fundus_ml.imaging.field_of_view import crop_to_field_of_view
from fundus_ml.imaging.regions.evidence import (
    IMPLAUSIBLE,
    UNPLACED,
    plausibility,
    side_of_pair,
)
from fundus_ml.imaging.regions.masks import REASON
from fundus_ml.imaging.regions.structures import Mask, Regions, Vessels, ellipse_of_mask


def with_masks(found: Regions, masks: Mapping[str, Mask], field: FieldOfView) -> Regions:
    """Put what people drew in place of what was found on the square of a photograph.

    A drawn disc is the truth: a found cup whose centre lies outside it and a found fovea at a
    distance that no fovea has from it are None, and it says with the fovea which eye it is.

    Args:
        found: On the square, which :func:`~fundus_ml.imaging.field_of_view.crop_to_field_of_view`
            cut out of the photograph.
        masks: ``(H, W)`` of the photograph, by part.
        field: Field of view, in the photograph's pixels.

    Raises:
        Refused: A part lies outside the field of view.
    """
    size = found.shape[0]
    square = {
        part: crop_to_field_of_view(
            mask.astype(np.uint8), field, size=size, interpolation="nearest", surround="black"
        )
        > 0
        for part, mask in masks.items()
    }
    placed = found
    for part, mask in square.items():
        ellipse = ellipse_of_mask(mask)
        if ellipse is None:
            told = "lies outside the field of view, or shows fewer than 3 pixels there"
            raise Refused(REASON, f"{part}: {told}")
        none = np.zeros(found.shape, np.bool_)
        drawn = Vessels(mask=mask, arteries=none, veins=none) if part == "vessels" else ellipse
        placed = replace(placed, **{part: drawn})  # type: ignore[arg-type]
    doubts = tuple(each for each in found.doubts if each[0] not in square)
    placed = replace(placed, doubts=doubts)
    if "disc" not in square:
        return placed
    return _beside_drawn_disc(placed, found, cup_drawn="cup" in square)


def _beside_drawn_disc(placed: Regions, found: Regions, *, cup_drawn: bool) -> Regions:
    """Leave out what a drawn disc contradicts, and say which eye it is."""
    disc, cup, fovea, eye = placed.disc, placed.cup, placed.fovea, placed.eye
    assert disc is not None
    doubts = dict(placed.doubts)
    if cup and not cup_drawn and not disc.contains(cup.x, cup.y):
        cup, doubts["cup"] = None, "it lies outside the drawn disc"
    if fovea and plausibility(disc, fovea) <= UNPLACED:
        fovea, doubts["fovea"] = None, IMPLAUSIBLE
    if fovea:
        eye, doubts["eye"] = side_of_pair(disc, fovea, size=placed.shape[0])
    elif eye and not (found.disc and disc.contains(found.disc.x, found.disc.y)):
        eye, doubts["eye"] = None, "the drawn disc is another than the found one"
    if eye:
        doubts.pop("eye", None)
    return replace(placed, cup=cup, fovea=fovea, eye=eye, doubts=tuple(doubts.items()))
