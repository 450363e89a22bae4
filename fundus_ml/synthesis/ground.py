"""The ground of the fundus: pigment, choroidal vessels, nerve-fibre sheen, macula, uneven light.

Painted at a fraction of the camera's resolution, since nothing here has a sharp border.
"""

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.opencv import cv2
from fundus_ml.synthesis.anatomy import DISC_DIAMETER, Eye, Plane, distance
from fundus_ml.synthesis.cameras import Camera

_CRESCENTS = 0.25
"""Share of photographs with stray light at one side."""


def paint_ground(eye: Eye, x: Plane, y: Plane) -> Plane:
    """Paint the retina without its disc and vessels.

    Args:
        eye: Gives pigment, texture, macula and age.
        x: ``(h, w)`` retina units, to the right.
        y: ``(h, w)`` retina units, down.

    Returns:
        ``(h, w, 3)`` float32 RGB reflectance, 1 where all light comes back.
    """
    generator = eye.generator(2)
    fair = np.array([0.82, 0.325, 0.150], np.float32)
    dark = np.array([0.52, 0.180, 0.075], np.float32)
    base = fair + (dark - fair) * np.float32(eye.pigmentation)
    from_fovea = distance(x - np.float32(eye.fovea_x), y - np.float32(eye.fovea_y))
    mottling = _mottling(x.shape, generator)
    choroid = _choroid(eye, x, y, generator) * np.float32(eye.tessellation)
    choroid *= 0.35 + 0.65 * (from_fovea / 0.8).clip(0, 1) ** 1.5
    sheen = _sheen(eye, x, y, generator) * np.float32(eye.sheen)
    pigment = _macular_pigment(eye, from_fovea)
    # Blood and melanin take green first, then blue; red light comes back from deeper layers.
    red = base[0] * np.exp(0.05 * mottling + 0.13 * choroid - 0.72 * pigment) + 0.030 * sheen
    green = base[1] * np.exp(0.07 * mottling + 0.22 * choroid - 1.00 * pigment) + 0.045 * sheen
    blue = base[2] * np.exp(0.07 * mottling + 0.16 * choroid - 0.75 * pigment) + 0.035 * sheen
    return np.asarray(cv2.merge([red, green, blue]), np.float32)


def lens_of_age(age: float) -> NDArray[np.float32]:
    """Share of red, green and blue light that an ageing lens lets through twice.

    Source:
        The lens yellows from about thirty on (Pokorny, Smith, Lutze 1987,
        doi:10.1364/AO.26.001437); the amounts are ours.
    """
    years = np.float32(max(age - 30.0, 0.0) / 60.0)
    return np.asarray(np.exp(-years * np.array([0.06, 0.16, 0.75], np.float32)), np.float32)


