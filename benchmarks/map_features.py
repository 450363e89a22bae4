"""What a method's maps say by region: the features from which a stated cause is read."""

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.imaging.regions.zones import zone_masks

REGIONS = ("disc", "ring", "macula", "vessels", "border", "rest", "outside")
BORDER = 0.05
"""Share of the square's width that counts as the border of the retina."""


def region_masks(drawn: NDArray[np.uint8]) -> dict[str, NDArray[np.bool_]]:
    """Cut ``(N, H, W)`` region maps into :data:`REGIONS`, which cover the square once."""
    retina = drawn & REGION_FLAGS["retina"] > 0
    zones = zone_masks(drawn)
    width = BORDER * drawn.shape[2]
    border = np.stack([mask & (_from_border(mask) < width) for mask in retina])
    found = {
        "disc": drawn & REGION_FLAGS["disc"] > 0,
        "vessels": drawn & REGION_FLAGS["vessels"] > 0,
        "ring": zones["disc_ring_inner"],
        "macula": drawn & REGION_FLAGS["macula"] > 0,
        "border": border,
    }
    free, masks = retina.copy(), {"outside": ~retina}
    for name, mask in found.items():
        masks[name] = free & mask
        free &= ~mask
    masks["rest"] = free
    return {name: masks[name] for name in REGIONS}


def _from_border(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    framed = np.pad(mask.astype(np.uint8), 1)
    away = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(away[1:-1, 1:-1], np.float32)


def map_features(
    maps: NDArray[np.float32], drawn: NDArray[np.uint8], truth: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """Measure maps by region.

    Args:
        maps: ``(N, H, W)``, positive where they speak for the second class.
        drawn: ``(N, H, W)`` region maps.
        truth: ``(N, H, W)`` pixels that the planted edit changes.

    Returns:
        ``enrichment`` ``(N, 7)``: share of the absolute map in each of :data:`REGIONS` over its
        share of the area; ``signed`` ``(N, 7)``: its signed sum over the sum of the absolute map;
        ``pointing`` ``(N,)``: 1 where the largest value lies in the truth; ``in_truth`` ``(N,)``:
        enrichment of the truth. A region that an eye lacks has NaN enrichment.
    """
    absolute = np.abs(maps.astype(np.float64))
    whole = absolute.sum(axis=(1, 2)) + 1e-300
    masks = region_masks(drawn)
    largest = absolute.reshape(len(maps), -1).argmax(axis=1)
    return {
        "enrichment": np.stack([_enrichment(absolute, masks[name]) for name in REGIONS], axis=1),
        "signed": np.stack(
            [np.where(masks[name], maps, 0).sum(axis=(1, 2)) / whole for name in REGIONS], axis=1
        ),
        "pointing": truth.reshape(len(maps), -1)[np.arange(len(maps)), largest].astype(np.float64),
        "in_truth": _enrichment(absolute, truth),
    }


def _enrichment(absolute: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    area = mask.mean(axis=(1, 2))
    share = np.where(mask, absolute, 0).sum(axis=(1, 2)) / (absolute.sum(axis=(1, 2)) + 1e-300)
    return np.where(area > 0, share / np.where(area > 0, area, 1), np.nan)
