"""The same eye as another camera, another hand, another day might have shown it, marks and all."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.opencv import cv2
from fundus_ml.region_training.examples import Examples

Floats = NDArray[np.float64]
Pixels = NDArray[np.float32]

SEEN = 6.0
"""Grey level, 0 to 255, above which a point of the retina counts as photographed."""


@dataclass(frozen=True, kw_only=True)
class Variation:
    """Ranges that an eye's changes are drawn from."""

    turn: float = 12.0
    """Standard deviation of the angle, degrees."""
    scale: tuple[float, float] = (0.8, 1.5)
    """Smallest and largest magnification, even in its logarithm."""
    squash: float = 0.05
    """Standard deviation of the logarithm of width over height."""
    shift: float = 0.12
    """Largest move along each axis, as a share of the side."""
    strength: float = 1.2
    """Factor on all changes of colour, light and focus."""
    erased: float = 0.06
    """Share of eyes whose disc is painted over with retina from elsewhere."""


@dataclass(frozen=True)
class Varied:
    """One eye as it is learned from, in pixels of its square.

    Attributes:
        pixels: ``(size, size, 3)`` float32 in [0, 1].
        disc: Five numbers as in :class:`Examples`; ``inf`` where there is none to be seen.
        cup: Likewise.
        fovea: Column and row; ``inf`` where it is not to be seen.
    """

    pixels: Pixels
    disc: Floats
    cup: Floats
    fovea: Floats


def varied(
    examples: Examples, place: int, size: int, how: Variation, draws: np.random.Generator
) -> Varied:
    """Draw one variant of one eye.

    Args:
        examples: The eyes.
        place: Which of them.
        size: Side of the variant, pixels.
        how: Ranges.
        draws: Gives every number; the same state gives the same variant.
    """
    pixels = examples.pixels[place].astype(np.float32)
    disc, cup, fovea = (
        part[place].copy() for part in (examples.disc, examples.cup, examples.fovea)
    )
    if draws.random() < how.erased and np.isfinite(disc).all():
        pixels = _without_disc(pixels, disc, draws)
        disc, cup = np.full(5, np.inf), np.full(5, np.inf)
    matrix = _moves(pixels.shape[0], size, how, draws)
    pixels = cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR)
    pixels = _aperture(np.asarray(pixels, np.float32), draws)
    moved_disc, moved_cup = _moved(disc, matrix), _moved(cup, matrix)
    moved_fovea = matrix[:, :2] @ fovea + matrix[:, 2] if np.isfinite(fovea).all() else fovea
    if np.isfinite(moved_disc).all() and not _seen(pixels, moved_disc[:2]):
        # A rim alone is still the disc; its centre is what is not to be seen.
        reach = 2 * math.sqrt(max(moved_disc[2], moved_disc[4]))
        if not _seen_near(pixels, moved_disc[:2], reach):
            moved_disc, moved_cup = np.full(5, np.inf), np.full(5, np.inf)
    if np.isfinite(moved_fovea).all() and not _seen(pixels, moved_fovea):
        moved_fovea = np.full(2, np.inf)
    lit = pixels.max(2, keepdims=True) > SEEN
    pixels = np.where(lit, _relit(pixels, how.strength, draws), pixels)
    return Varied(
        np.clip(pixels / 255, 0, 1).astype(np.float32), moved_disc, moved_cup, moved_fovea
    )


def no_eye(size: int, draws: np.random.Generator) -> Varied:
    """Draw something round and coloured that is no eye: soft blobs at several scales."""
    pixels = np.zeros((size, size, 3), np.float32)
    for cells in (4, 8, 16, 64):
        grain = draws.normal(0, draws.uniform(5, 45), (cells, cells, draws.choice([1, 3])))
        grain = np.broadcast_to(grain, (cells, cells, 3)).astype(np.float32)
        pixels += cv2.resize(
            np.ascontiguousarray(grain), (size, size), interpolation=cv2.INTER_CUBIC
        )
    pixels += draws.uniform([60, 20, 0], [220, 140, 90]).astype(np.float32)
    pixels = _aperture(_blotches(pixels.clip(1, 255), draws, most=8), draws)
    nothing = np.full(5, np.inf)
    return Varied(np.clip(pixels / 255, 0, 1), nothing, nothing.copy(), np.full(2, np.inf))


def _moves(side: int, size: int, how: Variation, draws: np.random.Generator) -> Floats:
    """``(2, 3)`` map of the square's pixels to the variant's."""
    angle = math.radians(how.turn) * draws.standard_normal()
    low, high = (math.log(factor) for factor in how.scale)
    zoom = math.exp(draws.uniform(low, high)) * size / side
    squash = math.exp(how.squash * draws.standard_normal() / 2)
    mirror = draws.choice([-1.0, 1.0])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = turn @ np.diag([zoom * squash * mirror, zoom / squash])
    to = (size - 1) / 2 + how.shift * size * draws.uniform(-1, 1, 2)
    return np.column_stack([matrix, to - matrix @ np.full(2, (side - 1) / 2)])


def _moved(ellipse: Floats, matrix: Floats) -> Floats:
    if not np.isfinite(ellipse).all():
        return ellipse
    linear = matrix[:, :2]
    xx, xy, yy = ellipse[2:]
    spread = linear @ np.array([[xx, xy], [xy, yy]]) @ linear.T
    centre = linear @ ellipse[:2] + matrix[:, 2]
    return np.array([*centre, spread[0, 0], spread[0, 1], spread[1, 1]])


