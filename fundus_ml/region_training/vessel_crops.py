"""Crops of marked eyes as other cameras, lenses and lamps would have taken them."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.field_of_view import crop_to_field_of_view
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.vessel_network import local_contrast
from fundus_ml.region_training.vessel_marks import TracedEye

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

STORED = 704
"""Side of the square an eye is kept at; half of it is kept as well, for small scales."""

UNIT = 512
"""Side of the square around the field at scale 1."""

ZOOMS = (0.6, 1.6)
"""Scales of a crop: fields of view reach from 30 to 60 degrees."""

HALF = 0.6
"""Scale from the stored square to the crop below which the half-size copy is taken."""


class StoredEye(NamedTuple):
    """The square around one eye at full and half size, channels RGB, vessels, seen, counted."""

    full: Pixels
    half: Pixels


def store(eye: TracedEye) -> StoredEye:
    """Keep what crops are drawn from."""
    planes = [
        _square(np.asarray(plane, np.uint8), eye)
        for plane in (
            eye.image,
            eye.vessels * 255,
            np.full(eye.vessels.shape, 255),
            eye.counted * 255,
        )
    ]
    full = np.dstack(planes)
    size = (STORED // 2, STORED // 2)
    half = np.dstack([cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in planes])
    return StoredEye(full, np.asarray(half, np.uint8))


def draw_crop(
    eye: StoredEye, *, size: int, generator: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Draw one crop of an eye.

    Args:
        eye: Whose.
        size: Side of the crop, pixels of a square of :data:`UNIT` at scale 1.
        generator: Draws place, scale, turn, colour, light, haze, spots, blur and noise.

    Returns:
        ``(3, size, size)`` local contrast, ``(size, size)`` share of vessel, and weight.
    """
    planes = _moved(eye, size, generator)
    seen = planes[..., 4] > 127  # noqa: PLR2004 (half of white)
    image = _photographed(np.ascontiguousarray(planes[..., :3]), generator)
    vessels = np.asarray(planes[..., 3].astype(np.float32) / 255, np.float32)
    weight = (planes[..., 5] > 250).astype(np.float32)  # noqa: PLR2004 (wholly)
    return np.ascontiguousarray(local_contrast(image, seen)), vessels, weight


def _square(plane: Pixels, eye: TracedEye) -> Pixels:
    return crop_to_field_of_view(plane, eye.field, size=STORED, surround="black")


def _moved(eye: StoredEye, size: int, generator: np.random.Generator) -> Pixels:
    zoom = math.exp(generator.uniform(*np.log(ZOOMS)))
    scale = zoom * UNIT / STORED
    source = eye.full if scale > HALF else eye.half
    scale *= STORED / source.shape[0]
    turn, stretch = generator.uniform(0, 2 * math.pi), math.exp(generator.normal(0, 0.04))
    away, side = 0.38 * math.sqrt(generator.uniform()), generator.uniform(0, 2 * math.pi)
    x, y = (source.shape[0] * (0.5 + away * part(side)) for part in (math.cos, math.sin))
    mirrored = -1.0 if generator.random() < 0.5 else 1.0  # noqa: PLR2004 (a coin)
    cos, sin = math.cos(turn) / scale, math.sin(turn) / scale
    matrix = np.array([[cos * mirrored, -sin * stretch], [sin * mirrored, cos * stretch]])
    middle = np.array([x, y]) - matrix @ np.full(2, (size - 1) / 2)
    back = np.column_stack([matrix, middle])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    both = [
        cv2.warpAffine(np.ascontiguousarray(source[..., part]), back, (size, size), flags=flags)
        for part in (slice(0, 3), slice(3, 6))
    ]
    return np.dstack(both)


def _photographed(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    """Change colour, light, haze, spots, sharpness and noise."""
    size = pixels.shape[0]
    gamma = np.exp(generator.normal(0, 0.2) + generator.normal(0, 0.12, 3))
    levels = (np.arange(256)[:, None] / 255) ** gamma
    mixed = np.eye(3) + generator.normal(0, 0.06, (3, 3))
    image = cv2.transform(cv2.LUT(pixels, levels[None].astype(np.float32)), mixed)
    image = image.clip(0, 1)
    gain = np.exp(generator.normal(-0.1, 0.25) + generator.normal(0, 0.12, 3))
    light = np.exp(_clouds(size, generator) * generator.uniform(0, 0.35))
    image *= gain.astype(np.float32) * light[..., None].astype(np.float32)
    haze = generator.uniform(0, 0.5) * _chance(0.35, generator)
    veil = generator.uniform(0.1, 0.7, 3).astype(np.float32)
    density = (haze * (0.5 + 0.5 * np.tanh(_clouds(size, generator))))[..., None]
    image = image + (veil - image) * density.astype(np.float32)
    image = _spotted(np.asarray(image, np.float32), generator)
    blur, sharpen = generator.uniform(0.3, 1.5), generator.uniform(0.3, 1.5)
    kind = generator.random()
    if kind < 0.4:  # noqa: PLR2004 (two in five)
        image = cv2.GaussianBlur(image, (0, 0), blur)
    elif kind < 0.6:  # noqa: PLR2004 (one in five)
        image = image + sharpen * (image - cv2.GaussianBlur(image, (0, 0), 1.5))
    noise = generator.standard_normal(image.shape, np.float32)
    if generator.random() < 0.5:  # noqa: PLR2004 (a coin)
        noise = np.asarray(2 * cv2.GaussianBlur(noise, (0, 0), 0.8), np.float32)
    image = image + noise * np.float32(abs(generator.normal(0, 0.015)))
    pixels = (image.clip(0, 1) * 255).round().astype(np.uint8)
    quality = int(generator.integers(50, 96))
    if generator.random() < 0.3:  # noqa: PLR2004 (one in three)
        coded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        pixels = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR_RGB), np.uint8)
    return np.ascontiguousarray(pixels)


def _spotted(image: Floats, generator: np.random.Generator) -> Floats:
    """Paint a few dark and bright spots, as bleedings and exudates are: no vessels."""
    size = image.shape[0]
    canvas = np.zeros((size, size), np.float32)
    for _ in range(generator.poisson(3) * int(_chance(0.4, generator))):
        place = generator.integers(0, size, 2).tolist()
        axes = generator.integers(2, 9, 2).tolist()
        depth = float(generator.choice([-0.5, -0.3, 0.6]))
        turn = float(generator.uniform(0, 180))
        cv2.ellipse(canvas, place, axes, turn, 0, 360, depth, cv2.FILLED)
    soft = cv2.GaussianBlur(canvas, (0, 0), generator.uniform(0.7, 2))
    return np.asarray(image * (1 + soft[..., None]), np.float32)


def _clouds(size: int, generator: np.random.Generator) -> Floats:
    coarse = generator.normal(size=(4, 4)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def _chance(share: float, generator: np.random.Generator) -> float:
    return float(generator.random() < share)