def paint_illumination(eye: Eye, camera: Camera, x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """Paint the light the camera throws in, and the light scattered back before the retina.

    Returns:
        Gain ``(h, w)``, to multiply reflectance by, and veil ``(h, w, 3)``, to add.
    """
    generator = eye.generator(3)
    hot = generator.normal(0, 0.22, 2).astype(np.float32)
    slope = generator.normal(0, 0.07, 2).astype(np.float32)
    radius = distance(x, y)
    gain = 1 - camera.vignette * distance(x - hot[0], y - hot[1]).clip(0, 1.4) ** 2.2
    gain *= 1 + slope[0] * x + slope[1] * y
    ring = np.exp(-(((1.01 - radius) / 0.09).clip(0, None) ** 1.4)) * camera.glare
    side = 0.75 + 0.25 * np.cos(np.arctan2(y, x) - generator.uniform(0, 2 * np.pi))
    veil = ring * side
    if generator.random() < _CRESCENTS:
        veil = veil + _crescent(x, y, generator)
    haze = 0.035 * eye.haze + 0.035 * eye.haze * np.exp(-((radius / 0.7) ** 2))
    colour_of_glare = np.array([0.62, 0.78, 0.70], np.float32)
    colour_of_haze = np.array([0.9, 1.0, 0.75], np.float32)
    scattered = veil[..., None] * colour_of_glare + haze[..., None] * colour_of_haze
    return gain.astype(np.float32).clip(0.15, None), scattered.astype(np.float32)


def _noise(shape: tuple[int, int], generator: np.random.Generator) -> Plane:
    return generator.standard_normal(shape, dtype=np.float32)


def _texture(
    shape: tuple[int, int], sigma: tuple[float, float], generator: np.random.Generator
) -> Plane:
    """Smooth noise of unit spread, ``sigma`` pixels across and down."""
    smooth = cv2.GaussianBlur(_noise(shape, generator), (0, 0), sigmaX=sigma[0], sigmaY=sigma[1])
    return np.asarray(smooth / smooth.std(), np.float32)


def _sample(texture: Plane, column: Plane, row: Plane) -> Plane:
    """Read a texture at fractional places, wrapping round at its borders."""
    return np.asarray(
        cv2.remap(
            texture,
            np.asarray(column, np.float32),
            np.asarray(row, np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        ),
        np.float32,
    )


def _mottling(shape: tuple[int, ...], generator: np.random.Generator) -> Plane:
    """Patches of pigment, coarse to fine."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    for cells, weight in ((4, 0.8), (9, 0.6), (28, 0.4), (80, 0.35)):
        small = _noise((cells, cells), generator)
        total += np.float32(weight) * cv2.resize(
            small, (width, height), interpolation=cv2.INTER_CUBIC
        )
    return total


def _choroid(eye: Eye, x: Plane, y: Plane, generator: np.random.Generator) -> Plane:
    """Choroidal vessels: two layers of warped streaks that run outwards from the posterior pole."""
    height, width = x.shape
    total = np.zeros((height, width), np.float32)
    for toward_fovea, around, outwards in ((0.3, 72, 9), (0.6, 104, 13)):
        warp = [
            cv2.resize(_noise((5, 5), generator), (width, height), interpolation=cv2.INTER_CUBIC)
            for _ in range(2)
        ]
        left = x - np.float32(eye.disc_x + toward_fovea * (eye.fovea_x - eye.disc_x))
        down = y - np.float32(eye.disc_y)
        radius = distance(left, down)
        turn = np.arctan2(down, left) / (2 * np.pi) + 0.5 + 0.035 * warp[0]
        texture = _texture((48, around * 4), (1.7, 1.7), generator)
        streaks = _sample(texture, turn * around * 4, (radius + 0.07 * warp[1]) * outwards + 8)
        total += (0.8 - np.abs(streaks)) * (radius / 0.45).clip(0, 1)
    return total


def _sheen(eye: Eye, x: Plane, y: Plane, generator: np.random.Generator) -> Plane:
    """Striated light from the nerve fibres, strongest above and below the disc."""
    away = (x - np.float32(eye.disc_x)) * np.float32(eye.temporal)
    up = np.float32(eye.disc_y) - y
    radius = distance(away, up)
    # Fibres bend over the fovea, so streaks are read along a parabola and not along a ray.
    angle = np.arctan2(up, away - 0.55 * up**2)
    texture = _texture((24, 360), (0.9, 3.0), generator)
    streaks = _sample(texture, (angle / (2 * np.pi) + 0.5) * 360, radius * 10)
    bundle = np.exp(-(((np.abs(np.rad2deg(angle)) - 72) / 34) ** 2))
    near_disc = np.exp(-(((radius - 0.25) / 0.32) ** 2))
    return np.asarray(bundle * near_disc * (1 + 0.5 * streaks), np.float32)


def _macular_pigment(eye: Eye, from_fovea: Plane) -> Plane:
    """Darkening of the macula; it ends within one disc diameter of the fovea."""
    reach = eye.macula_extent * DISC_DIAMETER
    broad = (1 - (from_fovea / reach) ** 2).clip(0, None) ** 2
    core = (1 - (from_fovea / (0.42 * reach)) ** 2).clip(0, None) ** 2
    centre = np.float32(-np.log1p(-eye.macula_darkness))
    return np.asarray(centre * (0.62 * broad + 0.38 * core), np.float32)


def _crescent(x: Plane, y: Plane, generator: np.random.Generator) -> Plane:
    """Light scattered by the iris where the pupil is a little off the axis."""
    side = generator.uniform(0, 2 * np.pi)
    along = x * np.cos(side) + y * np.sin(side)
    light = np.exp(-(((1.02 - along) / 0.14).clip(0, None) ** 1.5))
    return np.asarray(generator.uniform(0.06, 0.20) * light, np.float32)
