"""One photograph becomes one standard eye: a square, its measures, what tells it apart."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import Refused
from fundus_ml.imaging.colours import check_colours
from fundus_ml.imaging.field_of_view import (
    SURE,
    FieldOfView,
    crop_to_field_of_view,
    cut_rectangle,
    find_field_of_view,
    rectangle_around,
)
from fundus_ml.imaging.keypoints import VIEW_SIZE, describe_eye
from fundus_ml.imaging.margins import BLACK
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.options import BORDER, CropOptions
from fundus_ml.imaging.photographs import Photograph
from fundus_ml.imaging.quality import Quality, measure_quality
from fundus_ml.imaging.regions.columns import moved, region_columns, seen_inside
from fundus_ml.imaging.regions.maps import region_map
from fundus_ml.imaging.regions.masks import read_masks
from fundus_ml.imaging.regions.squares import field_on_square
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, Regions

FINDING_SIZE = 640
"""Side of the square on which regions are looked for, pixels: what the vessels' network sees."""

PAINTED = 128
"""Grey level of a retina that is not shown."""
TAB = 1.15
"""Radii of the field of view up to which what is lit beside it may belong to it."""
PLACED_BY = {"disc": "disc", "macula": "fovea"}
"""Part whose centre is the middle of a square around disc or macula."""

LoadPhotograph = Callable[[int], Photograph]
"""Least pixels of the shorter side → one photograph, decoded no further down than that; raises
:class:`~fundus_ml.errors.Refused` where it cannot be read."""


class CroppedEye(NamedTuple):
    """One eye, ready to be stored.

    Attributes:
        pixels: ``(size, size, 3)`` uint8 RGB.
        regions: ``(size, size)`` uint8 of ``REGION_FLAGS``, or None where none were asked for.
        keypoints: ``FEATURE_SHAPE`` uint8 that tells the eye apart, or None when not asked for.
        measured: Manifest columns of what was seen, by name.
    """

    pixels: NDArray[np.uint8]
    regions: NDArray[np.uint8] | None
    keypoints: NDArray[np.uint8] | None
    measured: dict[str, object]


def crop_eye(
    load: LoadPhotograph,
    options: CropOptions,
    *,
    flags: str = "",
    drawn: Mapping[str, Path] | None = None,
) -> CroppedEye | Refused:
    """Load one photograph, find its eye and cut it out.

    Args:
        load: The way to it.
        options: How to cut, and what is good enough.
        flags: What is remarked about it already, joined by ``"; "``.
        drawn: Look for the regions too, and take these masks, by part, in place of what is found;
            regions are those of the source, if any, when omitted.

    Returns:
        The eye, or why there is none. Nothing in a photograph's file raises.
    """
    # Processes share the cores already.
    cv2.setNumThreads(1)
    try:
        photograph, field = _found(load, max(options.whole_size, VIEW_SIZE))
        view = crop_to_field_of_view(photograph.image, field, size=VIEW_SIZE, surround="black")
        doubtful = check_colours(view)
        quality = measure_quality(view)
        if quality.quality < options.min_quality:
            detail = f"{quality.quality:.3f} of 1, {options.min_quality:g} is needed"
            return Refused("low quality", detail)
        regions, found = _regions(load, photograph, field, options, drawn)
        pixels = crop_to_field_of_view(
            photograph.image,
            field,
            size=options.whole_size,
            padding=options.padding,
            surround=options.surround,
        )
        if options.around == BORDER:
            retina = _retina(pixels, photograph.image, field)
            pixels = np.where(retina[..., None], np.uint8(PAINTED), pixels)
        square = _Square(pixels=pixels, regions=regions, parts=found)
        if options.around_part:
            square = _around(square, options)
    except Refused as refused:
        return refused
    parts = {} if square.parts is None else region_columns(square.parts)
    if parts and photograph.regions is not None:
        parts["region_vessels_confidence"] = 1.0  # the map is the truth
    return CroppedEye(
        pixels=square.pixels,
        regions=square.regions,
        keypoints=describe_eye(view) if options.same_person else None,
        measured=_measured(photograph, field, quality, flags=flags, doubtful=doubtful) | parts,
    )


class _Square(NamedTuple):
    """Pixels, region map and the places of the parts on one square."""

    pixels: NDArray[np.uint8]
    regions: NDArray[np.uint8] | None
    parts: Regions | None


