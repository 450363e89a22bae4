"""Maps from the last spatial level: its channels, each weighed by the gradient of the logit."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from fundus_ml.attribution.captum_layers import layer_grad_cam
from fundus_ml.attribution.explained_logit import ExplainedLogit, one_view
from fundus_ml.attribution.options import AttributionOptions
from fundus_ml.attribution.spatial_levels import gridded

SMALLEST = 1e-6
"""Added to a denominator, as pytorch-grad-cam does."""
LayerMap = Callable[[nn.Module, nn.Module, Tensor], Tensor]


def grad_cam(explained: ExplainedLogit, images: Tensor, _options: AttributionOptions) -> Tensor:
    """Weigh each channel by its mean gradient, ``(N, H, W)``, without the ReLU.

    Source:
        Selvaraju et al. 2017, arXiv:1610.02391, by captum. Theirs keeps what is above 0.
    """
    return _at_last_level(explained, images, layer_grad_cam)


def grad_cam_plus_plus(
    explained: ExplainedLogit, images: Tensor, _options: AttributionOptions
) -> Tensor:
    """Weigh each channel by its positive gradients, ``(N, H, W)``, without the last ReLU.

    Source:
        Chattopadhay et al. 2018, arXiv:1710.11063, eq. 19, with the sum of the activations where
        they have it, as pytorch-grad-cam.
    """
    return _at_last_level(explained, images, _plus_plus)


def upsampled(coarse: Tensor, like: Tensor) -> Tensor:
    """Stretch ``(N, h, w)`` bilinearly to the pictures ``like``, ``(N, H, W)``."""
    return interpolate(coarse[:, None], like.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def _at_last_level(explained: ExplainedLogit, images: Tensor, layer_map: LayerMap) -> Tensor:
    """Average the maps of both views where the logit does; the mirror image's is flipped back."""
    model = explained.model
    with one_view(model) as both, gridded(explained.level) as grid:
        found = upsampled(layer_map(model, grid, images), images)
        if both:
            mirrored = upsampled(layer_map(model, grid, images.flip(3)), images).flip(2)
            found = (found + mirrored) / 2
    return explained.scale * found


def _plus_plus(model: nn.Module, layer: nn.Module, images: Tensor) -> Tensor:
    """Compute Grad-CAM++ at a layer that gives ``(N, C, h, w)``, ``(N, h, w)``."""
    given: list[Tensor] = []

    def cut(_layer: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        """Begin the graph here: what comes before the level needs no gradient."""
        given.append(output.detach().requires_grad_())
        return given[-1].clone()

    handle = layer.register_forward_hook(cut)
    try:
        logit = model(images)
    finally:
        handle.remove()
    activation = given[-1]
    (gradient,) = torch.autograd.grad(logit.sum(), activation)
    squared = gradient.square()
    total = activation.sum((2, 3), keepdim=True)
    share = squared / (2 * squared + total * squared * gradient + SMALLEST)
    weights = (gradient.relu() * torch.where(gradient != 0, share, 0)).sum((2, 3), keepdim=True)
    return (weights * activation).sum(1).detach()
