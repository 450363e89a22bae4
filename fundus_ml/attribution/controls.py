"""Maps that ask no network: what an explanation must do better than."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, pad

from fundus_ml.attribution.baselines import blurred
from fundus_ml.attribution.explained_logit import generators
from fundus_ml.attribution.options import AttributionOptions
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.modulation.controls import centre_prior

VESSELS = "vessels"
GREEN = 1
SMOOTHED = 1 / 16
"""Standard deviation of the smoothing of the noise, in sides of the picture."""


def control(
    name: str, images: Tensor, options: AttributionOptions, regions: NDArray[np.uint8] | None
) -> Tensor:
    """Draw one of :data:`DRAWN`, ``(N, H, W)``, 0 or more; or the eyes' vessels."""
    if name == VESSELS:
        assert regions is not None
        return torch.from_numpy(regions & REGION_FLAGS[VESSELS] > 0).to(images)
    return DRAWN[name](images, options)


def _random(images: Tensor, options: AttributionOptions) -> Tensor:
    """Smooth white noise and stretch it to [0, 1], each eye by noise of its own."""
    side = tuple(images.shape[2:])
    drawn = [each.standard_normal(side, np.float32) for each in generators(images, options.seed)]
    noise = torch.from_numpy(np.stack(drawn)).to(images)
    smooth = blurred(noise[:, None], SMOOTHED * images.shape[2])[:, 0]
    low, high = smooth.amin((1, 2), keepdim=True), smooth.amax((1, 2), keepdim=True)
    return torch.where(high > low, (smooth - low) / (high - low), 0.0)


def _centre(images: Tensor, _options: AttributionOptions) -> Tensor:
    """Gaussian about the middle of the picture, as modulation's control."""
    prior = torch.from_numpy(centre_prior(*images.shape[2:]))
    return prior.to(images).repeat(len(images), 1, 1)


def _edges(images: Tensor, _options: AttributionOptions) -> Tensor:
    """Gradient magnitude (Scharr) of the green channel, per pixel; the border is repeated."""
    across = torch.tensor([[-3.0, 0, 3], [-10, 0, 10], [-3, 0, 3]]) / 32
    kernels = torch.stack((across, across.T))[:, None].to(images)
    green = pad(images[:, GREEN : GREEN + 1], (1, 1, 1, 1), mode="replicate")
    steepness: Tensor = torch.linalg.vector_norm(conv2d(green, kernels), dim=1)
    return steepness


def _area(images: Tensor, _options: AttributionOptions) -> Tensor:
    """Give every pixel the same."""
    return torch.ones_like(images[:, 0])


DRAWN: Mapping[str, Callable[[Tensor, AttributionOptions], Tensor]] = MappingProxyType(
    {"random": _random, "centre": _centre, "edges": _edges, "area": _area}
)
