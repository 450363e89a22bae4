"""The modulation's map: closed form of a linear network, and the pictures of ``modulate``."""

import numpy as np
import torch

from fundus_ml.imaging.pictures import to_images, to_uint8
from fundus_ml.modulation import ModulationOptions, modulate
from tests.fundus_ml.attribution.tiny_explanations import explain, eyes, small_classifier
from tests.fundus_ml.tiny_learning import LinearNetwork


def test_of_a_linear_network_it_is_the_squared_weight_at_the_budget():
    network, images = LinearNetwork(40, 48), eyes(2, low=0.3, high=0.7)
    found = explain("modulation", network, images, modulation_rms=1.5)
    energy = network.weight.detach().square().sum(0)
    wanted = energy / energy.sum() * 3 * 40 * 48 * (1.5 / 255) ** 2
    torch.testing.assert_close(found, wanted.expand(2, -1, -1), rtol=1e-4, atol=1e-10)


def test_changes_are_those_of_modulate():
    """Up to 8 bits, with the gradient's sign."""
    network, pixels = small_classifier().eval(), to_uint8(eyes(2, low=0.2, high=0.8))
    images = to_images(pixels)
    eps = 8 / 255 * (3 * 40 * 48) ** 0.5
    options = ModulationOptions(eps=(eps,), attack_steps=3, precision="fp32")
    second, first = (
        modulate(network, pixels, np.full(2, target, np.float32), options)[0].astype(np.float32)
        for target in (1, 0)
    )
    half = (second - first) / 2 / 255
    found = explain("modulation", network, images, modulation_rms=8.0)
    for place in range(2):
        wanted = np.square(half[place]).sum(2)
        assert np.corrcoef(found[place].abs().numpy().ravel(), wanted.ravel())[0, 1] > 0.98
        np.testing.assert_allclose(found[place].abs().sum(), wanted.sum(), rtol=0.05)
    leaf = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(leaf).sum(), leaf)
    raises = (gradient * torch.from_numpy(half).permute(0, 3, 1, 2)).sum(1)
    sure = raises.abs() > raises.abs().median()
    assert (found.sign() == raises.sign())[sure].float().mean() > 0.98
    assert (found < 0).any()
