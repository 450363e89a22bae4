"""Disc and fovea without learning: brightness, vessels that converge, geometry, darkness."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.pictures import brightest_channel

Plane = NDArray[np.float32]

DISC_RADII = (0.058, 0.075, 0.095)
"""Radii of discs looked for, as shares of the square's side: a field of 30 to 55 degrees."""
SIDE = 224
"""Side of the copy it looks at, pixels."""
CELLS = 40
"""Side of the maps of scores."""
POINTS = 180
"""Points of the strongest ridges that vote."""
SECTORS = 8
"""Directions, over half a turn, that are counted apart: a disc has vessels in many of them."""
REACH = (0.02, 0.34)
"""Nearest and farthest distance over which a point votes, as shares of the side."""
NARROW = 0.022
"""Standard deviation of the distance between a vessel's line and where it votes, likewise."""
DISTANCE = (2.45, 0.33)
"""Disc to fovea in disc diameters: mean and standard deviation."""
DROP = (0.10, 0.13)
"""Fovea below the disc's centre over their distance, likewise."""
DARK = 12
"""Grey level of the brightest channel above which a pixel shows retina."""


@dataclass(frozen=True)
class ClassicalEye:
    """What brightness, vessels and darkness say, in pixels of the square.

    Attributes:
        disc: ``(CELLS, CELLS)`` float32, 0 to 1: how much each place looks like a disc's centre.
        x: Column of the best place.
        y: Row.
        diameter: Diameter of the best disc there.
        fovea_x: Column of the darkest place where its fovea may lie.
        fovea_y: Row.
        darkness: How much darker it is than around it, in standard deviations of the retina.
        leaning: Mean direction in which vessels above and below the disc leave it, -1 all to the
            left, 1 all to the right: they arch around the macula.
        side: Side of the square, pixels.
    """

    disc: Plane
    x: float
    y: float
    diameter: float
    fovea_x: float
    fovea_y: float
    darkness: float
    leaning: float
    side: int

    def support(self, x: float, y: float) -> float:
        """How well a place does as a disc's centre beside the best one, 0 to 1."""
        row, column = (int(np.clip(at * CELLS / self.side, 0, CELLS - 1)) for at in (y, x))
        near = self.disc[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
        return float(near.max() / max(float(self.disc.max()), 1e-6))


def look_without_learning(pixels: NDArray[np.uint8]) -> ClassicalEye:
    """Find the disc where it is bright and vessels converge, the fovea where it is dark beside it.

    Args:
        pixels: ``(S, S, 3)`` uint8 RGB square of a field of view, black outside it.

    Source:
        Brightness and converging vessels: Hoover and Goldbaum 2003, doi:10.1109/TMI.2003.815900
        (ours votes along each vessel's own line). The fovea 2 to 3 disc diameters temporal of the
        disc and a little below: Rohrschneider 2004, doi:10.1167/iovs.03-1157.
    """
    full = pixels.shape[0]
    pixels = np.asarray(cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    side = SIDE
    retina = (brightest_channel(pixels) > DARK).astype(np.float32)
    retina = np.asarray(cv2.erode(retina, np.ones((5, 5), np.uint8)), np.float32)
    green, red = (pixels[..., place].astype(np.float32) for place in (1, 0))
    flat_green, flat_red = _flattened(retina, green, red)
    bright, radius = _brightness(np.asarray((2 * flat_green + flat_red) / 3, np.float32), retina)
    points, angles = _ridges(flat_green, retina)
    votes = _votes(points, angles, side)
    cells = _cells(bright)
    seen = np.asarray(cv2.resize(retina, (CELLS, CELLS), interpolation=cv2.INTER_AREA)) > 0.5  # noqa: PLR2004
    disc = (_ranked(cells, seen) * _ranked(votes, seen)).astype(np.float32)
    row, column = np.unravel_index(int(disc.argmax()), disc.shape)
    x, y = ((at + 0.5) * side / CELLS - 0.5 for at in (float(column), float(row)))
    diameter = 2 * side * float(_nearest(radius, x, y))
    fovea = _darkest(flat_green, retina, x, y, diameter)
    leaning = _leaning(points - np.array([x, y], np.float32), angles, diameter)
    up = full / side
    x, y, fx, fy = ((at + 0.5) * up - 0.5 for at in (x, y, *fovea[:2]))
    return ClassicalEye(disc, x, y, up * diameter, fx, fy, fovea[2], leaning, full)


def _flattened(retina: Plane, *planes: Plane) -> list[Plane]:
    """Lighting taken out: distance from the local mean in units of the local spread."""
    wide = retina.shape[0] * 0.16
    share, wider = (_blurred(retina, sigma) + np.float32(1e-3) for sigma in (wide, 1.5 * wide))
    flat = []
    for plane in planes:
        away = (plane - _blurred(plane * retina, wide) / share) * retina
        spread = np.sqrt(_blurred(away * away, 1.5 * wide) / wider)
        flat.append(np.asarray(np.clip(away / (spread + 3), -3, 3), np.float32))
    return flat


def _blurred(plane: Plane, sigma: float) -> Plane:
    """A wide Gaussian, on fewer pixels where it is wide."""
    side = plane.shape[0]
    step = max(1, int(sigma / 3))
    few = cv2.resize(plane, (side // step, side // step), interpolation=cv2.INTER_AREA)
    few = cv2.GaussianBlur(few, (0, 0), sigma / step, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.resize(few, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)


def _disc_mean(plane: Plane, radius: float) -> Plane:
    reach = math.ceil(radius)
    down, across = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = (np.hypot(down, across) <= radius).astype(np.float32)
    kernel /= kernel.sum()
    return np.asarray(cv2.filter2D(plane, -1, kernel, borderType=cv2.BORDER_CONSTANT), np.float32)


def _brightness(plane: Plane, retina: Plane) -> tuple[Plane, Plane]:
    """How much brighter than its ring a disc is at each place, and the radius at which it is."""
    side = plane.shape[0]
    best = np.full(plane.shape, -9, np.float32)
    radius = np.full(plane.shape, DISC_RADII[1], np.float32)
    half = side // 2
    small, seen = (
        np.asarray(cv2.resize(whole, (half, half), interpolation=cv2.INTER_AREA), np.float32)
        for whole in (plane, retina)
    )
    for share in DISC_RADII:
        inner, outer = share * half, 2 * share * half
        inside = _disc_mean(small, inner) / (_disc_mean(seen, inner) + 0.05)
        around = _disc_mean(small, outer) / (_disc_mean(seen, outer) + 0.05)
        contrast = np.asarray(cv2.resize(inside - around, (side, side)), np.float32)
        radius = np.where(contrast > best, np.float32(share), radius)
        best = np.maximum(best, contrast)
    return best, radius


def _ridges(plane: Plane, retina: Plane) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points of the strongest dark ridges, ``(P, 2)`` column and row, and their directions."""
    side = plane.shape[0]
    strength = np.zeros(plane.shape, np.float32)
    bent = []
    inner = np.asarray(cv2.erode(retina, np.ones((9, 9), np.uint8)), np.float32)
    for sigma in (side / 150, side / 85):
        soft = np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32)
        xx, yy, xy = (
            cv2.Sobel(soft, cv2.CV_32F, dx, dy, ksize=3) for dx, dy in ((2, 0), (0, 2), (1, 1))
        )
        across = (xx + yy) / 2 + np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
        ridge = sigma**2 * across * inner
        stronger = ridge > strength
        strength = np.where(stronger, ridge, strength)
        bent.append((stronger, xy, xx - yy))
    peak = strength * (strength >= np.asarray(cv2.dilate(strength, np.ones((3, 3), np.uint8))))
    chosen = np.argsort(peak, axis=None)[-POINTS:]
    rows, columns = np.unravel_index(chosen, peak.shape)
    points = np.column_stack([columns, rows]).astype(np.float32)
    angles = np.zeros(len(points), np.float32)
    for stronger, mixed, difference in (tuple(each[rows, columns] for each in b) for b in bent):
        # The direction across the ridge bends most; the vessel runs at a right angle to it.
        along = np.arctan2(2 * mixed, difference) / 2 + np.float32(math.pi / 2)
        angles = np.where(stronger, along, angles)
    return points, angles


def _votes(points: NDArray[np.float32], angles: NDArray[np.float32], side: int) -> Plane:
    """How many vessels point at each place, and from how many directions."""
    at = ((np.arange(CELLS) + 0.5) * side / CELLS - 0.5).astype(np.float32)
    across = at[None, :] - points[:, 0, None]
    down = at[None, :] - points[:, 1, None]
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    beside = (down * cos)[:, :, None] - (across * sin)[:, None, :]
    away = (down**2)[:, :, None] + (across**2)[:, None, :]
    votes = np.exp(-(beside**2) / np.float32(2 * (NARROW * side) ** 2))
    near, far = ((share * side) ** 2 for share in REACH)
    votes *= (away > near) & (away < far)
    votes /= np.sqrt(away + near)
    sector = (np.floor(angles / math.pi * SECTORS).astype(int)) % SECTORS
    total = np.zeros((CELLS, CELLS), np.float32)
    for place in range(SECTORS):
        total += np.sqrt(votes[sector == place].sum(0))
    return total


def _leaning(away: NDArray[np.float32], angles: NDArray[np.float32], diameter: float) -> float:
    """Mean horizontal share of the directions in which the vessels around the disc leave it."""
    along = np.column_stack([np.cos(angles), np.sin(angles)])
    outward = along * np.sign((along * away).sum(1, keepdims=True))
    far = np.hypot(*away.T) / diameter
    near = (far > 0.6) & (far < 2.5) & (np.abs(away[:, 1]) > 0.5 * diameter)  # noqa: PLR2004
    return float(outward[near, 0].mean()) if near.any() else 0.0


def _cells(plane: Plane) -> Plane:
    return np.asarray(cv2.resize(plane, (CELLS, CELLS), interpolation=cv2.INTER_AREA), np.float32)


def _ranked(plane: Plane, seen: NDArray[np.bool_]) -> Plane:
    """From 0 at the median of what is seen to 1 at its largest."""
    if not seen.any():
        return np.zeros_like(plane)
    low, high = float(np.median(plane[seen])), float(plane[seen].max())
    return np.asarray(np.clip((plane - low) / max(high - low, 1e-6), 0, 1) * seen, np.float32)


def _nearest(plane: Plane, x: float, y: float) -> float:
    row, column = (int(np.clip(round(at), 0, plane.shape[0] - 1)) for at in (y, x))
    return float(plane[row, column])


def _darkest(
    green: Plane, retina: Plane, x: float, y: float, diameter: float
) -> tuple[float, float, float]:
    """The place beside the disc that is darkest at the scale of the fovea, and how dark."""
    side = green.shape[0]
    near, far = (
        _blurred(green, share * diameter) / (_blurred(retina, share * diameter) + np.float32(0.05))
        for share in (0.3, 0.8)
    )
    soft = near - far
    down, across = np.mgrid[:side, :side].astype(np.float32)
    across, down = np.abs(across - np.float32(x)), down - np.float32(y)
    away = np.hypot(across, down) / np.float32(diameter)
    drop = down / (np.hypot(across, down) + 1)
    z = ((away - DISTANCE[0]) / DISTANCE[1]) ** 2 + ((drop - DROP[0]) / DROP[1]) ** 2
    # A fovea at the very rim would not be seen as one; shadows there would.
    reach = max(3, int(0.8 * diameter)) | 1
    inner = np.asarray(
        cv2.erode(
            retina,
            cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)),
            borderType=cv2.BORDER_CONSTANT,
            borderValue=0,
        )
    )
    if not inner.any():
        return x, y, 0.0
    score = np.where(inner > 0, -soft - 0.06 * np.minimum(z, 50), -99)
    row, column = np.unravel_index(int(score.argmax()), score.shape)
    return float(column), float(row), float(-soft[row, column] / (soft[inner > 0].std() + 1e-6))
