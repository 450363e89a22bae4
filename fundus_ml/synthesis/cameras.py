"""Invented cameras: frame, field of view, colour, optics and sensor of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.opencv import cv2

Mask = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Camera:
    """How one make of camera turns a retina into a frame.

    Attributes:
        name: As in the table.
        width: Frame, pixels.
        height: Frame, pixels.
        field_radius: Radius of the field of view, pixels; above half the height the frame's
            edge cuts the circle.
        shift: How far the circle's centre lies from the frame's centre, right and down, pixels.
        tint: Gain on red, green and blue.
        vignette: Share of light lost at the field's edge.
        glare: Strength of the pale ring of stray light inside the field's edge.
        blur: Width of its point spread, pixels.
        noise: Standard deviation of sensor noise, 8-bit levels.
        jpeg_quality: JPEG quality of the file it writes, 1 to 100.
        surround: Level of the frame outside the circle, 8-bit.
        edge: Softness of the circle's border, pixels.
        tab: Whether the aperture has the small tab that marks the upper right.
    """

    name: str
    width: int
    height: int
    field_radius: float
    shift: tuple[float, float] = (0.0, 0.0)
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    vignette: float = 0.25
    glare: float = 0.0
    blur: float = 0.8
    noise: float = 2.0
    jpeg_quality: int = 92
    surround: int = 2
    edge: float = 1.0
    tab: bool = False

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of the field of view, pixels from the frame's upper left corner."""
        return (self.width / 2 + self.shift[0], self.height / 2 + self.shift[1])


_MAKES = (
    Camera(
        name="Aurora 45",
        width=768,
        height=576,
        field_radius=312,
        shift=(-14, 3),
        tint=(1.02, 0.98, 0.80),
        vignette=0.22,
        blur=0.7,
        noise=1.8,
        jpeg_quality=94,
        tab=True,
    ),
    Camera(
        name="Halden VX",
        width=600,
        height=600,
        field_radius=292,
        tint=(0.88, 1.0, 0.95),
        vignette=0.15,
        glare=0.16,
        blur=1.0,
        noise=2.2,
        surround=0,
    ),
    Camera(
        name="Meridian C2",
        width=860,
        height=640,
        field_radius=304,
        shift=(-36, 6),
        tint=(0.98, 0.84, 0.62),
        vignette=0.34,
        blur=0.9,
        noise=1.5,
        surround=4,
        edge=1.6,
    ),
    Camera(
        name="Pico Handheld",
        width=560,
        height=560,
        field_radius=252,
        shift=(9, -7),
        tint=(0.96, 0.98, 1.16),
        vignette=0.42,
        glare=0.05,
        blur=1.7,
        noise=3.6,
        jpeg_quality=84,
        surround=7,
        edge=2.5,
    ),
    Camera(
        name="Lumen Duo",
        width=720,
        height=528,
        field_radius=284,
        shift=(4, -5),
        tint=(0.94, 0.92, 1.22),
        vignette=0.20,
        glare=0.07,
        blur=0.8,
        noise=2.0,
        surround=14,
        edge=1.2,
    ),
    Camera(
        name="Osprey NM",
        width=640,
        height=512,
        field_radius=250,
        shift=(12, 0),
        tint=(0.84, 0.80, 0.70),
        vignette=0.30,
        blur=1.2,
        noise=2.6,
        jpeg_quality=90,
        surround=1,
    ),
)

CAMERAS: Mapping[str, Camera] = MappingProxyType({make.name: make for make in _MAKES})
"""Every camera by name; the first half is the half that a confounded population favours."""


@cache
def aperture(camera: Camera) -> Mask:
    """Draw where light reaches the sensor.

    Returns:
        ``(height, width)`` uint8, 255 inside the field of view, 0 outside, soft at its border;
        shared between calls and therefore read-only.
    """
    mask = np.zeros((camera.height, camera.width), np.uint8)
    # OpenCV counts from the middle of the first pixel, and fills half a pixel beyond a radius.
    x, y = (along - 0.5 for along in camera.centre)
    shift = 4
    scale = 1 << shift
    cv2.circle(
        mask,
        (round(x * scale), round(y * scale)),
        round((camera.field_radius - 0.5) * scale),
        255,
        cv2.FILLED,
        cv2.LINE_AA,
        shift,
    )
    if camera.tab:
        along, across = np.array([np.cos(0.6), -np.sin(0.6)]), np.array([np.sin(0.6), np.cos(0.6)])
        base = np.array([x, y]) + 0.98 * camera.field_radius * along
        size = 0.05 * camera.field_radius
        corners = np.array([base - size * across, base + 1.6 * size * along, base + size * across])
        cv2.fillConvexPoly(mask, np.rint(corners * scale).astype(np.int32), 255, cv2.LINE_AA, shift)
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), camera.edge), np.uint8)
    soft.setflags(write=False)
    return soft


def develop(
    light: NDArray[np.float32], camera: Camera, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Turn light on the sensor into the file's pixels: optics, film curve, noise, JPEG.

    Args:
        light: ``(height, width, 3)`` float32 RGB; 1 exposes to 86 % of white.
        camera: Gives blur, surround, noise and compression.
        generator: Draws the sensor noise.

    Returns:
        ``(height, width, 3)`` uint8 RGB.
    """
    inside = aperture(camera) * np.float32(1 / 255)
    blurred = cv2.GaussianBlur(light, (0, 0), camera.blur)
    exposed = cv2.merge([255 * inside] * 3) * (1 - cv2.exp(-2 * blurred))
    grain = generator.standard_normal(inside.shape, dtype=np.float32)
    grain *= camera.noise * (0.3 + 0.7 * inside)
    grain += camera.surround * (1 - inside)
    pixels = cv2.add(exposed, cv2.merge([grain] * 3), dtype=cv2.CV_8U)
    encoded, content = cv2.imencode(
        ".jpg",
        cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR),
        # Full colour resolution: halved, every vessel would bleed into the blocks beside it.
        [
            *(cv2.IMWRITE_JPEG_QUALITY, camera.jpeg_quality),
            *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        ],
    )
    assert encoded
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR_RGB), np.uint8)
