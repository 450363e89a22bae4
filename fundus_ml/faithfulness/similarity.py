"""How alike two maps of one image are: rank correlation and structural similarity."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fundus_ml.errors import InputError

WINDOW = 7
"""Side of the window of the structural similarity, pixels."""
LUMINANCE, CONTRAST = 0.01**2, 0.03**2
"""Constants of Wang et al. for maps whose largest value is 1."""


def rank_correlation(maps: Tensor, others: Tensor) -> Tensor:
    """Spearman correlation of the pixels of each map with those of its counterpart.

    Args:
        maps: ``(N, H, W)``.
        others: ``(N, H, W)``.

    Returns:
        ``(N,)`` in [-1, 1], ties counting their mean rank; NaN where one of both is constant.
    """
    ranks = [_ranked(values.flatten(1)) for values in (maps, others)]
    centred = [rank - rank.mean(dim=1, keepdim=True) for rank in ranks]
    below = centred[0].square().sum(dim=1) * centred[1].square().sum(dim=1)
    found = (centred[0] * centred[1]).sum(dim=1) / below.sqrt()
    return torch.where(below > 0, found.clamp(-1, 1), torch.nan)


def structural_similarity(maps: Tensor, others: Tensor) -> Tensor:
    """Mean structural similarity of two maps, each divided by its largest value first.

    Args:
        maps: ``(N, H, W)``, 0 or more; H and W at least :data:`WINDOW`.
        others: ``(N, H, W)``, 0 or more.

    Returns:
        ``(N,)`` at most 1, over windows that lie inside; NaN where one of both is all 0.

    Raises:
        InputError: The maps are smaller than the window.

    Source:
        Wang et al. 2004, doi:10.1109/TIP.2003.819861, with the even window and the sample
        covariance of ``skimage.metrics.structural_similarity``.
    """
    if min(maps.shape[1:]) < WINDOW:
        raise InputError(
            f"maps: {maps.shape[1]} x {maps.shape[2]} pixels; the structural similarity needs "
            f"{WINDOW} x {WINDOW}"
        )
    largest = [values.amax(dim=(1, 2), keepdim=True).double() for values in (maps, others)]
    one, other = (
        (values.double() / torch.where(peak > 0, peak, 1.0))[:, None]
        for values, peak in zip((maps, others), largest, strict=True)
    )
    stacked = torch.cat([one, other, one * one, other * other, one * other], dim=1)
    mean, mean_other, square, square_other, product = avg_pool2d(stacked, WINDOW, stride=1).unbind(
        1
    )
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    spread = unbiased * (square - mean**2 + square_other - mean_other**2)
    shared = unbiased * (product - mean * mean_other)
    alike = (2 * mean * mean_other + LUMINANCE) * (2 * shared + CONTRAST)
    alike /= (mean**2 + mean_other**2 + LUMINANCE) * (spread + CONTRAST)
    known = ((largest[0] > 0) & (largest[1] > 0)).flatten()
    return torch.where(known, alike.mean(dim=(1, 2)), torch.nan)


def _ranked(values: Tensor) -> Tensor:
    """Rank each row, ties by their mean, ``(N, P)`` float64."""
    values = values.contiguous()
    ordered = values.sort(dim=1).values
    below = torch.searchsorted(ordered, values)
    upto = torch.searchsorted(ordered, values, right=True)
    return (below + upto).double() / 2
