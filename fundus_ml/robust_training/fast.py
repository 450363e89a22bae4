"""Method ``fast``: one long step from a random start."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fundus_ml.attacks.search import Problem, frozen
from fundus_ml.attacks.threat_models import ThreatModel
from fundus_ml.robust_training.method import Errors, scaled
from fundus_ml.training.distribution import bare
from fundus_ml.training.objective import Batch


@dataclass(frozen=True, kw_only=True)
class FastTraining:
    """Learn from one step that begins at a random point of the ball.

    The step sees the model in evaluation mode, so that BatchNorm statistics come from what is
    learned from.

    Attributes:
        threat: Ball the training images may move in.
        step_size: Length of the step.
        random_start: Begin at a random point; at the image itself otherwise, which overfits to the
            one step far sooner.
        precision: Precision of the step's pass.

    Source:
        Wong et al. 2020, arXiv:2001.03994. Theirs is for ``linf``. The step sees the model in
        evaluation mode; theirs sees it in training mode.
    """

    threat: ThreatModel
    step_size: float
    random_start: bool = True
    precision: str = "auto"

    @property
    def replays(self) -> int:
        """Each batch is learned from once."""
        return 1

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        *,
        share: float = 1.0,
    ) -> Tensor:
        """Return ``(N, 3, H, W)`` adversarial images for this batch."""
        threat = scaled(self.threat, share)
        problem = Problem.make(
            model, images, labels, threat=threat, target=None, precision=self.precision
        )
        start = inside(threat, problem.images, generator) if self.random_start else problem.images
        with frozen(model):
            _, gradient = problem.climb(start)
        x_adv = start + share * self.step_size * threat.step(gradient)
        return threat.project(problem.images, x_adv)

    def losses(
        self,
        model: nn.Module,
        batch: Batch,
        *,
        share: float,
        errors: Errors,
        generator: torch.Generator,
    ) -> Tensor:
        """Cross-entropy of the adversarial images, ``(n,)``."""
        x_adv = self(bare(model), batch.images, batch.labels, generator, share=share)
        return errors(model(x_adv).float())


def inside(threat: ThreatModel, images: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a start inside the ball: uniform for ``linf``, of uniform length for ``l2``.

    Points that are uniform in a ``l2`` ball of so many dimensions all lie next to its surface, from
    where a full step only slides along it.
    """
    start = threat.random_start(images, generator)
    if threat.constraint == "linf":
        return start
    lengths = torch.rand(len(images), generator=generator).to(images).view(-1, 1, 1, 1)
    return images + lengths * (start - images)
