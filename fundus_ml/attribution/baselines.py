"""What stands for the absence of what an eye shows."""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from fundus_ml.attribution.options import BASELINES
from fundus_ml.errors import InputError

BLUR = 1 / 16
"""Standard deviation of the blur, share of the longer side of the picture."""
REACH = 3
"""Standard deviations after which a blur ends."""


def baseline_of(images: Tensor, baseline: str, *, blur: float = BLUR) -> Tensor:
    """Replace each eye by what it is compared with.

    Args:
        images: ``(N, 3, H, W)`` in [0, 1].
        baseline: ``mean`` (each eye's own mean colour within the square), ``black``, or ``blur``.
        blur: Standard deviation of the Gaussian, share of the longer side.

    Returns:
        ``(N, 3, H, W)`` in [0, 1].

    Raises:
        InputError: No such baseline.

    Source:
        Fong & Vedaldi 2017, arXiv:1704.03296 (constant and blur); Petsiuk et al. 2018,
        arXiv:1806.07421.
    """
    if baseline not in BASELINES:
        raise InputError(f"baseline={baseline}: allowed: {', '.join(BASELINES)}")
    if baseline == "mean":
        return images.mean((2, 3), keepdim=True).expand_as(images)
    if baseline == "black":
        return torch.zeros_like(images)
    return blurred(images, blur * max(images.shape[2:]))


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Smooth ``(N, C, H, W)`` by a Gaussian of ``sigma`` pixels; the border is repeated."""
    reach = max(1, round(REACH * sigma))
    offsets = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    height, width = images.shape[2:]
    alone = images.reshape(-1, 1, height, width)
    alone = conv2d(pad(alone, (reach, reach, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    alone = conv2d(pad(alone, (0, 0, reach, reach), mode="replicate"), kernel.view(1, 1, -1, 1))
    return alone.view_as(images)
