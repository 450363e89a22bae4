"""Where a training stands, beside its weights and its optimizer."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from fundus_ml.training.checkpoints import Saved


@dataclass
class TrainingState:
    """All of a training but its weights and its optimizer.

    Attributes:
        epoch: Under way, from 1.
        batch: Batches of it that were learned.
        steps: Steps in all.
        history: Rows of the epochs that are over.
        losses: Loss of each batch of this epoch.
        rates: Rates likewise.
        seconds: Seconds of every step.
        epoch_seconds: Spent in this epoch.
        best_epoch: With the highest criterion, 0 before any.
        best_value: Its criterion.
        best: Its weights.
    """

    epoch: int = 1
    batch: int = 0
    steps: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    epoch_seconds: float = 0.0
    best_epoch: int = 0
    best_value: float = -math.inf
    best: Mapping[str, Tensor] = field(default_factory=dict)

    def tensors(self) -> dict[str, Mapping[str, Tensor]]:
        """Everything to keep that is a tensor, by part."""
        losses = torch.stack(self.losses) if self.losses else torch.empty(0)
        seconds = torch.tensor(self.seconds, dtype=torch.float64)
        return {"best": self.best, "steps": {"losses": losses, "seconds": seconds}}

    def plain(self) -> dict[str, object]:
        """Everything to keep that is none."""
        return {name: getattr(self, name) for name in _PLAIN}

    @classmethod
    def of(cls, saved: Saved, *, device: torch.device) -> "TrainingState":
        """Read what :meth:`tensors` and :meth:`plain` gave; losses go where new ones will be."""
        steps = saved.tensors["steps"]
        return cls(
            **{name: saved.progress[name] for name in _PLAIN},
            losses=list(steps["losses"].to(device)),
            seconds=steps["seconds"].tolist(),
            best=saved.tensors["best"],
        )


_PLAIN = {f.name for f in fields(TrainingState)} - {"losses", "seconds", "best"}
