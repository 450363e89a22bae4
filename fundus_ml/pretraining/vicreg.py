"""VICReg: two views of one eye agree, and no two numbers that describe it say the same."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from fundus_ml.pretraining.options import Coefficients

WANTED_STD = 1.0
"""Standard deviation over the batch that each number of an embedding is held to."""
_SHORTCUT_BASELINE = 1e-4
"""Added to a variance, so that its root has a gradient at 0; the paper's."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The three terms, each a scalar that is best at 0.

    Attributes:
        invariance: Mean squared difference of the two views' embeddings.
        variance: Mean shortfall of the standard deviations below 1, of both views.
        covariance: Sum of the squared covariances of two different numbers, divided by how many
            numbers there are, of both views.
    """

    invariance: Tensor
    variance: Tensor
    covariance: Tensor

    def total(self, coefficients: Coefficients) -> Tensor:
        """Weigh them together."""
        return (
            coefficients.invariance * self.invariance
            + coefficients.variance * self.variance
            + coefficients.covariance * self.covariance
        )


def vicreg(first: Tensor, second: Tensor) -> Terms:
    """Compare the embeddings of two views of the same eyes.

    Args:
        first: ``(n, d)`` of one view, n of 2 or more.
        second: ``(n, d)`` of the other, in the same order.

    Returns:
        The terms, in float32.

    Source:
        Bardes et al. 2022, arXiv:2105.04906, algorithm 1, where the variance term is halved over
        the two views and the covariance term is not. Ours, because the library that keeps it
        (lightly) brings a training framework for three sums.
    """
    with torch.autocast(first.device.type, enabled=False):
        first, second = first.float(), second.float()
        return Terms(
            invariance=mse_loss(first, second),
            variance=(_shortfall(first) + _shortfall(second)) / 2,
            covariance=_redundancy(first) + _redundancy(second),
        )


def _shortfall(embeddings: Tensor) -> Tensor:
    std = (embeddings.var(dim=0) + _SHORTCUT_BASELINE).sqrt()
    return (WANTED_STD - std).relu().mean()


def _redundancy(embeddings: Tensor) -> Tensor:
    count, width = embeddings.shape
    centred = embeddings - embeddings.mean(dim=0)
    covariance = centred.mT @ centred / (count - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / width
