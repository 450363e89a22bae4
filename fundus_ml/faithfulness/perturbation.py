"""Sensitivity-n and infidelity: whether a map adds up to what removing pixels costs."""

import torch
from torch import Tensor

from fundus_ml.faithfulness.removals import Removals

ROUNDING = 1e-12
"""Share of the mean square below which a spread of float32 logits counts as none."""


def sensitivity_n(removals: Removals, directed: Tensor) -> Tensor:
    """Correlate the map's sum over removed patches with the loss of the logit.

    Args:
        removals: Subsets and losses of N images.
        directed: ``(N, H, W)`` maps in the direction of the decision.

    Returns:
        ``(N, S)`` Pearson correlation over the subsets of each share; 0 where the sums do not
        differ, since such a map forecasts nothing; NaN where the losses do not.

    Source:
        Ancona et al. 2018, arXiv:1711.06104. Theirs removes pixels; ours removes patches, since
        single pixels of a photograph move no logit.
    """
    sums, losses = removals.sums(directed), removals.losses.double()
    return _correlation(sums, losses)


def infidelity(removals: Removals, directed: Tensor) -> Tensor:
    """Take the mean squared error of the map's sum as a forecast of the loss of the logit.

    The perturbation is the removal of a subset S, and the map is read as contributions in logits:
    weights times what is removed, as integrated gradients and occlusion give it.

    Args:
        removals: Subsets and losses of N images.
        directed: ``(N, H, W)`` maps in the direction of the decision.

    Returns:
        ``(N,)`` in squared logits, 0 or more.

    Source:
        Yeh et al. 2019, arXiv:1901.09392, definition 2.1 with the removal of patches as the
        perturbation.
    """
    errors = removals.sums(directed) - removals.losses.double()
    return errors.square().mean(dim=(1, 2))


def scaled_infidelity(removals: Removals, directed: Tensor) -> Tensor:
    """Take the infidelity after each map's best scale, as a share of the mean squared loss.

    Maps of different methods have different units: each is multiplied by the number, 0 or more,
    that makes its infidelity smallest.

    Args:
        removals: Subsets and losses of N images.
        directed: ``(N, H, W)`` maps in the direction of the decision.

    Returns:
        ``(N,)`` in [0, 1]: 0 where the map forecasts every loss up to scale, 1 where no scale
        helps. NaN where no removal changes the logit.

    Source:
        Yeh et al. 2019, arXiv:1901.09392, section 3 (optimal scale). Theirs may be negative; ours
        may not, or a map that points the other way would be a good one.
    """
    sums, losses = removals.sums(directed), removals.losses.double()
    shared = (sums * losses).mean(dim=(1, 2)).clamp(min=0)
    own, whole = sums.square().mean(dim=(1, 2)), losses.square().mean(dim=(1, 2))
    told = torch.where(own > 0, shared.square() / (own * whole), torch.zeros_like(own))
    return torch.where(whole > 0, (1 - told).clamp(0, 1), torch.nan)


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson correlation along the last axis; 0 where one is constant, NaN where the other is."""
    centred, varies = [], []
    for values in (one, other):
        about = values - values.mean(dim=-1, keepdim=True)
        varies.append(about.square().mean(dim=-1) > ROUNDING * values.square().mean(dim=-1))
        centred.append(about)
    above = (centred[0] * centred[1]).sum(dim=-1)
    below = centred[0].square().sum(dim=-1) * centred[1].square().sum(dim=-1)
    found = torch.where(varies[0], (above / below.sqrt()).clamp(-1, 1), 0.0)
    return torch.where(varies[1], found, torch.nan)
