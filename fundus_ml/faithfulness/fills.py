"""What stands in for the pixels that a score removes."""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from fundus_ml.errors import InputError
from fundus_ml.faithfulness.options import FILLS

REACH = 3
"""Half-width of the blur's kernel, in standard deviations."""


def filled(images: Tensor, fill: str, *, blur: float) -> Tensor:
    """Make the picture that holds nothing of what each image shows.

    Args:
        images: ``(N, 3, H, W)`` in [0, 1].
        fill: ``mean``, each image's mean colour; ``blur``, the image under a Gaussian with edges
            repeated; ``black``, 0.
        blur: Standard deviation of the Gaussian, share of the longer side.

    Returns:
        ``(N, 3, H, W)`` in [0, 1].

    Raises:
        InputError: There is no such fill.

    Source:
        Fong & Vedaldi 2017, arXiv:1704.03296 (constant and blur); Petsiuk et al. 2018,
        arXiv:1806.07421.
    """
    if fill == "mean":
        return images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    if fill == "black":
        return torch.zeros_like(images)
    if fill == "blur":
        return _blurred(images, blur * max(images.shape[2:]))
    raise InputError(f"fill={fill}: allowed: {', '.join(FILLS)}")


def _blurred(images: Tensor, sigma: float) -> Tensor:
    """Convolve each channel with a Gaussian, one axis after the other."""
    half = max(1, round(REACH * sigma))
    away = torch.arange(-half, half + 1, dtype=torch.float32, device=images.device)
    kernel = torch.exp(-0.5 * (away / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    for _ in range(2):
        wide = pad(images, (half, half, 0, 0), mode="replicate")
        images = conv2d(wide, kernel, groups=3).transpose(2, 3)
    return images.clamp(0, 1)
