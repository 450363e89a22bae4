"""How much of the picture a map speaks of."""

import torch
from torch import Tensor


def gini(attributions: Tensor) -> Tensor:
    """Gini index of a map's absolute values: how unevenly it is spread.

    Args:
        attributions: ``(N, H, W)``.

    Returns:
        ``(N,)``: 0 where all pixels are alike, 1 - 1/(H·W) where one pixel holds all; NaN for a map
        of zeros.

    Source:
        Chalasani et al. 2020, arXiv:1810.06583; Hurley & Rickard 2009, arXiv:0811.4706.
    """
    values = attributions.abs().flatten(1).sort(dim=1).values.double()
    count = values.shape[1]
    weights = 2 * torch.arange(1, count + 1, dtype=torch.float64, device=values.device)
    total = values.sum(dim=1)
    found = (values @ (weights - count - 1)) / (count * total)
    return torch.where(total > 0, found, torch.nan)


def effective_area(attributions: Tensor) -> Tensor:
    """Participation ratio of a map's absolute values: the share of the square it spreads over.

    Args:
        attributions: ``(N, H, W)``.

    Returns:
        ``(N,)`` in (0, 1]: m/(H·W) for a map that is constant on m pixels and 0 elsewhere; NaN for
        a map of zeros.

    Source:
        Bell & Dean 1970, doi:10.1039/DF9705000055.
    """
    values = attributions.abs().flatten(1).double()
    total, square = values.sum(dim=1), values.square().sum(dim=1)
    return torch.where(square > 0, total.square() / (values.shape[1] * square), torch.nan)
