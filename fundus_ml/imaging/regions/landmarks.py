"""From the landmark network's maps to disc, cup and fovea on the square of one eye."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.landmark_network import (
    SIZE,
    STRIDE,
    LandmarkNetwork,
    empty_landmark_network,
)
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, ellipse_of_mask
from fundus_ml.imaging.regions.trained import PACKAGED, fill, read_trained

Plane = NDArray[np.float32]

TYPICAL_DISC = 0.15
"""Diameter of a disc over that of a field of view of 45 degrees."""
SMALLEST_CUP = 0.01
"""Share of the disc's area below which a cup is none."""
SMOOTHED = 1.5
"""Standard deviation, cells, over which the most likely place is looked for."""


@dataclass(frozen=True)
class EyeMaps:
    """What the network says of one square, both ways round averaged; ``h`` by ``w`` cells.

    Attributes:
        disc: ``(h, w)`` logits of a cell lying in the disc.
        cup: ``(h, w)`` likewise of its cup.
        centre: ``(h, w)`` probabilities of the disc's centre lying in a cell; the rest to 1 is
            that it lies nowhere on the square.
        fovea: ``(h, w)`` likewise.
        flips: How alike the disc is on the square and on its mirror image: their intersection
            over their union, 0 to 1.
    """

    disc: Plane
    cup: Plane
    centre: Plane
    fovea: Plane
    flips: float


@dataclass(frozen=True)
class FoundLandmarks:
    """Parts on the square, sure or not, and what speaks for each.

    Attributes:
        disc: Or None where no cell lies in one.
        cup: Or None where the disc has none or there is no disc.
        fovea: Its most likely place.
        disc_mass: Probability of the disc's centre lying within the ellipse's radius of its centre.
        solid: Mean probability of the cells of the disc.
        cup_solid: Likewise of the cup.
        fovea_mass: Probability of the fovea within half a disc diameter of its place.
        side: Probability of the fovea right of the disc less that of left of it.
        flips: As in :class:`EyeMaps`.
    """

    disc: Ellipse | None
    cup: Ellipse | None
    fovea: Landmark
    disc_mass: float
    solid: float
    cup_solid: float
    fovea_mass: float
    side: float
    flips: float


@lru_cache(maxsize=2)
def landmark_network(folder: Path = PACKAGED) -> LandmarkNetwork:
    """Load the trained network, once.

    Raises:
        InputError: From :func:`~fundus_ml.imaging.regions.trained.read_trained`.
    """
    network = empty_landmark_network()
    fill(network, read_trained("landmarks", folder).state, named="landmarks.safetensors")
    network.requires_grad_(requires_grad=False)
    return network.eval().to(memory_format=torch.channels_last)


def eye_maps(network: LandmarkNetwork, pixels: NDArray[np.uint8]) -> EyeMaps:
    """Read ``(S, S, 3)`` uint8, a square of a field of view, and its mirror image."""
    both = np.stack([pixels, pixels[:, ::-1]]).astype(np.float32) / np.float32(255)
    with torch.inference_mode():
        maps = network(torch.from_numpy(both).permute(0, 3, 1, 2))
    discs = maps.disc[0], maps.disc[1].flip(1)
    cups = maps.cup[0], maps.cup[1].flip(1)
    here, there = (torch.sigmoid(disc) for disc in discs)
    union = torch.maximum(here, there).sum()
    shape = maps.disc.shape[1:]
    points = maps.points.softmax(2)[..., :-1].reshape(2, 2, *shape)
    points = (points[0] + points[1].flip(2)) / 2
    return EyeMaps(
        disc=((discs[0] + discs[1]) / 2).numpy(),
        cup=((cups[0] + cups[1]) / 2).numpy(),
        centre=points[0].numpy(),
        fovea=points[1].numpy(),
        flips=float(torch.minimum(here, there).sum() / union.clamp(min=1e-6)),
    )


def find_on_square(maps: EyeMaps) -> FoundLandmarks:
    """Measure the parts on the maps, in pixels of the square."""
    disc_area, solid = _largest(maps.disc)
    disc = ellipse_of_mask(disc_area, fewest=STRIDE**2)
    cup, cup_solid = None, 0.0
    if disc is not None:
        # Bilinear maps of disc and cup share their grid: a cup lies in its disc.
        cup_area, cup_solid = _largest(np.where(_cells_near(disc, maps.cup.shape), maps.cup, -9))
        cup = ellipse_of_mask(cup_area & disc_area, fewest=STRIDE**2)
        if cup is not None and cup.area < SMALLEST_CUP * disc.area:
            cup = None
    diameter = disc.diameter if disc else TYPICAL_DISC * SIZE
    x, y = _likeliest(maps.fovea)
    centre_mass = _mass(maps.centre, disc.x, disc.y, 0.5 * diameter) if disc else 0.0
    across = np.arange(maps.fovea.shape[1]) * STRIDE + (STRIDE - 1) / 2
    middle = disc.x if disc else (SIZE - 1) / 2
    return FoundLandmarks(
        disc=disc,
        cup=cup,
        fovea=Landmark(x=x, y=y),
        disc_mass=centre_mass,
        solid=solid,
        cup_solid=cup_solid,
        fovea_mass=_mass(maps.fovea, x, y, 0.5 * diameter),
        side=float((maps.fovea.sum(0) * np.sign(across - middle)).sum()),
        flips=maps.flips,
    )


def _largest(logits: Plane) -> tuple[NDArray[np.bool_], float]:
    """The connected area, in pixels of the square, with the most probability; and its mean."""
    side = (logits.shape[1] * STRIDE, logits.shape[0] * STRIDE)
    fine = np.asarray(cv2.resize(logits, side, interpolation=cv2.INTER_LINEAR), np.float32)
    count, labels = cv2.connectedComponents((fine > 0).astype(np.uint8), connectivity=4)
    if count < 2:  # noqa: PLR2004 (nothing but the background)
        return np.zeros(fine.shape, np.bool_), 0.0
    share = 1 / (1 + np.exp(-fine))
    sums = np.bincount(labels.ravel(), share.ravel())
    best = 1 + int(sums[1:].argmax())
    area = labels == best
    return area, float(sums[best] / area.sum())


def _cells_near(disc: Ellipse, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    cells = disc.scaled(1 / STRIDE)
    return np.asarray(cells.distance((shape[0], shape[1])) <= 1.5)  # noqa: PLR2004


def _likeliest(place: Plane) -> tuple[float, float]:
    """Column and row: the centre of mass around the peak of the smoothed map."""
    soft = cv2.GaussianBlur(place, (0, 0), SMOOTHED, borderType=cv2.BORDER_CONSTANT)
    row, column = np.unravel_index(int(np.asarray(soft).argmax()), place.shape)
    down, across = np.mgrid[: place.shape[0], : place.shape[1]]
    near = place * (np.hypot(across - column, down - row) <= 3)  # noqa: PLR2004 (cells)
    total = float(near.sum()) + 1e-12
    x, y = float((near * across).sum() / total), float((near * down).sum() / total)
    return x * STRIDE + (STRIDE - 1) / 2, y * STRIDE + (STRIDE - 1) / 2


def _mass(place: Plane, x: float, y: float, reach: float) -> float:
    down, across = np.mgrid[: place.shape[0], : place.shape[1]] * STRIDE + (STRIDE - 1) / 2
    return float(place[np.hypot(across - x, down - y) <= reach].sum())
