"""The anatomy of one eye as one uint8 map: what each bit means, and parts that do not overlap."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

REGION_FLAGS: Mapping[str, int] = MappingProxyType(
    {"retina": 1, "disc": 2, "macula": 4, "vessels": 8, "periphery": 16}
)
"""Bit of each structure; structures overlap, since vessels run over disc and periphery."""

PERIPHERY = 0.8
"""Share of the field's radius from which the retina counts as periphery."""

PARTS = ("disc", "macula", "vessels", "periphery", "background", "outside")
"""The parts a change is accounted to; together they cover the square once."""


def part_masks(regions: NDArray[np.uint8]) -> dict[str, NDArray[np.bool_]]:
    """Cut the square into parts that cover it once, so that shares over them add up to one.

    A pixel counts for the most specific structure it belongs to: vessels, then disc, macula,
    periphery; ``background`` is the retina between them, ``outside`` the black surround.

    Args:
        regions: ``(..., H, W)`` uint8 map of :data:`REGION_FLAGS`.

    Returns:
        One ``(..., H, W)`` boolean mask per name of :data:`PARTS`.
    """
    free = regions & REGION_FLAGS["retina"] > 0
    masks = {"outside": ~free}
    for name in ("vessels", "disc", "macula", "periphery"):
        masks[name] = free & (regions & REGION_FLAGS[name] > 0)
        free = free & ~masks[name]
    masks["background"] = free
    return {name: masks[name] for name in PARTS}
