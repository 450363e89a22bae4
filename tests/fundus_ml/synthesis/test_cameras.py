"""Cameras: circles in their frames, the film's curve, noise, and how they differ."""

from dataclasses import fields, replace

import numpy as np
import pytest

from fundus_ml.synthesis.cameras import CAMERAS, aperture, develop

EVERY = pytest.mark.parametrize("camera", CAMERAS.values(), ids=lambda camera: camera.name)


def rng():
    """Return a fresh generator with the same numbers."""
    return np.random.default_rng(4)


def light_of(camera, level):
    """Return an even light on the whole sensor."""
    return np.full((camera.height, camera.width, 3), level, np.float32)


def test_no_two_cameras_are_alike():
    """Names, frames, colours and optics all differ; odds need two halves of equal size."""
    assert len(CAMERAS) % 2 == 0
    for name in ("name", "tint", "noise", "surround"):
        assert len({getattr(camera, name) for camera in CAMERAS.values()}) == len(CAMERAS), name
    assert len({(camera.width, camera.height) for camera in CAMERAS.values()}) == len(CAMERAS)
    assert all(name == camera.name for name, camera in CAMERAS.items())
    assert len(fields(next(iter(CAMERAS.values())))) == 14


def test_some_circles_are_off_centre_and_some_are_cut():
    """Both happen among the cameras, and neither to all."""
    cut = [camera.field_radius > camera.height / 2 for camera in CAMERAS.values()]
    off_centre = [camera.shift != (0, 0) for camera in CAMERAS.values()]
    assert 0 < sum(cut) < len(CAMERAS)
    assert 0 < sum(off_centre) < len(CAMERAS)


@EVERY
def test_the_aperture_is_the_circle_inside_the_frame(camera):
    """Open where a pixel's centre is inside the circle, but for the soft border and the tab."""
    mask = aperture(camera)
    y, x = np.indices((camera.height, camera.width)) + 0.5
    reach = np.hypot(x - camera.centre[0], y - camera.centre[1]) - camera.field_radius
    clear = 3 * camera.edge + 1.5
    assert (mask[reach < -clear] == 255).all()
    half_open = mask[np.abs(reach) < 0.5]
    if not camera.tab:
        assert np.median(half_open) == pytest.approx(128, abs=12)
    beyond = mask[reach > clear] > 0
    assert beyond.any() == camera.tab
    assert beyond.sum() < 0.003 * mask.size
    assert not mask.flags.writeable
    assert aperture(camera) is mask


@EVERY
def test_flat_light_follows_the_film_curve(camera):
    """Without noise, light L comes out as 255 (1 - exp(-2 L)) inside, the surround outside."""
    still = replace(camera, noise=0.0, jpeg_quality=100)
    mask = aperture(still)
    for level in (0.0, 0.2, 1.0, 9.0):
        pixels = develop(light_of(still, level), still, rng())
        assert pixels.shape == (still.height, still.width, 3)
        assert pixels.dtype == np.uint8
        inside = 255 * (1 - np.exp(-2 * level))
        assert np.abs(pixels[mask == 255] - inside).mean() < 1
        assert np.abs(pixels[mask == 0].astype(float) - still.surround).mean() < 1


@EVERY
def test_noise_has_its_stated_width(camera):
    """Before JPEG smooths it, the spread inside is the camera's, and it is grey."""
    sharp = replace(camera, jpeg_quality=100)
    pixels = develop(light_of(sharp, 0.35), sharp, rng()).astype(float)
    inside = pixels[aperture(sharp) == 255]
    assert inside[:, 1].std() == pytest.approx(np.hypot(camera.noise, 12**-0.5), rel=0.06)
    assert np.corrcoef(inside[:, 0], inside[:, 2])[0, 1] > 0.8


@EVERY
def test_developing_is_repeatable_and_its_noise_is_drawn(camera):
    """The same generator state gives the same file; another gives other noise."""
    light = light_of(camera, 0.3)
    once = develop(light, camera, rng())
    np.testing.assert_array_equal(once, develop(light, camera, rng()))
    assert (once != develop(light, camera, np.random.default_rng(5))).any()


def test_blur_spreads_a_line_and_keeps_its_light():
    """A faint line one pixel wide takes the Gaussian's width: peak 1 / (sigma sqrt(2 pi))."""
    camera = replace(CAMERAS["Pico Handheld"], noise=0.0, jpeg_quality=100, surround=0)
    light = light_of(camera, 0.0)
    light[:, 280] = 0.2
    row = develop(light, camera, rng())[280, 265:296, 1] / 255
    profile = -np.log1p(-row) / 2
    assert profile.sum() == pytest.approx(0.2, rel=0.06)
    assert profile.max() == pytest.approx(0.2 / (camera.blur * np.sqrt(2 * np.pi)), rel=0.06)
