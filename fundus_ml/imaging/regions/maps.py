"""The anatomy of one eye as one uint8 map: what each bit means, and parts that do not overlap."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.regions.structures import Ellipse, Regions

REGION_FLAGS: Mapping[str, int] = MappingProxyType(
    {
        "retina": 1,
        "disc": 2,
        "macula": 4,
        "vessels": 8,
        "periphery": 16,
        "cup": 32,
        "arteries": 64,
        "veins": 128,
    }
)
"""Bit of each structure; structures overlap, since vessels run over disc and periphery."""

DISC_MARGIN = 0.15
"""Share of its radius by which the disc's region reaches beyond its border."""

PERIPHERY = 0.8
"""Share of the field's radius from which the retina counts as periphery."""

PARTS = ("disc", "macula", "vessels", "periphery", "background", "outside")
"""The parts a change is accounted to; together they cover the square once."""


def part_masks(regions: NDArray[np.uint8]) -> dict[str, NDArray[np.bool_]]:
    """Cut the square into parts that cover it once, so that shares over them add up to one.

    A pixel counts for the first structure it belongs to of disc, vessels, macula, periphery:
    vessels on the disc are part of the disc, or a change of the disc would be one of vessels too.
    ``background`` is the retina between them, ``outside`` the black surround.

    Args:
        regions: ``(..., H, W)`` uint8 map of :data:`REGION_FLAGS`.

    Returns:
        One ``(..., H, W)`` boolean mask per name of :data:`PARTS`.
    """
    free = regions & REGION_FLAGS["retina"] > 0
    masks = {"outside": ~free}
    for name in ("disc", "vessels", "macula", "periphery"):
        masks[name] = free & (regions & REGION_FLAGS[name] > 0)
        free = free & ~masks[name]
    masks["background"] = free
    return {name: masks[name] for name in PARTS}


def region_map(found: Regions) -> NDArray[np.uint8]:
    """Draw what was found as one map, as painted eyes have it.

    The macula is a circle of one disc diameter around the fovea, in this eye's disc diameters, so
    it needs both; parts that are not sure leave their bits 0.

    Returns:
        ``(H, W)`` uint8 map of :data:`REGION_FLAGS`.
    """
    masks = {"retina": found.retina}
    if found.disc:
        masks["disc"] = found.disc.distance(found.shape) <= 1 + DISC_MARGIN
        if found.cup:
            masks["cup"] = found.cup.mask(found.shape)
        if found.fovea:
            side = 2 * found.disc.diameter
            macula = Ellipse(x=found.fovea.x, y=found.fovea.y, width=side, height=side)
            masks["macula"] = macula.mask(found.shape)
    if found.vessels:
        masks["vessels"] = found.vessels.mask
        masks["arteries"], masks["veins"] = found.vessels.arteries, found.vessels.veins
    inner = [masks[name] for name in ("disc", "macula") if name in masks]
    masks["periphery"] = _periphery(found) & ~np.logical_or.reduce([~found.retina, *inner])
    drawn = np.zeros(found.shape, np.uint8)
    for name, mask in masks.items():
        drawn |= (mask & found.retina) * np.uint8(REGION_FLAGS[name])
    return drawn


def _periphery(found: Regions) -> NDArray[np.bool_]:
    """Retina beyond :data:`PERIPHERY` of the radius of the field of view."""
    field = found.field
    down, across = np.mgrid[: found.shape[0], : found.shape[1]].astype(np.float32)
    across = (across - np.float32(field.x)) / np.float32(field.aspect)
    away = np.hypot(across, down - np.float32(field.y))
    return np.asarray(away > np.float32(PERIPHERY * field.radius))
