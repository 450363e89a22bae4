"""Where an eye may change: a structure of its region map, several, or any mask."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import read_png
from fundus_ml.imaging.regions.maps import REGION_FLAGS

WHOLE = "whole"


def check_region(region: str, *, has_regions: bool) -> None:
    """Refuse a region that could not be found, before any work is done.

    Raises:
        InputError: It names no structure and no PNG file, or a structure where there are no maps.
    """
    if region == WHOLE or Path(region).suffix == ".png":
        return
    unknown = [name for name in region.split("+") if name not in REGION_FLAGS]
    if unknown:
        raise InputError(
            f"region={region}: allowed: {WHOLE}, {', '.join(REGION_FLAGS)}, several with + between "
            "them (disc+vessels), or a PNG mask"
        )
    if not has_regions:
        raise InputError(
            f"region={region}: the dataset has no region maps; allowed: {WHOLE} or a PNG mask"
        )


def allowed_pixels(
    region: str, regions: NDArray[np.uint8] | None, *, shape: tuple[int, int, int]
) -> NDArray[np.bool_] | None:
    """Mark where each eye may change.

    Args:
        region: ``whole``; a name of :data:`~fundus_ml.imaging.regions.maps.REGION_FLAGS`, several
            joined by ``+``; or the path of a PNG, as large as the eyes, that is not black where all
            may change.
        regions: ``(N, H, W)`` uint8 region maps, or None where there are none.
        shape: ``(N, H, W)`` of the eyes.

    Returns:
        ``(N, H, W)`` booleans, all False for an eye that does not show the structure; None where
        everything may change.

    Raises:
        InputError: As :func:`check_region`; or the mask is no picture, of another size or empty, or
            no eye shows the structure.
    """
    check_region(region, has_regions=regions is not None)
    if region == WHOLE:
        return None
    if regions is None or Path(region).suffix == ".png":
        mask = read_png(Path(region)).any(axis=2)
        if mask.shape != shape[1:]:
            raise InputError(f"region={region}: is {mask.shape}, the eyes are {shape[1:]}")
        if not mask.any():
            raise InputError(f"region={region}: all black, so nothing may change")
        return np.broadcast_to(mask, shape)
    flags = sum(REGION_FLAGS[name] for name in set(region.split("+")))
    allowed = (regions & flags) > 0
    if not allowed.any():
        raise InputError(f"region={region}: none of {len(allowed)} eyes shows it")
    return allowed
