"""Grad-CAM: against captum and pytorch-grad-cam at the same layer, by hand for tokens."""

import warnings

import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn
from torch.nn.functional import interpolate

from fundus_ml.attribution.explained_logit import ExplainedLogit, one_view
from tests.fundus_ml.attribution.tiny_explanations import (
    SixNetwork,
    classifier,
    explain,
    eyes,
    small_classifier,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pytorch_grad_cam import GradCAM, GradCAMPlusPlus

CAMS = {"grad_cam": GradCAM, "grad_cam_plus_plus": GradCAMPlusPlus}


def stretched(coarse):
    return interpolate(coarse[:, None], (40, 48), mode="bilinear", align_corners=False)[:, 0]


def last_of(layer):
    return layer[-1] if isinstance(layer, nn.Sequential) else layer


def theirs(kind, network, layer, images):
    """``(N, h, w)`` before the ReLU and the stretch to [0, 1] of pytorch-grad-cam."""
    with kind(network, [layer]) as cam:
        targets = [lambda logit: logit] * len(images)
        cam(images.clone(), targets=targets)
        (activations,) = cam.activations_and_grads.activations
        (gradients,) = cam.activations_and_grads.gradients
        found = cam.get_cam_image(
            images, layer, targets, activations.numpy(), gradients.numpy(), eigen_smooth=False
        )
    return torch.from_numpy(found)


@pytest.mark.parametrize("method", CAMS)
@pytest.mark.parametrize(
    ("arch", "head", "layer"),
    [
        ("test_resnet", "last", "layer4"),
        ("test_resnet", "multiscale", "layer4"),
        ("efficientnet_lite0", "last", "bn2"),
        ("test_efficientnet", "multiscale", "blocks"),
    ],
)
def test_is_that_of_pytorch_grad_cam(method, arch, head, layer):
    network, images = classifier(arch, head=head).eval(), eyes(2)
    found = explain(method, network, images)
    wanted = theirs(CAMS[method], network, last_of(network.backbone.get_submodule(layer)), images)
    assert min(wanted.shape[1:]) > 1
    scale = float(wanted.abs().max())
    torch.testing.assert_close(found, stretched(wanted), rtol=1e-3, atol=1e-3 * scale)


@pytest.mark.parametrize("method", CAMS)
def test_both_views_count_and_the_mirrored_map_is_turned_back(method):
    network, images = small_classifier(both_flips=True).eval(), eyes(2)
    found = explain(method, network, images)
    with one_view(network) as both:
        assert both
        own = theirs(CAMS[method], network, network.backbone.layer4, images)
        mirrored = theirs(CAMS[method], network, network.backbone.layer4, images.flip(3))
    wanted = stretched((own + mirrored.flip(2)) / 2)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(found, stretched(own), rtol=0.01)
    assert network.spec.both_flips


def test_grad_cam_of_a_network_that_is_no_classifier():
    network, images = SixNetwork().eval(), eyes(2)
    found = explain("grad_cam", network, images)
    wanted = LayerGradCam(network, network.third).attribute(images)[:, 0].detach()
    torch.testing.assert_close(found, stretched(wanted), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", CAMS)
def test_tokens_lie_on_their_grid(method):
    """The layer of a transformer is its last block's first norm; the class token has no place."""
    network, images = classifier("test_vit").eval(), eyes(2)[..., :40, :40]
    images = interpolate(images, (48, 48))
    level = ExplainedLogit.of(network, images, many_passes=False).level
    assert level.layer is network.backbone.blocks[-1].norm1
    assert (level.grid, level.prefix) == ((3, 3), 1)
    given = {}

    def keep(_module, _inputs, output):
        given["tokens"] = output.detach().requires_grad_()
        return given["tokens"]

    handle = level.layer.register_forward_hook(keep)
    logit = network(images).sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(logit, given["tokens"])
    features, slope = (
        each[:, 1:].detach().mT.reshape(2, -1, 3, 3) for each in (given["tokens"], gradient)
    )
    if method == "grad_cam":
        weights = slope.mean((2, 3))
    else:
        total = features.sum((2, 3), keepdim=True)
        share = slope**2 / (2 * slope**2 + total * slope**3 + 1e-6)
        weights = (share * slope.clamp(min=0)).sum((2, 3))
    wanted = torch.einsum("nc,nchw->nhw", weights, features)
    found = explain(method, network, images)
    wanted = interpolate(wanted[:, None], (48, 48), mode="bilinear")[:, 0]
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-7)
    assert not level.layer._forward_hooks


class ChannelsLast(nn.Module):
    """Gives ``(N, h, w, C)`` before it takes means."""

    output_fmt = "NHWC"

    def __init__(self):
        super().__init__()
        self.convolution = SixNetwork().first
        self.norm = nn.LayerNorm(6)

    def forward(self, images):
        features = self.norm(self.convolution(images).permute(0, 2, 3, 1))
        return features.square().mean((1, 2)) @ torch.arange(-2.0, 4)


def test_channels_may_come_last():
    network, images = ChannelsLast(), eyes(2)
    features = network.norm(network.convolution(images).permute(0, 2, 3, 1)).detach()
    slope = 2 * features * torch.arange(-2.0, 4) / (20 * 24)
    wanted = (slope.mean((1, 2), keepdim=True) * features).sum(3)
    found = explain("grad_cam", network, images)
    torch.testing.assert_close(found, stretched(wanted), rtol=1e-3, atol=1e-8)
