"""What is learned, and from what: the seam between the engine and a loss."""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Batch:
    """This process's share of one step, or the part of it that one pass takes.

    Attributes:
        images: ``(n, 3, H, W)`` float32 in [0, 1], channels-last, not augmented.
        labels: ``(n,)`` float32, 0 or 1.
        rows: ``(n,)`` positions in the training dataset.
        first: Where ``images`` begin in the whole batch of all processes.
        of: Images of the whole batch.
        progress: Epochs that are learned once this step is.
        replay: How often this batch was learned from in the steps just before.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor
    first: int
    of: int
    progress: float = 0.0
    replay: int = 0

    def part(self, start: int, end: int) -> "Batch":
        """Keep the images from ``start`` to before ``end``."""
        return replace(
            self,
            images=self.images[start:end],
            labels=self.labels[start:end],
            rows=self.rows[start:end],
            first=self.first + start,
        )

    def parts(self, count: int) -> list["Batch"]:
        """Cut into ``count`` equal parts."""
        size = len(self.images) // count
        return [self.part(size * place, size * (place + 1)) for place in range(count)]


class Objective(Protocol):
    """What is learned."""

    @property
    def criterion(self) -> str:
        """Column of the history that chooses the best epoch; larger is better."""

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean loss of ``batch``, under autocast.

        Args:
            model: To call; :func:`fundus_ml.training.distribution.bare` gives the network itself.
            batch: What to learn from.
            generator: Seeded by the batch alone, alike in all processes, passes and replays.
        """

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Measure ``model`` after an epoch; holds ``criterion``."""
