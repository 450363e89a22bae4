"""From one row of the table to a photograph and the map of its regions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.maps import DISC_MARGIN, PERIPHERY, REGION_FLAGS
from fundus_ml.synthesis.anatomy import DISC_DIAMETER, Eye, Plane, distance
from fundus_ml.synthesis.cameras import CAMERAS, Camera, aperture, develop
from fundus_ml.synthesis.ground import lens_of_age, paint_ground, paint_illumination
from fundus_ml.synthesis.optic_disc import disc_distance, paint_disc
from fundus_ml.synthesis.vessels import Segments, grow_vessels

Pixels = NDArray[np.uint8]

_COARSE = 3
"""Frame pixels per pixel of what has no sharp border."""

_FINE = 2
"""Vessel canvas pixels per frame pixel."""

_SHIFT = 4
"""Fractional bits of a coordinate handed to OpenCV."""

_REFLEX = 5.0
"""Narrowest vessel, canvas pixels, on which light reflected along its middle shows."""


@dataclass(frozen=True)
class Frame:
    """Where retina units lie in the camera's frame."""

    camera: Camera

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Column and row of a point in retina units; whole numbers are pixel centres."""
        radius, (left, top) = self.camera.field_radius, self.camera.centre
        return x * radius + left - 0.5, y * radius + top - 0.5

    def pixels(self, points: NDArray[np.float64], scale: int) -> NDArray[np.int32]:
        """Map retina units to a canvas ``scale`` times the frame, with fractional bits."""
        placed = points * self.camera.field_radius + np.array(self.camera.centre)
        return np.asarray(np.rint((placed * scale - 0.5) * (1 << _SHIFT)), np.int32)

    def coordinates(self, step: int) -> tuple[Plane, Plane]:
        """Retina units of every ``step``-th pixel's centre, across and down."""
        camera = self.camera
        across = (np.arange(0, camera.width, step) + step / 2 - camera.centre[0]).astype(np.float32)
        down = (np.arange(0, camera.height, step) + step / 2 - camera.centre[1]).astype(np.float32)
        x, y = np.meshgrid(across / camera.field_radius, down / camera.field_radius)
        return np.asarray(x, np.float32), np.asarray(y, np.float32)


class Painting(NamedTuple):
    """A painted frame and the truth about it.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB.
        regions: ``(H, W)`` uint8 map of ``REGION_FLAGS``.
    """

    image: NDArray[np.uint8]
    regions: NDArray[np.uint8]


def paint_photograph(row: Mapping[str, object]) -> Painting:
    """Paint one eye as its camera would take it.

    Args:
        row: A row of :func:`~fundus_ml.synthesis.population.draw_population`; nothing else, no
            global state, moves a pixel.

    Returns:
        The frame, and its regions as bits of ``REGION_FLAGS``: ``disc`` with a margin of 15 % of
        its radius, ``macula`` one typical disc diameter around the fovea, ``vessels`` half
        as wide again plus the camera's blur, ``periphery`` beyond 80 % of the field's radius.

    Raises:
        InputError: A column is missing, or the camera is unknown.
    """
    eye = Eye.from_row(row)
    if eye.camera not in CAMERAS:
        raise InputError(f"camera={eye.camera}: allowed: {', '.join(CAMERAS)}")
    frame = Frame(CAMERAS[eye.camera])
    vessels = grow_vessels(eye)
    light = _expose(_reflectance(eye, frame, vessels), eye, frame)
    image = develop(light, frame.camera, eye.generator(5))
    return Painting(image, _map_regions(eye, frame, vessels))


