"""Which vessels are arteries and which veins, where their colour tells."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.pictures import brightest_channel
from fundus_ml.imaging.regions.structures import Ellipse, Mask
from fundus_ml.imaging.regions.vessel_segments import Segments, cut_segments

Floats = NDArray[np.float64]

THINNEST = 3.0
"""Width below which a vessel's colour is that of what lies around it, pixels of a square of 640."""

AROUND = 11.0
"""Standard deviation of what lies around a vessel, pixels of that square."""

DARK = 16
"""Brightest channel up to which nothing is seen."""

LEVEL = 1e-3
"""Variance of log width that holds the slope of darkness over width near 0."""

UTMOST = 3.0
"""Robust standard deviations at which darkness is cut off."""

LEAST_GROUP = 0.15
"""Share of a sector's centre lines that either group holds at least."""

WINDOWS = 18
"""Turns of the sector within which vessels are compared."""

SECTOR = math.radians(75)
"""Half the angle of a sector."""

FEWEST = 3
"""Pieces a sector must hold for its vessels to be compared."""

APART = 2.8
"""Distance between the two groups of a sector, in standard deviations within them, from which
they are two; one normal group cut in two has 2.6."""

SURE = 0.5
"""Score, 0 midway between arteries and veins and 1 in the middle of either, from which a piece is
told."""

BOUND = 2.0
"""How strongly two pieces that go straight on share their score."""


class Told(NamedTuple):
    """Arteries and veins of one square, ``(H, W)`` each; a crossing may be both."""

    arteries: Mask
    veins: Mask


def tell_arteries(square: NDArray[np.uint8], mask: Mask, *, disc: Ellipse | None = None) -> Told:
    """Tell arteries from veins by how much light their blood takes away.

    Args:
        square: ``(H, W, 3)`` uint8 RGB, a field of view about 640 pixels wide.
        mask: ``(H, W)`` pixels on a vessel.
        disc: Optic disc on the square, from whose centre sectors are cut; the square's middle
            where it is not known.

    Returns:
        Pixels of ``mask`` on vessels that are told; none where colours fall into no two groups.

    Source:
        Ours, after Vázquez et al. 2013: two groups within sectors that turn around the disc, here
        of optical densities, with pieces that go on tied together.
    """
    segments = cut_segments(mask)
    nothing = np.zeros_like(mask)
    if len(segments.lengths) < FEWEST:
        return Told(nothing, nothing)
    middle = (disc.x, disc.y) if disc else ((mask.shape[1] - 1) / 2, (mask.shape[0] - 1) / 2)
    darkness = _darkness(square, mask, segments)
    score = _tied(_compared(darkness, segments, middle), segments)
    if disc:
        # On the disc the ground is bright, and vessels lie on one another.
        score[np.hypot(segments.x - disc.x, segments.y - disc.y) < disc.diameter / 2] = 0
    told = np.where(score > SURE, 1, np.where(score < -SURE, -1, 0))
    # One more for pixels of no piece.
    of_pixel = np.append(told, 0)[segments.owner]
    return Told(arteries=of_pixel < 0, veins=of_pixel > 0)


