"""One gradient as a change: against plain autograd, a linear network and a slow sweep."""

import numpy as np
import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import to_images
from fundus_ml.modulation import (
    GRADIENT,
    SALIENCY,
    SMOOTHGRAD,
    minimal_perturbations,
    norms_along,
    pictures_along,
    saliency_directions,
)
from fundus_ml.modulation.saliency import NOISE, NOISY_PASSES
from tests.fundus_ml.modulation.tiny_modulations import LABELS, make_pixels, options
from tests.fundus_ml.tiny_learning import LinearNetwork, SmallNetwork

TARGET = 1 - LABELS


def directions_of(saliency, model, pixels, **changed):
    """With the usual seed and batches of two."""
    usual = {"target": TARGET, "seed": 3, "batch_size": 2}
    return saliency_directions(saliency, model, pixels, **usual | changed)


def plain_gradient(model, images):
    """``(N, 3, H, W)`` gradient of the logit, an image at a time."""
    found = []
    for image in images:
        leaf = image.clone().requires_grad_()
        found += torch.autograd.grad(model(leaf[None]).sum(), leaf)
    return torch.stack(found)


def to_unit(direction):
    """``(N, H, W, 3)`` whose largest value is 1, towards the target."""
    towards = (2 * torch.from_numpy(TARGET) - 1).view(-1, 1, 1, 1)
    signed = direction * towards
    signed = signed / signed.abs().amax((1, 2, 3), keepdim=True)
    return signed.permute(0, 2, 3, 1).numpy()


def test_gradient_squared_is_the_gradient():
    """Towards the target, so that the energy of the change is its square."""
    model, pixels = SmallNetwork().eval(), make_pixels()
    found = directions_of(GRADIENT, model, pixels)
    wanted = to_unit(plain_gradient(model, to_images(pixels)))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert all(each.grad is None and each.requires_grad for each in model.parameters())


def test_smoothgrad_squared_averages_squares():
    """Over as many noisy copies, each eye with noise of its own; the sign is the mean's."""
    model, pixels = SmallNetwork().eval(), make_pixels()
    images = to_images(pixels)
    gradients = []
    generators = [np.random.default_rng((3, place)) for place in range(5)]
    for _ in range(NOISY_PASSES):
        noise = np.stack([each.standard_normal((3, 6, 7), np.float32) for each in generators])
        ranges = images.amax((1, 2, 3)) - images.amin((1, 2, 3))
        noisy = images + NOISE * ranges.view(-1, 1, 1, 1) * torch.from_numpy(noise)
        gradients.append(plain_gradient(model, noisy))
    stacked = torch.stack(gradients)
    wanted = to_unit(stacked.mean(0).sign() * stacked.square().mean(0).sqrt())
    found = directions_of(SMOOTHGRAD, model, pixels)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    alone = directions_of(SMOOTHGRAD, model, pixels, batch_size=5)
    np.testing.assert_allclose(found, alone, atol=1e-5)
    other = directions_of(SMOOTHGRAD, model, pixels, seed=4)
    assert not np.allclose(found, other, atol=1e-3)


def test_one_gradient_is_all_a_linear_network_has():
    """Both maps are the weight; the norm along it is the minimal perturbation norm."""
    model, pixels = LinearNetwork(6, 7, scale=0.05), make_pixels(low=100, high=150)
    shortest = minimal_perturbations(model, pixels, TARGET, options())
    assert (shortest == 0).any()
    assert (shortest > 0).any()
    for saliency in SALIENCY:
        found = directions_of(saliency, model, pixels)
        np.testing.assert_allclose(
            found, to_unit(model.weight.detach().expand(5, -1, -1, -1)), atol=1e-4
        )
        along = norms_along(model, pixels, TARGET, found, options())
        np.testing.assert_allclose(along, shortest, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("constraint", ["l2", "linf"])
def test_norms_along_agree_with_a_sweep(constraint):
    """The first length that flips, clipped to pixels; inf without one, NaN where nothing may."""
    model, pixels = SmallNetwork().eval(), make_pixels()
    model.convolution.weight.data *= 4
    directions = directions_of(GRADIENT, model, pixels)
    allowed = np.ones(pixels.shape[:3], bool)
    allowed[0] = False
    found = norms_along(
        model, pixels, TARGET, directions, options(constraint=constraint), allowed=allowed
    )
    assert np.isnan(found[0])
    images, change = to_images(pixels), torch.from_numpy(directions).permute(0, 3, 1, 2)
    size = change.flatten(1).norm(dim=1) if constraint == "l2" else change.abs().amax((1, 2, 3))
    unit = change / size.view(-1, 1, 1, 1)
    lengths = torch.from_numpy(np.geomspace(1e-3, 12 if constraint == "l2" else 1, 1500)).float()
    for place in range(1, 5):
        tried = (images[place] + lengths.view(-1, 1, 1, 1) * unit[place]).clamp(0, 1)
        delta = (tried - images[place]).flatten(1)
        sizes = delta.norm(dim=1) if constraint == "l2" else delta.abs().amax(1)
        with torch.no_grad():
            flipped = ((2 * TARGET[place] - 1) * model(tried) > 0).numpy()
        if flipped[0]:
            assert found[place] == 0
        elif flipped.any():
            assert found[place] == pytest.approx(float(sizes[flipped.argmax()]), rel=0.01)
        else:
            assert np.isinf(found[place])
    assert np.isfinite(found[1:]).any()


def test_no_gradient_no_change():
    """A constant network moves nothing and flips nothing."""
    model, pixels = LinearNetwork(6, 7), make_pixels()
    model.weight.data.zero_()
    model.bias = torch.nn.Parameter(torch.tensor(-1.0))
    found = directions_of(GRADIENT, model, pixels)
    assert (found == 0).all()
    assert (pictures_along(pixels, found, np.ones((1, 5))) == pixels).all()


def test_refuses():
    """A name that is none."""
    with pytest.raises(InputError, match="saliency=cam: allowed: gradient squared, smoothgrad sq"):
        directions_of("cam", SmallNetwork(), make_pixels())
