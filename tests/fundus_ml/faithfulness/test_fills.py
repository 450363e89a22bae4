"""Fills against scipy and closed forms."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from fundus_ml.errors import InputError
from fundus_ml.faithfulness.fills import filled
from tests.fundus_ml.faithfulness.tiny_maps import WIDTH, make_images


def test_the_blur_is_scipys():
    images = make_images()
    sigma = 0.1 * WIDTH
    wanted = images.numpy().astype(np.float64)
    for axis in (2, 3):
        wanted = gaussian_filter1d(
            wanted, sigma, axis=axis, mode="nearest", radius=round(3 * sigma)
        )
    assert filled(images, "blur", blur=0.1).numpy() == pytest.approx(wanted, abs=1e-5)


def test_the_mean_is_each_images_own_colour():
    images = make_images()
    found = filled(images, "mean", blur=0.1)
    assert found.shape == images.shape
    assert torch.equal(found[..., 0, 0], images.mean((2, 3)))
    assert torch.equal(found.amin((2, 3)), found.amax((2, 3)))
    assert not filled(images, "black", blur=0.1).any()


def test_an_unknown_fill_is_refused():
    with pytest.raises(InputError, match=r"^fill=noise: allowed: mean, blur, black$"):
        filled(make_images(), "noise", blur=0.1)
