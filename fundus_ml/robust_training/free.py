"""Method ``free``: the pass that moves the weights moves the images too."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fundus_ml.attacks.threat_models import ThreatModel
from fundus_ml.robust_training.fast import inside
from fundus_ml.robust_training.method import Errors, scaled
from fundus_ml.training.objective import Batch


@dataclass(frozen=True, kw_only=True)
class FreeTraining:
    """Learn from each batch several times in a row while its images climb the loss.

    A step of the engine costs what a clean step costs: its backward pass leaves the gradient of
    the images with them, along which they move before the next step. The network is in training
    mode while the images climb, by definition: BatchNorm uses the statistics of the batch, and
    every pass is one that is learned from.

    Attributes:
        threat: Ball the training images may move in.
        step_size: How far the images move between two steps.
        replays: Steps that learn from one batch.
        moved: Images of the step before with their gradient, by their place in the batch.

    Source:
        Shafahi et al. 2019, arXiv:1904.12843. Theirs carries the change of one batch over to the
        next, other images; ours begins each batch at a random point inside the ball, so that a step
        depends on nothing that a checkpoint does not hold.
    """

    threat: ThreatModel
    step_size: float
    replays: int
    moved: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def losses(
        self,
        model: nn.Module,
        batch: Batch,
        *,
        share: float,
        errors: Errors,
        generator: torch.Generator,
    ) -> Tensor:
        """Cross-entropy of the images where they are by now, ``(n,)``."""
        threat = scaled(self.threat, share)
        if batch.replay == 0:
            x_adv = inside(threat, batch.images, generator)
        else:
            x_adv = self._climb(threat, batch, share * self.step_size)
        self.moved[batch.first] = x_adv.detach().requires_grad_()
        return errors(model(self.moved[batch.first]).float())

    def _climb(self, threat: ThreatModel, batch: Batch, step_size: float) -> Tensor:
        before = self.moved[batch.first]
        assert before.grad is not None
        # Loss scaling of fp16 changes the length, which a step does not ask for, or overflows.
        gradient = before.grad.nan_to_num(0.0, 0.0, 0.0)
        return threat.project(batch.images, before.detach() + step_size * threat.step(gradient))
