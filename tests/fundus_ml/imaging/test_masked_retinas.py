"""A masked retina shows border and cuts, never the retina."""

import numpy as np
import pytest

from fundus_ml.imaging.masked_retinas import SIDE, masked_retinas


@pytest.fixture
def eyes():
    rng = np.random.default_rng(0)
    return rng.integers(20, 256, (2, 48, 48, 3)).astype(np.uint8)


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
