"""Eyes drawn from plain shapes, whose biomarkers are known in closed form."""

import dataclasses
from itertools import pairwise

import cv2
import numpy as np

from fundus_ml.biomarkers.view import TYPICAL_DISC
from fundus_ml.imaging.field_of_view import FieldOfView
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, Laterality, Regions, Vessels

SIDE = 601
MIDDLE = 300.0
TYPICAL = TYPICAL_DISC * MIDDLE
"""Typical disc diameter of these eyes, pixels."""


def eye(**parts):
    """A right eye with disc, cup and fovea, without vessels."""
    usual = {
        "disc": Ellipse(x=410, y=300, width=80, height=90),
        "cup": Ellipse(x=410, y=300, width=32, height=36),
        "fovea": Landmark(x=200, y=320),
        "eye": Laterality(eye="right"),
    }
    down, across = np.mgrid[:SIDE, :SIDE]
    return Regions(
        shape=(SIDE, SIDE),
        field=FieldOfView(MIDDLE, MIDDLE, MIDDLE),
        retina=np.hypot(down - MIDDLE, across - MIDDLE) <= MIDDLE,
        **usual | parts,
    )


def photograph(regions, *, retina=(180, 90, 40), disc=(240, 190, 120)):
    """Flat colours: retina, and disc with its cup."""
    image = np.zeros((*regions.shape, 3), np.uint8)
    image[regions.retina] = retina
    if regions.disc:
        image[regions.disc.mask(regions.shape) & regions.retina] = disc
    return image


def lines(*ways, width):
    """``(SIDE, SIDE)`` pixels whose centre lies within half a width of a polyline ``(x, y)``."""
    mask = np.zeros((SIDE, SIDE), np.bool_)
    for way in ways:
        points = np.asarray(way, float)
        for start, end in pairwise(points):
            left, top = np.maximum(np.floor(np.minimum(start, end) - width).astype(int), 0)
            right, bottom = np.ceil(np.maximum(start, end) + width).astype(int) + 1
            part = mask[top:bottom, left:right]
            down, across = np.mgrid[: part.shape[0], : part.shape[1]]
            places = np.stack([across + left, down + top], axis=-1) - start
            along = end - start
            share = (places @ along / (along @ along)).clip(0, 1)
            part |= np.hypot(*np.moveaxis(places - share[..., None] * along, -1, 0)) <= width / 2
    return mask


def vessels(arteries, veins=None):
    veins = np.zeros_like(arteries) if veins is None else veins
    return Vessels(mask=arteries | veins, arteries=arteries, veins=veins)


def spokes(angles, *, centre=(410, 300), ends=(20, 170)):
    """Straight ways from a point, at angles in degrees, 0 to the right and 90 up."""
    turns = np.deg2rad(angles)
    return [
        [(centre[0] + end * np.cos(turn), centre[1] - end * np.sin(turn)) for end in ends]
        for turn in turns
    ]


def mirrored(image, regions):
    """The same eye as its fellow would look."""
    wide = regions.shape[1]

    def flip(part):
        changes = {"x": wide - 1 - part.x}
        if isinstance(part, Ellipse):
            changes["angle"] = -part.angle
        return dataclasses.replace(part, **changes)

    parts = {
        name: part and flip(part)
        for name, part in (("disc", regions.disc), ("cup", regions.cup), ("fovea", regions.fovea))
    }
    found = regions.vessels
    if found:
        names = ("mask", "arteries", "veins")
        flipped = {name: getattr(found, name)[:, ::-1] for name in names}
        parts["vessels"] = dataclasses.replace(found, **flipped)
    side = {"left": "right", "right": "left"}[regions.eye.eye] if regions.eye else None
    changed = dataclasses.replace(
        regions,
        field=dataclasses.replace(regions.field, x=wide - 1 - regions.field.x),
        retina=regions.retina[:, ::-1],
        eye=side and Laterality(eye=side),
        **parts,
    )
    return np.ascontiguousarray(image[:, ::-1]), changed


def enlarged(image, regions, factor):
    """The same eye photographed with ``factor`` times as many pixels along each side."""
    size = (regions.shape[1] * factor, regions.shape[0] * factor)

    def grown(mask):
        smooth = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_CUBIC)
        return smooth > 127

    parts = {
        name: part and part.scaled(factor)
        for name, part in (("disc", regions.disc), ("cup", regions.cup), ("fovea", regions.fovea))
    }
    if regions.vessels:
        names = ("mask", "arteries", "veins")
        masks = {name: grown(getattr(regions.vessels, name)) for name in names}
        parts["vessels"] = dataclasses.replace(regions.vessels, **masks)
    changed = dataclasses.replace(
        regions,
        shape=size[::-1],
        field=regions.field.scaled(factor, factor),
        retina=grown(regions.retina),
        **parts,
    )
    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST), changed