def _seen(pixels: Pixels, at: Floats) -> bool:
    column, row = np.rint(at).astype(int)
    inside = 0 <= row < pixels.shape[0] and 0 <= column < pixels.shape[1]
    return bool(inside and pixels[row, column].max() > SEEN)


def _seen_near(pixels: Pixels, at: Floats, reach: float) -> bool:
    angles = np.linspace(0, 2 * math.pi, 12, endpoint=False)
    ring = at + 0.7 * reach * np.column_stack([np.cos(angles), np.sin(angles)])
    return sum(_seen(pixels, point) for point in ring) >= 3  # noqa: PLR2004 (a quarter of it)


def _aperture(pixels: Pixels, draws: np.random.Generator) -> Pixels:
    """Blacken what another field of view would not show: outside a circle, beyond a cut."""
    size = pixels.shape[0]
    down, across = np.mgrid[:size, :size].astype(np.float32) - np.float32((size - 1) / 2)
    if draws.random() < 0.7:  # noqa: PLR2004
        radius = size / 2 * draws.uniform(0.94, 1.04)
        pixels = pixels * (np.hypot(across, down) <= radius)[..., None]
    if draws.random() < 0.4:  # noqa: PLR2004
        pixels = pixels * (np.abs(down) <= size / 2 * draws.uniform(0.72, 1))[..., None]
    return pixels.astype(np.float32)


def _without_disc(pixels: Pixels, disc: Floats, draws: np.random.Generator) -> Pixels:
    """Cover the disc with the retina on the other side of the picture, softly."""
    side = pixels.shape[0]
    other = pixels[:, ::-1] if draws.random() < 0.5 else pixels[::-1]  # noqa: PLR2004
    down, across = np.mgrid[:side, :side].astype(np.float32)
    reach = 2 * math.sqrt(max(disc[2], disc[4])) * draws.uniform(1.25, 1.6)
    away = np.hypot(across - disc[0], down - disc[1]) / reach
    share = np.clip((1.25 - away) / 0.25, 0, 1)[..., None].astype(np.float32)
    hidden = other.mean(2, keepdims=True) <= SEEN
    other = np.where(hidden, np.median(pixels[pixels.max(2) > SEEN], axis=0), other)
    return np.asarray(pixels * (1 - share) + other * share, np.float32)


def _relit(pixels: Pixels, strength: float, draws: np.random.Generator) -> Pixels:
    """Other colours, light, haze, focus, noise, spots."""
    size = pixels.shape[0]
    pixels = _blotches(pixels, draws, most=5)
    sharp = draws.random() < 0.5  # noqa: PLR2004
    if not sharp:
        sigma = 0.3 + strength * size / 256 * draws.exponential(1)
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.float32)
    seen = pixels / 255
    seen = seen ** np.exp(strength * 0.25 * draws.standard_normal())
    grey = seen.mean(2, keepdims=True)
    seen = grey + (seen - grey) * np.exp(strength * 0.3 * draws.standard_normal())
    middle = seen.mean()
    seen = middle + (seen - middle) * np.exp(strength * 0.2 * draws.standard_normal())
    seen = seen * np.exp(strength * 0.18 * draws.standard_normal(3)).astype(np.float32)
    along = np.linspace(-1, 1, size, dtype=np.float32)
    across, down, centre = strength * draws.normal(0, [0.2, 0.2, 0.2])
    light = across * along[None] + down * along[:, None]
    light = light + centre * (along[None] ** 2 + along[:, None] ** 2)
    seen = seen * np.exp(light + strength * 0.2 * draws.standard_normal())[..., None]
    if draws.random() < 0.3:  # noqa: PLR2004
        share = draws.uniform(0, 0.6) * strength
        haze = draws.uniform([0.3, 0.2, 0.1], [0.8, 0.6, 0.5]).astype(np.float32)
        seen = seen * (1 - share) + share * haze
    if draws.random() < 0.5:  # noqa: PLR2004
        seen = seen + draws.normal(0, 0.04 * strength * draws.random(), seen.shape)
    return np.asarray(255 * seen, np.float32)


def _blotches(pixels: Pixels, draws: np.random.Generator, *, most: int) -> Pixels:
    """Bright or dark soft spots, as exudates, haemorrhages, reflexes and dust leave them."""
    if draws.random() < 0.6:  # noqa: PLR2004
        return pixels
    size = pixels.shape[0]
    spots = np.zeros((size, size), np.float32)
    for _ in range(draws.integers(1, most + 1)):
        centre = draws.integers(0, size, 2)
        axes = (size * 0.06 * draws.random(2) + 1).astype(int)
        level = float(draws.choice([-0.5, 1.0]) * draws.uniform(0.2, 1))
        angle = float(draws.uniform(0, 180))
        cv2.ellipse(spots, centre.tolist(), axes.tolist(), angle, 0, 360, level, cv2.FILLED)
    soft = np.asarray(cv2.GaussianBlur(spots, (0, 0), size / 256 * draws.uniform(0.6, 5)))[
        ..., None
    ]
    bright = draws.uniform([200, 160, 60], [255, 240, 160]).astype(np.float32)
    dark = np.array([70, 15, 10], np.float32)
    colour = np.where(soft > 0, bright, dark)
    share = np.abs(soft).clip(0, 1)
    return np.asarray(pixels * (1 - share) + colour * share, np.float32)
