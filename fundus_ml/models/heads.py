"""What turns a backbone's features into one logit."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fundus_ml.models.backbones import LEVELS
from fundus_ml.models.options import MULTISCALE


class LastLayerHead(nn.Sequential):
    """Reads the backbone's last layer: ReLU, then a weighted sum."""

    def __init__(self, hidden: int) -> None:
        super().__init__(nn.ReLU(), nn.Linear(hidden, 1))


class MultiscaleHead(nn.Sequential):
    """Reads :func:`pooled_levels`: standardised, then ``hidden`` units, then a weighted sum.

    BatchNorm without weights of its own puts the levels, whose scales differ by orders of
    magnitude, on one.
    """

    def __init__(self, width: int, hidden: int, *, dropout: float) -> None:
        super().__init__(
            nn.BatchNorm1d(width, affine=False),
            nn.Dropout(dropout),
            nn.Linear(width, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, 1),
        )


def make_head(kind: str, backbone: nn.Module, *, hidden: int, dropout: float) -> nn.Sequential:
    """Build the head of a backbone of :func:`fundus_ml.models.backbones.make_backbone`.

    Args:
        kind: ``last`` or ``multiscale``.
        backbone: Made for that head.
        hidden: Width of the layer before the logit.
        dropout: Share of features and hidden units that ``multiscale`` drops in training.
    """
    if kind != MULTISCALE:
        return LastLayerHead(hidden)
    return MultiscaleHead(2 * sum(level_widths(backbone)), hidden, dropout=dropout)


def level_widths(backbone: nn.Module) -> list[int]:
    """Channels of the levels that :func:`pooled_levels` reads of one of timm's networks."""
    levels: Any = backbone.feature_info
    return [int(level["num_chs"]) for level in levels[-LEVELS:]]


def pooled_levels(backbone: nn.Module, images: Tensor, *, skip: int = 0) -> Tensor:
    """Pool the last levels of one of timm's networks over the picture, side by side.

    Args:
        backbone: Made for ``head=multiscale``.
        images: ``(N, 3, H, W)``, normalised.
        skip: Levels to leave out, the finest first.

    Returns:
        ``(N, 2·F)``: mean and maximum of each channel of each level, the coarsest level last; F is
        the sum of their :func:`level_widths`.
    """
    read: Any = backbone.forward_intermediates
    levels = read(images, indices=LEVELS, intermediates_only=True)
    return torch.cat(pools(levels[skip:]), dim=1)


def pools(levels: Sequence[Tensor]) -> list[Tensor]:
    """Give the mean and the maximum over the picture of each ``(N, C, H, W)``, ``(N, C)`` each."""
    return [pool for level in levels for pool in (level.mean((2, 3)), level.amax((2, 3)))]