def _retina(
    pixels: NDArray[np.uint8], image: NDArray[np.uint8], field: FieldOfView
) -> NDArray[np.bool_]:
    """Which pixels of the square may show retina, ``(size, size)``.

    The inside of the field of view, and what is lit and hangs together with it: the tab of an
    aperture, and its halo.
    """
    size = len(pixels)
    frame = np.full(image.shape[:2], np.iinfo(np.uint8).max, np.uint8)
    inside = crop_to_field_of_view(
        frame, field, size=size, interpolation="nearest", surround="black"
    )
    # A pixel of the square mixes those of the photograph on both sides of the circle, whose edge
    # is a pixel or two wide there.
    reach = 1 + math.ceil(size / field.radius)
    wider = cv2.dilate(inside, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    along = (2 * np.arange(size) + 1 - size) / size
    near = np.hypot(along[:, None], along) < TAB
    lit = wider | (near & (pixels.max(axis=2) > BLACK))
    _, pieces = cv2.connectedComponents(lit.astype(np.uint8), connectivity=8)
    return np.isin(pieces, np.unique(pieces[wider]))


def _around(square: _Square, options: CropOptions) -> _Square:
    """Cut a square around a part, as fine as it is; black beyond the field of view.

    Raises:
        Refused: The part was not found.
    """
    name, parts = PLACED_BY[options.around], square.parts
    place: Ellipse | Landmark | None = getattr(parts, name, None)
    if parts is None or place is None:
        doubts = {} if parts is None else dict(parts.doubts)
        raise Refused(f"{options.around} not found", doubts.get(name, "no place of it is known"))
    left, top = (round(centre - (options.size - 1) / 2) for centre in (place.x, place.y))
    cut = partial(cut_rectangle, left=left, top=top, wide=options.size, high=options.size)
    return _Square(
        pixels=cut(square.pixels),
        regions=None if square.regions is None else cut(square.regions),
        parts=seen_inside(moved(parts, 1.0, left=left, top=top), options.size),
    )


def _regions(
    load: LoadPhotograph,
    photograph: Photograph,
    field: FieldOfView,
    options: CropOptions,
    drawn: Mapping[str, Path] | None,
) -> tuple[NDArray[np.uint8] | None, Regions | None]:
    """Map of the regions on the square, and where its parts lie.

    Raises:
        Refused: A mask does not fit its photograph.
    """
    size = options.whole_size
    if photograph.regions is not None:
        cut = crop_to_field_of_view(
            photograph.regions,
            field,
            size=size,
            interpolation="nearest",
            surround=options.surround,
        )
        if drawn is None or photograph.parts is None:
            return cut, None
        left, top, _, high = rectangle_around(field)
        return cut, moved(photograph.parts, size / high, left=left, top=top)
    if drawn is None:
        return None, None
    # Its networks need packages that a served version, which only crops, is installed without.
    from fundus_ml.imaging.regions.drawn_parts import with_masks  # noqa: PLC0415
    from fundus_ml.imaging.regions.finding import find_regions  # noqa: PLC0415

    whole = _in_original(photograph, field)
    masks = read_masks(drawn, width=photograph.width, height=photograph.height)
    # Decoded anew where that is finer: the pixels of the eye must not depend on its regions.
    fine, fine_field = _finer(load, photograph, field)
    square = crop_to_field_of_view(fine, fine_field, size=FINDING_SIZE, surround="black")
    height, width = fine.shape[:2]
    on_square = field_on_square(fine_field, frame=(height, width), size=FINDING_SIZE)
    found = with_masks(find_regions(square, field=on_square), masks, whole)
    on_map = crop_to_field_of_view(region_map(found), on_square, size=size, interpolation="nearest")
    return on_map, moved(found, size / FINDING_SIZE)


def _finer(
    load: LoadPhotograph, photograph: Photograph, field: FieldOfView
) -> tuple[NDArray[np.uint8], FieldOfView]:
    """The photograph as fine as its regions need it, and where its field of view lies there."""
    height, width = photograph.image.shape[:2]
    if height >= photograph.height or 2 * field.radius >= FINDING_SIZE:
        return photograph.image, field
    image = load(math.ceil(FINDING_SIZE * min(height, width) / (2 * field.radius))).image
    return image, field.scaled(image.shape[1] / width, image.shape[0] / height)


def _found(load: LoadPhotograph, least_side: int) -> tuple[Photograph, FieldOfView]:
    """Decode no larger than the square needs; once more where the circle is small in its frame."""
    photograph = load(least_side)
    field = find_field_of_view(photograph.image)
    across = 2 * field.radius * min(1.0, field.aspect)
    height, width = photograph.image.shape[:2]
    if across < least_side and height < photograph.height:
        photograph = load(math.ceil(least_side * min(height, width) / across))
        field = find_field_of_view(photograph.image)
    return photograph, field


def _measured(
    photograph: Photograph,
    field: FieldOfView,
    quality: Quality,
    *,
    flags: str,
    doubtful: bool,
) -> dict[str, object]:
    original = _in_original(photograph, field)
    told = [flags] if flags else []
    told += photograph.remarks
    if field.confidence < SURE:
        told.append("field of view uncertain")
    if field.aspect != 1:
        told.append("squashed")
    if doubtful:
        told.append("colours unlike a retina")
    return {
        "width": photograph.width,
        "height": photograph.height,
        "sha256": photograph.sha256,
        "fov_x": original.x,
        "fov_y": original.y,
        "fov_radius": original.radius,
        "fov_aspect": original.aspect,
        "fov_cut": "+".join(field.cut),
        "fov_confidence": field.confidence,
        "flags": "; ".join(told),
        **quality._asdict(),
    }


def _in_original(photograph: Photograph, field: FieldOfView) -> FieldOfView:
    """The field of view in pixels of the photograph as it was before it was decoded smaller."""
    height, width = photograph.image.shape[:2]
    # Reduced sides are rounded up, each by itself; one factor leaves the circle round.
    factor = max(photograph.width / width, photograph.height / height)
    return field.scaled(factor, factor)