def _darkness(square: NDArray[np.uint8], mask: Mask, segments: Segments) -> Floats:
    """How much darker than others of its width each piece is, in robust standard deviations."""
    light = np.log(square[..., :2].astype(np.float32) + 4)
    vessel = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    beside = (~vessel & (brightest_channel(square) > DARK)).astype(np.float32)
    # What lies around is smooth: a quarter of the size is enough.
    small = (square.shape[1] // 4, square.shape[0] // 4)
    weight = cv2.resize(beside, small, interpolation=cv2.INTER_AREA)
    total = cv2.resize(light * beside[..., None], small, interpolation=cv2.INTER_AREA)
    weight = np.maximum(cv2.GaussianBlur(weight, (0, 0), AROUND / 4), 1e-3)
    ground = np.asarray(cv2.GaussianBlur(total, (0, 0), AROUND / 4) / weight[..., None], np.float32)
    density = cv2.resize(ground, square.shape[1::-1], interpolation=cv2.INTER_LINEAR) - light
    count = len(segments.lengths)
    owner = segments.owner
    core = (owner >= 0) & (segments.depth >= 0.3 * segments.widths[owner])
    members, number = owner[core], np.bincount(owner[core], minlength=count).clip(1)
    log_width = np.log(segments.widths.clip(1))
    scores = []
    for channel in range(2):
        mean = np.bincount(members, density[..., channel][core], minlength=count) / number
        scores.append(_beyond_width(mean, log_width, segments))
    return np.asarray(np.mean(scores, axis=0))


def _beyond_width(values: Floats, log_width: Floats, segments: Segments) -> Floats:
    """Residuals of the line over log width, in robust standard deviations."""
    wide = segments.widths >= THINNEST
    weights = segments.lengths * wide
    if wide.sum() < FEWEST:
        return np.zeros_like(values)
    weights /= weights.sum()
    off, rest = log_width - weights @ log_width, values - weights @ values
    # Widths that are all alike say nothing of a slope.
    rest = rest - off * (weights @ (off * rest)) / (weights @ off**2 + LEVEL)
    spread = 1.4826 * np.median(np.abs(rest[wide] - np.median(rest[wide])))
    return (rest / max(float(spread), 1e-3)).clip(-UTMOST, UTMOST)


def _compared(darkness: Floats, segments: Segments, middle: tuple[float, float]) -> Floats:
    """Mean over sectors of where a piece lies between their two groups: -1 artery, 1 vein."""
    angle = np.arctan2(segments.y - middle[1], segments.x - middle[0])
    wide = segments.widths >= THINNEST
    total, votes = np.zeros_like(darkness), np.zeros_like(darkness)
    for turn in range(WINDOWS):
        off = np.angle(np.exp(1j * (angle - 2 * math.pi * turn / WINDOWS)))
        inside = np.flatnonzero((np.abs(off) <= SECTOR) & wide)
        if len(inside) < FEWEST:
            continue
        low, high, apart = _two_groups(darkness[inside], segments.lengths[inside])
        if apart >= APART:
            place = (darkness[inside] - (low + high) / 2) / ((high - low) / 2)
            total[inside] += place.clip(-1.5, 1.5)
        votes[inside] += 1
    return np.asarray(total / votes.clip(1))


def _two_groups(values: Floats, weights: Floats) -> tuple[float, float, float]:
    """Means of the two groups with the least variance within, and their distance in its root.

    Twice the mean of all, and 0, where no cut leaves :data:`LEAST_GROUP` on either side.
    """
    order = np.argsort(values, kind="stable")
    v, w = values[order], weights[order]
    below = np.cumsum(w)[:-1]
    above = w.sum() - below
    low = np.cumsum(w * v)[:-1] / below
    high = ((w * v).sum() - np.cumsum(w * v)[:-1]) / above
    between = below * above * (high - low) ** 2
    # Both kinds run through every sector: a few odd pieces are no group.
    between = np.where(np.minimum(below, above) >= LEAST_GROUP * w.sum(), between, -1)
    best = int(np.argmax(between))
    if between[best] < 0:
        mean = float((w * v).sum() / w.sum())
        return mean, mean, 0.0
    within = (w * v**2).sum() - below[best] * low[best] ** 2 - above[best] * high[best] ** 2
    spread = math.sqrt(max(within / w.sum(), 1e-12))
    return float(low[best]), float(high[best]), float((high[best] - low[best]) / spread)


def _tied(score: Floats, segments: Segments) -> Floats:
    """Let pieces that go on into one another share what each of them says."""
    count = len(score)
    own = segments.lengths * (segments.widths >= THINNEST) + 1.0
    system, wanted = np.diag(own), own * score
    widths = np.log(segments.widths[segments.links].clip(1))
    alike = np.exp(-(np.diff(widths, axis=1)[:, 0] ** 2) / 0.2) if len(widths) else np.zeros(0)
    bond = BOUND * 10 * alike * (segments.straight.clip(0.7, 1) - 0.7) / 0.3
    for (first, second), strength in zip(segments.links, bond, strict=True):
        system[first, first] += strength
        system[second, second] += strength
        system[first, second] -= strength
        system[second, first] -= strength
    assert system.shape == (count, count)
    return np.asarray(np.linalg.solve(system, wanted))
