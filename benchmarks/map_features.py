"""What a method's maps say by region: the features from which a stated cause is read."""

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.imaging.regions.shams import LEAST_LEFT, MACULA_SHIFT, ROTATIONS
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


def sham_masks(truth: NDArray[np.bool_], drawn: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Place a sham of each eye's truth: its shape, elsewhere on the retina of the same eye.

    Candidates are the truth rotated about the middle of the retina by :data:`ROTATIONS`, and
    shifted in each of these directions by its own equivalent diameter times
    :data:`MACULA_SHIFT`, which serves a truth in the middle. The first that keeps most is taken;
    it keeps what lies on the retina and neither on the truth nor on the disc or macula.

    Args:
        truth: ``(N, H, W)`` pixels that the planted edit changes.
        drawn: ``(N, H, W)`` region maps.

    Returns:
        ``(N, H, W)``; all False where no candidate keeps :data:`LEAST_LEFT` of the truth's area, as
        where the whole retina is the truth.
    """
    found = np.zeros_like(truth)
    for place, (own, flags) in enumerate(zip(truth, drawn, strict=True)):
        taken = REGION_FLAGS["disc"] | REGION_FLAGS["macula"]
        free = (flags & REGION_FLAGS["retina"] > 0) & (flags & taken == 0) & ~own
        least = LEAST_LEFT * float(own.sum())
        if not own.any() or free.sum() < least:
            continue
        for matrix in _moves(own, flags & REGION_FLAGS["retina"] > 0):
            moved = cv2.warpAffine(
                own.astype(np.uint8), matrix, own.shape[::-1], flags=cv2.INTER_NEAREST
            )
            kept = free & (moved > 0)
            if kept.sum() >= max(least, found[place].sum() + 1):
                found[place] = kept
    return found


def _moves(own: NDArray[np.bool_], retina: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """``(2, 3)`` rotations about the middle of the retina, then shifts."""
    down, across = np.nonzero(retina)
    middle = ((across.min() + across.max()) / 2, (down.min() + down.max()) / 2)
    turns = [cv2.getRotationMatrix2D(middle, angle, 1.0) for angle in ROTATIONS]
    reach = MACULA_SHIFT * 2 * np.sqrt(own.sum() / np.pi)
    shifts = [
        np.array([[1, 0, reach * np.cos(angle)], [0, 1, reach * np.sin(angle)]])
        for angle in np.deg2rad(ROTATIONS)
    ]
    return [np.asarray(matrix, np.float64) for matrix in (*turns, *shifts)]


def map_features(
    maps: NDArray[np.float32],
    drawn: NDArray[np.uint8],
    truth: NDArray[np.bool_],
    sham: NDArray[np.bool_],
) -> dict[str, NDArray[np.float64]]:
    """Measure maps by region.

    Args:
        maps: ``(N, H, W)``, positive where they speak for the second class.
        drawn: ``(N, H, W)`` region maps.
        truth: ``(N, H, W)`` pixels that the planted edit changes.
        sham: ``(N, H, W)`` of :func:`sham_masks`.

    Returns:
        ``enrichment`` ``(N, 7)``: share of the absolute map in each of :data:`REGIONS` over its
        share of the area; ``signed`` ``(N, 7)``: its signed sum over the sum of the absolute map;
        ``pointing`` ``(N,)``: share of the largest absolute values that lies in the truth (1 or 0
        where one is largest); ``truth_area`` ``(N,)``: share of the square that is truth;
        ``in_truth`` and ``in_sham`` ``(N,)``: enrichments there. A region that an eye lacks has NaN
        enrichment.
    """
    absolute = np.abs(maps.astype(np.float64))
    whole = absolute.sum(axis=(1, 2)) + 1e-300
    masks = region_masks(drawn)
    largest = absolute == absolute.max(axis=(1, 2), keepdims=True)
    return {
        "enrichment": np.stack([_enrichment(absolute, masks[name]) for name in REGIONS], axis=1),
        "signed": np.stack(
            [np.where(masks[name], maps, 0).sum(axis=(1, 2)) / whole for name in REGIONS], axis=1
        ),
        "pointing": (largest & truth).sum(axis=(1, 2)) / largest.sum(axis=(1, 2)),
        "truth_area": truth.mean(axis=(1, 2)),
        "in_truth": _enrichment(absolute, truth),
        "in_sham": _enrichment(absolute, sham),
    }


def _enrichment(absolute: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    area = mask.mean(axis=(1, 2))
    share = np.where(mask, absolute, 0).sum(axis=(1, 2)) / (absolute.sum(axis=(1, 2)) + 1e-300)
    return np.where(area > 0, share / np.where(area > 0, area, 1), np.nan)
