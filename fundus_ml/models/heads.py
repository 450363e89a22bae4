"""What turns a backbone's features into one logit."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (as PyTorch calls it)
from torch import Tensor, nn

from fundus_ml.models.backbones import LEVELS
from fundus_ml.models.levels import level_width
from fundus_ml.models.options import ATTENTION, BAG, GRID, LEVEL_HEADS

CELLS = 4
"""Rows and columns of cells over which ``head=grid`` averages a level."""


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


class EvidenceHead(nn.Module, ABC):
    """Reads a ``(N, C, h, w)`` map, and says how much each position of it counted.

    Attributes:
        signed: Whether the evidence speaks for a class, and not only of how much a place counted.
    """

    signed: bool

    @abstractmethod
    def evidence(self, maps: Tensor) -> Tensor:
        """Say how much each position counts, ``(N, h, w)``."""


class AttentionHead(EvidenceHead):
    """Reads the mean of a map, each position weighted by a small network that sees it alone.

    BatchNorm without weights of its own standardises the channels. The weights are positive and
    add up to 1 over the picture; they are the evidence.

    Source:
        Poplin et al. 2018, doi:10.1038/s41551-018-0195-0 (soft attention on fundus photographs);
        Rim et al. 2020, doi:10.1016/S2589-7500(20)30216-8.
    """

    signed = False

    def __init__(self, width: int, hidden: int, *, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.attention = nn.Sequential(
            nn.Conv2d(width, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 1, 1)
        )
        self.score = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(width, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Turn ``(N, C, h, w)`` into ``(N, 1)`` logits."""
        standard = self.norm(maps)
        weights = self._weights(standard)
        logit: Tensor = self.score((standard.flatten(2) * weights).sum(2))
        return logit

    def evidence(self, maps: Tensor) -> Tensor:
        """Give the attention of each position, ``(N, h, w)``, which adds up to 1."""
        return self._weights(self.norm(maps)).view(-1, *maps.shape[2:])

    def _weights(self, standard: Tensor) -> Tensor:
        logits: Tensor = self.attention(standard)
        return logits.flatten(2).softmax(2)


class BagHead(EvidenceHead):
    """Reads each position of a map by itself; the logit is the mean of what they say.

    BatchNorm without weights of its own standardises the channels; two 1 by 1 convolutions give the
    logit of a position. That over the number of positions is its evidence, which adds up to the
    logit.

    Source:
        Brendel & Bethge 2019, arXiv:1904.00760 (BagNet); Ilanchezian et al. 2021,
        doi:10.1007/978-3-030-87199-4_45 (sex from fundus photographs).
    """

    signed = True

    def __init__(self, width: int, hidden: int, *, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.local = nn.Sequential(
            nn.Dropout(dropout),
            nn.Conv2d(width, hidden, 1),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(hidden, 1, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Turn ``(N, C, h, w)`` into ``(N, 1)`` logits."""
        local: Tensor = self.local(self.norm(maps))
        return local.mean((2, 3))

    def evidence(self, maps: Tensor) -> Tensor:
        """Give the share of each position in the logit, ``(N, h, w)``."""
        local: Tensor = self.local(self.norm(maps))
        return local[:, 0] / (maps.shape[2] * maps.shape[3])


def make_head(kind: str, backbone: nn.Module, *, hidden: int, dropout: float) -> nn.Module:
    """Build the head of a backbone of :func:`fundus_ml.models.backbones.make_backbone`.

    Args:
        kind: One of :data:`fundus_ml.models.options.HEADS`.
        backbone: Made for that head.
        hidden: Width of the layer before the logit, and of the one before the attention.
        dropout: Share of features and hidden units that all but ``last`` drop in training.
    """
    if kind in LEVEL_HEADS:
        width = pools_per_channel(kind) * sum(level_widths(backbone))
        return MultiscaleHead(width, hidden, dropout=dropout)
    if kind == ATTENTION:
        return AttentionHead(level_width(backbone), hidden, dropout=dropout)
    if kind == BAG:
        return BagHead(level_width(backbone), hidden, dropout=dropout)
    return LastLayerHead(hidden)


def level_widths(backbone: nn.Module) -> list[int]:
    """Channels of the levels that :func:`pooled_levels` reads of one of timm's networks."""
    levels: Any = backbone.feature_info
    return [int(level["num_chs"]) for level in levels[-LEVELS:]]


def pooled_levels(backbone: nn.Module, images: Tensor, head: str, *, skip: int = 0) -> Tensor:
    """Pool the last levels of one of timm's networks over the picture, side by side.

    Args:
        backbone: Made for ``head``.
        images: ``(N, 3, H, W)``, normalised.
        head: One of :data:`fundus_ml.models.options.LEVEL_HEADS`.
        skip: Levels to leave out, the finest first.

    Returns:
        ``(N, P·F)``: the :func:`pools` of each level, the coarsest level last; P is
        :func:`pools_per_channel`, F the sum of their :func:`level_widths`.
    """
    read: Any = backbone.forward_intermediates
    levels = read(images, indices=LEVELS, intermediates_only=True)
    return torch.cat(pools(levels[skip:], head), dim=1)


def pools_per_channel(head: str) -> int:
    """Count what a head of several levels reads of every channel."""
    return 2 + (CELLS * CELLS // 2 if head == GRID else 0)


def pools(levels: Sequence[Tensor], head: str) -> list[Tensor]:
    """Pool each ``(N, C, H, W)`` over the picture.

    Mean and maximum, ``(N, C)`` each; for ``grid`` after them the means over the cells of a grid,
    each with its mirror image, ``(N, C·8)``: they tell how high a thing lies and how far from the
    middle, not on which side, so a left eye reads as a right one.
    """
    return [pool for level in levels for pool in _pools_of(level, head)]


def _pools_of(level: Tensor, head: str) -> Iterator[Tensor]:
    yield level.mean((2, 3))
    yield level.amax((2, 3))
    if head == GRID:
        cells = F.adaptive_avg_pool2d(level, CELLS)
        yield ((cells + cells.flip(3)) / 2)[..., : CELLS // 2].flatten(1)
