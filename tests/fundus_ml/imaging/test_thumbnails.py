"""Thumbnails are averages over cells; a masked retina shows border and cuts, never the retina."""

import numpy as np
import pytest

from fundus_ml.imaging.thumbnails import SIDE, masked_retinas, thumbnails


@pytest.fixture
def eyes():
    rng = np.random.default_rng(0)
    return rng.integers(20, 256, (2, 48, 48, 3)).astype(np.uint8)


def test_a_thumbnail_holds_the_means_of_its_cells(eyes):
    expected = eyes.reshape(2, SIDE, 6, SIDE, 6, 3).mean(axis=(2, 4)).reshape(2, -1)
    np.testing.assert_allclose(thumbnails(eyes), expected)


@pytest.mark.parametrize("size", [8, 17, 96, 200])
def test_any_size_averages_a_flat_picture_to_its_grey(size):
    flat = np.full((1, size, size, 3), 37, np.uint8)
    np.testing.assert_allclose(thumbnails(flat), 37)


def test_a_masked_retina_does_not_move_with_the_retina(eyes):
    along = (2 * np.arange(48) + 1 - 48) / 48
    inside = np.hypot(along[:, None], along) <= 1
    other = np.where(inside[..., None], 255 - eyes // 2, eyes)
    np.testing.assert_array_equal(masked_retinas(eyes), masked_retinas(other))
    border = np.where(inside[..., None], eyes, 0)
    cut = eyes.copy()
    cut[:, :8] = 0
    for changed in (border, cut):
        assert (masked_retinas(eyes) != masked_retinas(changed)).any()
    assert masked_retinas(cut)[0, 64:].reshape(SIDE, SIDE)[1:].sum() < (
        masked_retinas(cut)[0, 64:].reshape(SIDE, SIDE)[:2].sum()
    )
