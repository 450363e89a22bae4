"""Squares of the field of view against a slow crop: padding, surround, scale, squash, flags."""

import cv2
import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging.field_of_view import FieldOfView, crop_to_field_of_view, find_field_of_view
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from tests.fundus_ml.tiny_eyes import draw_field


def slow_cut(image, field):
    """The rectangle around the circle pixel by pixel; black outside the frame."""
    wide, high = round(2 * field.radius * field.aspect), round(2 * field.radius)
    left, top = round(field.x - (wide - 1) / 2), round(field.y - (high - 1) / 2)
    cut = np.zeros((high, wide, *image.shape[2:]), np.uint8)
    for y in range(high):
        for x in range(wide):
            if 0 <= top + y < image.shape[0] and 0 <= left + x < image.shape[1]:
                cut[y, x] = image[top + y, left + x]
    return cut


@pytest.mark.parametrize(
    "field",
    [
        FieldOfView(20.0, 15.0, 12.0),
        FieldOfView(3.25, 4.75, 12.0),
        FieldOfView(38.0, 27.0, 12.0),
        FieldOfView(20.0, 15.0, 24.0),
        FieldOfView(20.0, 15.0, 24.0, 0.5),
        FieldOfView(-60.0, 15.0, 12.0),
    ],
)
def test_a_crop_is_the_mean_over_blocks_of_a_slow_cut(field):
    """Inside, over each edge, around all, squashed, and beside the frame, which is black."""
    rng = np.random.default_rng(0)
    image = rng.integers(256, size=(30, 41, 3), dtype=np.uint8)
    regions = rng.integers(32, size=(30, 41), dtype=np.uint8)
    cut = slow_cut(image, field)
    high, wide = cut.shape[0] // 12, cut.shape[1] // 12
    blocks = cut.reshape(12, high, 12, wide, 3).astype(float).mean(axis=(1, 3))
    crop = crop_to_field_of_view(image, field, size=12)
    assert np.abs(crop - blocks).max() <= 0.5 + 1e-9
    nearest = crop_to_field_of_view(regions, field, size=12, interpolation="nearest")
    expected = slow_cut(regions, field)[high // 2 :: high, wide // 2 :: wide]
    np.testing.assert_array_equal(nearest, expected)


def slow_mirror(image, field):
    """The rectangle around the circle, outside the frame reflected at its edge pixel by pixel."""
    wide, high = round(2 * field.radius * field.aspect), round(2 * field.radius)
    left, top = round(field.x - (wide - 1) / 2), round(field.y - (high - 1) / 2)

    def inside(place, length):
        place %= 2 * length
        return place if place < length else 2 * length - 1 - place

    rows = [inside(top + y, image.shape[0]) for y in range(high)]
    columns = [inside(left + x, image.shape[1]) for x in range(wide)]
    return image[rows][:, columns]


@pytest.mark.parametrize(
    "field",
    [FieldOfView(20.0, 15.0, 24.0), FieldOfView(38.0, 4.0, 12.0), FieldOfView(20.0, 15.0, 48.0)],
)
def test_mirrored_padding_continues_the_frame(field):
    """Against a slow reflection, also where the frame is mirrored more than once."""
    rng = np.random.default_rng(0)
    image = rng.integers(256, size=(30, 41, 3), dtype=np.uint8)
    cut = slow_mirror(image, field)
    blocks = cut.reshape(12, cut.shape[0] // 12, 12, cut.shape[1] // 12, 3).astype(float)
    crop = crop_to_field_of_view(image, field, size=12, padding="mirror")
    assert np.abs(crop - blocks.mean(axis=(1, 3))).max() <= 0.5 + 1e-9


def test_a_circle_beside_the_frame_is_black_however_padded():
    """There is nothing to mirror."""
    image = np.full((30, 41, 3), 99, np.uint8)
    crop = crop_to_field_of_view(image, FieldOfView(-60.0, 15.0, 12.0), size=8, padding="mirror")
    assert crop.max() == 0


@pytest.mark.parametrize("size", [1, 64, 101])
def test_a_black_surround_keeps_the_circle_alone(size):
    """Paper and dates outside are black, inside nothing changes; photographs and maps alike."""
    image = np.full((120, 140, 3), 200, np.uint8)
    field = FieldOfView(70.0, 60.0, 45.0, 1.1)
    kept = crop_to_field_of_view(image, field, size=size)
    alone = crop_to_field_of_view(image, field, size=size, surround="black")
    flat = crop_to_field_of_view(image[..., 0], field, size=size, surround="black")
    middles = np.arange(size) - (size - 1) / 2
    inside = np.hypot(middles[:, None], middles) <= size / 2
    np.testing.assert_array_equal(alone, np.where(inside[..., None], kept, 0))
    np.testing.assert_array_equal(flat, alone[..., 0])


@pytest.mark.parametrize("radius", [161.0, 218.0, 299.0])
def test_shrinking_between_whole_factors_is_near_the_mean_under_each_pixel(radius):
    """The quick way against OpenCV's exact one, on a texture as fine as optics leave it."""
    rng = np.random.default_rng(0)
    noise = rng.integers(256, size=(610, 610, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 1.2)
    side = round(2 * radius)
    start = round(305 - (side - 1) / 2)
    cut = image[start : start + side, start : start + side]
    exact = cv2.resize(cut, (300, 300), interpolation=cv2.INTER_AREA).astype(int)
    crop = crop_to_field_of_view(image, FieldOfView(305.0, 305.0, radius), size=300)
    assert np.abs(crop - exact).mean() < 1.0
    assert np.abs(crop - exact).max() <= 8


def test_the_crop_of_a_squashed_photograph_is_that_of_the_unsquashed_one():
    """Squash a frame by a third: its crop shows the same eye as before."""
    rng = np.random.default_rng(0)
    whole = draw_field(360, 480, x=240.0, y=180.0, radius=170.0)
    texture = cv2.resize(rng.integers(40, size=(9, 12, 3), dtype=np.uint8), (480, 360))
    whole = np.where(whole > 0, whole - texture, 0).astype(np.uint8)
    squashed = cv2.resize(whole, (320, 360), interpolation=cv2.INTER_AREA)
    field = find_field_of_view(squashed)
    assert field.aspect == pytest.approx(2 / 3, rel=0.01)
    first = crop_to_field_of_view(whole, find_field_of_view(whole), size=64).astype(int)
    second = crop_to_field_of_view(squashed, field, size=64).astype(int)
    inside = draw_field(64, 64, x=31.5, y=31.5, radius=29)[..., 0] > 0
    assert np.abs(first - second)[inside].mean() < 2


def test_region_flags_are_never_mixed():
    """Bits of neighbours do not average into a structure that is not there."""
    regions = np.zeros((60, 60), np.uint8)
    regions[:30] = REGION_FLAGS["retina"] | REGION_FLAGS["vessels"]
    regions[30:] = REGION_FLAGS["retina"]
    for size in (7, 60, 91):
        crop = crop_to_field_of_view(
            regions, FieldOfView(29.5, 29.5, 30.0), size=size, interpolation="nearest"
        )
        assert set(np.unique(crop)) == {1, 9}


@pytest.mark.parametrize(("size", "radius"), [(0, 9.0), (8, 0.2)])
def test_a_crop_of_no_size_is_refused(size, radius):
    """With both values."""
    with pytest.raises(InputError, match=f"size={size}, radius={radius}: both must be at least 1"):
        crop_to_field_of_view(
            np.zeros((9, 9, 3), np.uint8), FieldOfView(4.0, 4.0, radius), size=size
        )
