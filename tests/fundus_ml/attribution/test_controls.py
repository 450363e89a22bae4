"""Maps that ask no network: against scikit-image, numpy and modulation's own prior."""

import numpy as np
import torch
from skimage.filters import scharr_h, scharr_v

from fundus_ml.modulation import CONTROL_DIRECTIONS
from tests.fundus_ml.attribution.tiny_explanations import explain, eyes
from tests.fundus_ml.tiny_learning import SmallNetwork


def test_controls():
    images = eyes(3)
    found = {name: explain(name, SmallNetwork(), images) for name in ("centre", "edges", "area")}
    assert (found["area"] == 1).all()
    prior = CONTROL_DIRECTIONS["centre prior"](np.zeros((40, 48, 3), np.uint8))
    for place, image in enumerate(images.numpy()):
        np.testing.assert_allclose(found["centre"][place], prior, rtol=1e-5)
        # scikit-image divides by 16 and spans two pixels; its border differs.
        wanted = np.hypot(scharr_h(image[1]), scharr_v(image[1])) / 2
        np.testing.assert_allclose(found["edges"][place, 1:-1, 1:-1], wanted[1:-1, 1:-1], atol=1e-5)


def test_vessels_are_those_of_the_region_map():
    regions = np.zeros((2, 40, 48), np.uint8)
    regions[0, 3:5, 7] = 8 + 1
    regions[1, 6, 2:4] = 4
    found = explain("vessels", SmallNetwork(), eyes(2), regions=regions)
    assert np.argwhere(found.numpy()).tolist() == [[0, 3, 7], [0, 4, 7]]


def test_noise_is_smooth_and_each_eyes_own():
    images = eyes(3)
    found = explain("random", SmallNetwork(), images, seed=5)
    assert torch.equal(found.amin((1, 2)), torch.zeros(3))
    torch.testing.assert_close(found.amax((1, 2)), torch.ones(3))
    again = explain("random", SmallNetwork(), images.flip(0), seed=5).flip(0)
    torch.testing.assert_close(found, again)
    flat = found.flatten(1)
    flat = torch.cat((flat, explain("random", SmallNetwork(), images, seed=6).flatten(1)))
    assert np.abs(np.corrcoef(flat) - np.eye(6)).max() < 0.6
    beside = torch.corrcoef(torch.stack((found[0, :, 1:].ravel(), found[0, :, :-1].ravel())))
    assert beside[0, 1] > 0.9
