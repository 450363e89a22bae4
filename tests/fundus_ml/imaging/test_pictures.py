"""8-bit pictures: rounding, files without loss, and the way back to floats."""

import numpy as np
import pytest
import torch
from PIL import Image

from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import (
    brightest_channel,
    read_png,
    to_images,
    to_uint8,
    write_png,
)


@pytest.fixture
def pixels():
    """Noise ``(2, 5, 7, 3)``."""
    return np.random.default_rng(0).integers(256, size=(2, 5, 7, 3), dtype=np.uint8)


def test_every_grey_level_survives_the_way_there_and_back():
    """All 256 values, in channels of their own."""
    every = np.arange(256, dtype=np.uint8).reshape(2, 8, 16, 1) + np.arange(3, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(to_images(every)), every)


def test_images_are_the_pixels_over_255_with_channels_first_in_shape_and_last_in_memory(pixels):
    """``(N, 3, H, W)`` float32 laid out as read."""
    images = to_images(pixels)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(images, np.float32(pixels.transpose(0, 3, 1, 2)) / 255)


def test_images_leave_the_pixels_alone(pixels):
    """Also where those are mapped read-only or mirrored."""
    before = pixels.copy()
    frozen = pixels[:, :, ::-1]
    np.testing.assert_array_equal(to_uint8(to_images(frozen)), before[:, :, ::-1])
    to_images(pixels).mul_(0)
    np.testing.assert_array_equal(pixels, before)


def test_rounding_is_to_the_nearest_level_and_stays_in_range():
    """A slow rewrite with Python's own rounding; what left [0, 1] is cut to it."""
    values = torch.linspace(-0.1, 1.1, 2 * 3 * 4 * 5, dtype=torch.float64).reshape(2, 3, 4, 5)
    written = to_uint8(values.requires_grad_())
    assert written.shape == (2, 4, 5, 3)
    for place in np.ndindex(2, 3, 4, 5):
        n, c, y, x = place
        assert written[n, y, x, c] == min(
            max(round(np.float32(values[place].item()) * 255), 0), 255
        )


def test_a_written_picture_reads_back_the_same_here_and_elsewhere(tmp_path, pixels):
    """Against Pillow, which would show swapped channels; folders are made, mirrored views taken."""
    path = tmp_path / "new" / "a.png"
    for picture in (pixels[0], pixels[1, :, ::-1]):
        write_png(picture, path)
        np.testing.assert_array_equal(read_png(path), picture)
        np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)


def test_a_missing_or_broken_picture_is_refused(tmp_path):
    """By its path."""
    with pytest.raises(InputError, match=r"a.png: no such picture"):
        read_png(tmp_path / "a.png")
    for content in (b"", b"text"):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(InputError, match=r"a.png: not a picture"):
            read_png(tmp_path / "a.png")


def test_the_brightest_channel_is_the_maximum_of_three():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    found = brightest_channel(pixels)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels.max(axis=2))