def _enlarge(coarse: Plane, camera: Camera) -> Plane:
    height, width = coarse.shape[:2]
    whole = cv2.resize(coarse, (width * _COARSE, height * _COARSE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(whole[: camera.height, : camera.width], np.float32)


def _reflectance(eye: Eye, frame: Frame, vessels: Segments) -> Plane:
    x, y = frame.coordinates(_COARSE)
    retina = _enlarge(paint_ground(eye, x, y), frame.camera)
    rows, columns = _disc_window(eye, frame.camera)
    x, y = frame.coordinates(1)
    retina[rows, columns] = paint_disc(
        retina[rows, columns], eye, x[rows, columns], y[rows, columns]
    )
    blood = _draw_vessels(vessels, frame)
    # Share of light that the blood of a wide vein takes away: green most, red least.
    for channel, share in enumerate((0.42, 0.74, 0.56)):
        retina[..., channel] *= 1 - np.float32(share) * blood
    return retina


def _disc_window(eye: Eye, camera: Camera) -> tuple[slice, slice]:
    reach = eye.disc_radius * max(1.0, eye.disc_aspect) * (1 + DISC_MARGIN) * camera.field_radius
    x, y = (
        at * camera.field_radius + centre
        for at, centre in zip((eye.disc_x, eye.disc_y), camera.centre, strict=True)
    )
    return (
        slice(max(int(y - reach), 0), max(int(y + reach) + 2, 0)),
        slice(max(int(x - reach), 0), max(int(x + reach) + 2, 0)),
    )


def _expose(retina: Plane, eye: Eye, frame: Frame) -> Plane:
    x, y = frame.coordinates(_COARSE)
    gain, veil = paint_illumination(eye, frame.camera, x, y)
    balance = np.exp(np.array([eye.warmth, 0, -eye.warmth], np.float32))
    colour = lens_of_age(eye.age) * np.array(frame.camera.tint, np.float32) * balance
    lamp = (gain * np.float32(eye.exposure))[..., None] * colour
    # A hazy lens scatters part of the image's light evenly: contrast falls, the veil rises.
    clear = np.float32(1 - 0.35 * eye.haze)
    scattered = veil * np.array(frame.camera.tint, np.float32)
    lit = cv2.multiply(retina, _enlarge(lamp * clear, frame.camera))
    return np.asarray(cv2.add(lit, _enlarge(scattered, frame.camera)), np.float32)


def _draw_vessels(vessels: Segments, frame: Frame) -> Plane:
    """Draw how much blood lies in the way, 0 none, 1 a wide vein; ``(height, width)``."""
    camera = frame.camera
    canvases = []
    for artery in (False, True):
        chosen = vessels.artery == artery
        canvas = np.zeros((camera.height * _FINE, camera.width * _FINE), np.uint8)
        points = frame.pixels(vessels.ends[chosen], _FINE)
        widths = vessels.widths[chosen] * camera.field_radius * _FINE
        _draw(canvas, points, widths, level=150 if artery else 225)
        wide = widths > _REFLEX
        reflex = 0.30 if artery else 0.18
        _draw(canvas, points[wide], widths[wide] * reflex, level=95 if artery else 190)
        canvases.append(canvas)
    blood = np.maximum(*canvases)
    small = cv2.resize(blood, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), 0.6)
    return soft.astype(np.float32) * np.float32(1 / 255)


def _draw(
    canvas: Pixels, points: NDArray[np.int32], widths: NDArray[np.float64], level: int
) -> None:
    """Draw pieces narrowest first; one thinner than a line of whole pixels is drawn fainter."""
    steps = np.ceil(widths * 4).astype(np.int64)
    for step in np.unique(steps):
        width = step / 4
        thickness = max(int(np.ceil(width)), 1)
        # Thin blood absorbs less: a vessel is a tube, so its depth goes with its width.
        depth = min(1.0, 0.55 + 0.45 * width / 8)
        cv2.polylines(
            canvas,
            list(points[steps == step]),
            isClosed=False,
            color=round(level * depth * width / thickness),
            thickness=thickness,
            lineType=cv2.LINE_AA,
            shift=_SHIFT,
        )


def _map_regions(eye: Eye, frame: Frame, vessels: Segments) -> Pixels:
    camera = frame.camera
    x, y = frame.coordinates(1)
    retina = aperture(camera) > 127  # noqa: PLR2004 (half open)
    disc = disc_distance(eye, x, y) <= 1 + DISC_MARGIN
    macula = distance(x - np.float32(eye.fovea_x), y - np.float32(eye.fovea_y)) <= DISC_DIAMETER
    periphery = (distance(x, y) > PERIPHERY) & ~disc & ~macula
    vessel = np.zeros(retina.shape, np.uint8)
    points = frame.pixels(vessels.ends, 1)
    reach = 1.5 * vessels.widths * camera.field_radius + 2 * camera.blur
    thickness = np.rint(reach).astype(np.int64)
    for width in np.unique(thickness):
        cv2.polylines(
            vessel,
            list(points[thickness == width]),
            isClosed=False,
            color=1,
            thickness=int(width),
            lineType=cv2.LINE_8,
            shift=_SHIFT,
        )
    masks = {"disc": disc, "macula": macula, "vessels": vessel > 0, "periphery": periphery}
    regions = retina * np.uint8(REGION_FLAGS["retina"])
    for name, mask in masks.items():
        regions |= (mask & retina) * np.uint8(REGION_FLAGS[name])
    return regions
