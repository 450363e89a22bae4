"""What the engine asks of every method, and what methods share."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from fundus_ml.attacks.threat_models import ThreatModel
from fundus_ml.training.objective import Batch

Errors = Callable[[Tensor], Tensor]
"""Logits ``(n,)`` to the cross-entropy of each, ``(n,)``."""


class Method(Protocol):
    """How a batch becomes adversarial, and what is lost on it."""

    @property
    def replays(self) -> int:
        """Steps in a row that learn from one batch."""

    def losses(
        self,
        model: nn.Module,
        batch: Batch,
        *,
        share: float,
        errors: Errors,
        generator: torch.Generator,
    ) -> Tensor:
        """Loss of each image of an augmented batch, ``(n,)``, under autocast.

        Args:
            model: To call; :func:`fundus_ml.training.distribution.bare` gives the network itself.
            batch: What to learn from.
            share: Share of the radius, and of the step sizes with it; from 0 to 1.
            errors: Cross-entropy against the labels of ``batch``.
            generator: Generator of this part of the batch, the same in all its replays.
        """


def scaled(threat: ThreatModel, share: float) -> ThreatModel:
    """Shrink a ball to ``share`` of its radius."""
    return replace(threat, eps=threat.eps * share)


def warmed(progress: float, eps_warmup: float) -> float:
    """Share of the radius once ``progress`` epochs are learned: linear, then 1.

    >>> [warmed(epochs, 2) for epochs in (0.5, 1, 2, 3)]
    [0.25, 0.5, 1.0, 1.0]
    """
    return 1.0 if progress >= eps_warmup else progress / eps_warmup
