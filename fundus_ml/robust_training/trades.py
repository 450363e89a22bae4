"""Method ``trades``: be right on the image, and say the same around it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from fundus_ml.attacks.search import frozen
from fundus_ml.attacks.threat_models import ThreatModel
from fundus_ml.models.measured_precision import resolved
from fundus_ml.models.precision import autocast
from fundus_ml.robust_training.method import Errors, scaled
from fundus_ml.training.distribution import bare
from fundus_ml.training.objective import Batch

START = 1e-3
"""Standard deviation of the noise the climb starts from: at the image itself the divergence is
flat."""


@dataclass(frozen=True, kw_only=True)
class TradesTraining:
    """Learn the label of the image, and the prediction of the image wherever it may move.

    The loss is cross-entropy of the image plus ``beta`` times the divergence between the
    predictions of the image and of the point in the ball where they differ most. The climb sees the
    model in evaluation mode; then image and point go through it together, in one pass.

    Attributes:
        threat: Ball the training images may move in.
        step_size: Length of one attack step.
        attack_steps: Attack steps per batch.
        beta: Weight of the divergence, 1/λ of the paper.
        precision: Precision of the attack's passes.

    Source:
        Zhang et al. 2019, arXiv:1901.08573. Of one logit, the divergence from a prediction grows
        with the distance from its logit: the climb moves each logit on in the direction in which it
        has left, which is the direction of the divergence's gradient and does not vanish. BatchNorm
        normalises images and points as one batch; in their code as two.
    """

    threat: ThreatModel
    step_size: float
    attack_steps: int
    beta: float
    precision: str = "auto"

    @property
    def replays(self) -> int:
        """Each batch is learned from once."""
        return 1

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,  # noqa: ARG002 (a Perturb; the divergence asks for no label)
        generator: torch.Generator,
        *,
        share: float = 1.0,
    ) -> Tensor:
        """Return the ``(N, 3, H, W)`` points where the prediction differs most."""
        threat, step_size = scaled(self.threat, share), share * self.step_size
        images = images.detach()
        noise = torch.empty_like(images, device=generator.device).normal_(generator=generator)
        x_adv = threat.project(images, images + START * threat.masked(noise.to(images.device)))
        with frozen(model):
            with torch.no_grad():
                clean = self._logit(model, images)
            for _ in range(self.attack_steps):
                x_adv.requires_grad_()
                logit = self._logit(model, x_adv)
                # Where rounding hides which way the noise went, over the boundary is the far way.
                away = torch.where(logit == clean, -clean, logit - clean).sign().detach()
                (gradient,) = torch.autograd.grad((away * logit).sum(), x_adv)
                x_adv = threat.project(images, x_adv.detach() + step_size * threat.step(gradient))
        return x_adv.detach()

    def losses(
        self,
        model: nn.Module,
        batch: Batch,
        *,
        share: float,
        errors: Errors,
        generator: torch.Generator,
    ) -> Tensor:
        """Cross-entropy of the images and their weighed divergence, ``(n,)``."""
        x_adv = self(bare(model), batch.images, batch.labels, generator, share=share)
        clean, moved = model(torch.cat((batch.images, x_adv))).float().chunk(2)
        return errors(clean) + self.beta * divergence(clean, moved)

    def _logit(self, model: nn.Module, images: Tensor) -> Tensor:
        with autocast(resolved(model, images, self.precision), images.device):
            logit: Tensor = model(images)
        return logit.float()


def divergence(clean: Tensor, moved: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the prediction ``moved`` from ``clean``.

    Args:
        clean: ``(n,)`` logits.
        moved: ``(n,)`` logits.

    Returns:
        ``(n,)`` nats, 0 or more.
    """
    prob = clean.sigmoid()
    male = prob * (logsigmoid(clean) - logsigmoid(moved))
    female = (1 - prob) * (logsigmoid(-clean) - logsigmoid(-moved))
    return male + female
