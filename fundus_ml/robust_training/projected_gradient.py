"""Method ``pgd``: learn from the worst point that PGD finds."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fundus_ml.attacks.engines import attack_by
from fundus_ml.attacks.options import NATIVE
from fundus_ml.attacks.threat_models import ThreatModel
from fundus_ml.robust_training.method import Errors, scaled
from fundus_ml.training.distribution import bare
from fundus_ml.training.objective import Batch


@dataclass(frozen=True, kw_only=True)
class PGDTraining:
    """Learn from the worst point that PGD finds around each image.

    An instance is a ``Method``, and a ``Perturb`` of :func:`fundus_ml.training.fit`. The attack
    sees the model in evaluation mode, as in the `robustness` library, so that BatchNorm statistics
    come from the batches that are learned from and from nothing else.

    Attributes:
        threat: Ball the training images may move in.
        step_size: Length of one attack step.
        attack_steps: Attack steps per batch.
        random_start: Start each attack from a random point of the ball.
        keep_best: Take the worst point seen of each image, not the last.
        precision: Precision of the attack's passes.
        attack_engine: Who makes the images, one of :data:`fundus_ml.attacks.engines.ENGINES`.

    Source:
        Madry et al. 2018, arXiv:1706.06083.
    """

    threat: ThreatModel
    step_size: float
    attack_steps: int
    random_start: bool = False
    keep_best: bool = True
    precision: str = "auto"
    attack_engine: str = NATIVE

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
        return attack_by(self.attack_engine)(
            model,
            images,
            labels,
            threat=scaled(self.threat, share),
            step_size=self.step_size * share,
            attack_steps=self.attack_steps,
            random_start=self.random_start,
            keep_best=self.keep_best,
            precision=self.precision,
            generator=generator,
        )

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
