"""Gradients summed along the straight path from a baseline to the eye."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from fundus_ml.attribution.baselines import baseline_of
from fundus_ml.attribution.explained_logit import ExplainedLogit, passes
from fundus_ml.attribution.options import AttributionOptions


def integrated_gradients(
    explained: ExplainedLogit, images: Tensor, options: AttributionOptions
) -> Tensor:
    """Integrate the gradient from the baseline to the eye, summed over RGB, ``(N, H, W)``.

    The sum over a map is the logit of the eye less the logit of its baseline, up to the error of
    the quadrature.

    Source:
        Sundararajan, Taly, Yan 2017, arXiv:1703.01365, by Gauss-Legendre quadrature as captum.
    """
    nodes, weights = _gauss_legendre(options.integration_steps)
    return along_path(
        explained,
        images,
        baseline_of(images, options.baseline),
        nodes=torch.from_numpy(nodes).to(images),
        weights=torch.from_numpy(weights).to(images),
        batch_size=options.batch_size,
    ).sum(1)


def along_path(
    explained: ExplainedLogit,
    images: Tensor,
    baselines: Tensor,
    *,
    nodes: Tensor,
    weights: Tensor,
    batch_size: int,
) -> Tensor:
    """Weigh the gradients at K places of the path and multiply by its length.

    Args:
        explained: Whose logit.
        images: ``(N, 3, H, W)``.
        baselines: ``(N, 3, H, W)`` where each path begins.
        nodes: ``(K,)`` places in [0, 1], 1 at the eye.
        weights: ``(K,)`` that add up to 1.
        batch_size: Pictures per pass.

    Returns:
        ``(N, 3, H, W)``.
    """
    found = torch.zeros_like(images)
    way = images - baselines
    for eyes, steps in passes(len(images), len(nodes), batch_size, images.device):
        places = baselines[eyes] + nodes[steps].view(-1, 1, 1, 1) * way[eyes]
        weight = weights[steps].view(-1, 1, 1, 1)
        found.index_add_(0, eyes, weight * explained.gradient(places))
    return found * way


@cache
def _gauss_legendre(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2
