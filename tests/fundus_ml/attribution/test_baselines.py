"""What stands for absence: against numpy and scipy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from fundus_ml.attribution.baselines import BLUR, REACH, baseline_of, blurred
from fundus_ml.errors import InputError
from tests.fundus_ml.attribution.tiny_explanations import WIDTH, eyes


def test_baselines():
    images = eyes(2)
    mean = baseline_of(images, "mean")
    for place, colour in enumerate(images.numpy().mean((2, 3))):
        np.testing.assert_allclose(mean[place, :, 7, 9], colour, rtol=1e-5)
    assert mean.shape == images.shape
    assert (baseline_of(images, "black") == 0).all()
    sigma = BLUR * WIDTH
    assert torch.equal(baseline_of(images, "blur"), blurred(images, sigma))
    wanted = gaussian_filter(
        images.numpy(), sigma, axes=(2, 3), mode="nearest", radius=round(REACH * sigma)
    )
    np.testing.assert_allclose(blurred(images, sigma), wanted, atol=1e-5)


def test_refuses():
    with pytest.raises(InputError, match="baseline=noise: allowed: mean, black, blur"):
        baseline_of(eyes(1), "noise")
