"""The centre lines of a vessel mask, cut where vessels meet or cross, and which pieces go on."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.morphology import skeletonize

from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.structures import Mask

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]

SHORTEST = 8
"""Pixels of centre line below which a piece is left out."""

END = 18
"""Pixels from a meeting within which a piece's direction is measured."""


class Segments(NamedTuple):
    """Pieces of vessel between the places where vessels meet; K of them.

    Attributes:
        owner: ``(H, W)`` piece from 0 to K - 1 that a pixel of the mask belongs to; -1 elsewhere.
        depth: ``(H, W)`` pixels from the mask's border, 0 outside.
        lengths: ``(K,)`` pixels of centre line.
        widths: ``(K,)`` median width, pixels.
        x: ``(K,)`` column of the middle of the centre line.
        y: ``(K,)`` row of it.
        links: ``(L, 2)`` pieces that meet.
        straight: ``(L,)`` how far one goes on as the other, 1 straight on to -1 straight back.
        degrees: ``(L,)`` pieces at that meeting.
    """

    owner: Labels
    depth: NDArray[np.float32]
    lengths: Floats
    widths: Floats
    x: Floats
    y: Floats
    links: NDArray[np.int64]
    straight: Floats
    degrees: NDArray[np.int64]


def cut_segments(mask: Mask) -> Segments:
    """Cut a vessel mask into pieces that are one vessel each.

    Args:
        mask: ``(H, W)`` pixels on a vessel.

    Returns:
        Its pieces, in the order of their first pixels.
    """
    skeleton = np.asarray(skeletonize(mask), np.uint8)  # type: ignore[no-untyped-call]
    around = cv2.filter2D(skeleton, -1, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT)
    meeting = ((skeleton > 0) & (around > 3)).astype(np.uint8)  # noqa: PLR2004 (itself and two)
    apart = np.where(cv2.dilate(meeting, np.ones((3, 3), np.uint8)) > 0, np.uint8(0), skeleton)
    count, labels, stats, middles = cv2.connectedComponentsWithStats(apart, connectivity=8)
    kept = np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= SHORTEST) + 1
    number = np.full(count, -1, np.int32)
    number[kept] = np.arange(len(kept))
    pieces = number[labels]
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    order = np.argsort(pieces[pieces >= 0], kind="stable")
    depths = np.split(depth[pieces >= 0][order], np.cumsum(stats[kept, cv2.CC_STAT_AREA])[:-1])
    links, straight, degrees = _links(meeting, pieces)
    return Segments(
        owner=_owners(pieces, mask),
        depth=np.asarray(depth, np.float32),
        lengths=stats[kept, cv2.CC_STAT_AREA].astype(np.float64),
        # A line one pixel wide is one pixel from its border.
        widths=np.array([2 * np.median(part) - 1 for part in depths if len(part)]),
        x=middles[kept, 0],
        y=middles[kept, 1],
        links=links,
        straight=straight,
        degrees=degrees,
    )


def _owners(pieces: Labels, mask: Mask) -> Labels:
    """Give every pixel of the mask to the piece whose centre line is nearest."""
    if not (pieces >= 0).any():
        return np.full(mask.shape, -1, np.int32)
    elsewhere = (pieces < 0).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(
        elsewhere, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.zeros(nearest.max() + 1, np.int32)
    of_label[nearest[pieces >= 0]] = pieces[pieces >= 0]
    return np.where(mask, of_label[nearest], np.int32(-1))


def _links(
    meeting: NDArray[np.uint8], pieces: Labels
) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    links, straight, degrees = [], [], []
    joined = cv2.dilate(meeting, np.ones((5, 5), np.uint8))
    _, _, boxes, centres = cv2.connectedComponentsWithStats(joined, connectivity=8)
    height, width = pieces.shape
    for box, (x, y) in zip(boxes[1:], centres[1:], strict=True):
        left, top, wide, high = (int(value) for value in box[:4])
        rows = slice(max(top - END, 0), min(top + high + END, height))
        columns = slice(max(left - END, 0), min(left + wide + END, width))
        window = pieces[rows, columns]
        touching = pieces[max(top - 1, 0) : top + high + 1, max(left - 1, 0) : left + wide + 1]
        met = np.unique(touching[touching >= 0])
        directions = []
        for piece in met:
            down, across = np.nonzero(window == piece)
            away = np.array([(across + columns.start - x).mean(), (down + rows.start - y).mean()])
            directions.append(away / max(float(np.hypot(*away)), 1e-6))
        for first in range(len(met)):
            for second in range(first + 1, len(met)):
                links.append((met[first], met[second]))
                straight.append(-float(directions[first] @ directions[second]))
                degrees.append(len(met))
    return (
        np.array(links, np.int64).reshape(-1, 2),
        np.array(straight, np.float64),
        np.array(degrees, np.int64),
    )
