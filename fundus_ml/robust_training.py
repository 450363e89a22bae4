"""Recipes that make training epochs adversarial."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fundus_ml.attacks import ThreatModel, pgd
from fundus_ml.errors import InputError

RECIPES = ("pgd",)


@dataclass(frozen=True, kw_only=True)
class PGDTraining:
    """Learn from the worst point that PGD finds around each image.

    An instance is a ``Perturb`` of :func:`fundus_ml.training.fit`. The attack sees the model in
    evaluation mode, as in the `robustness` library, so that BatchNorm statistics come from the
    batches that are learned from and from nothing else.

    Attributes:
        threat: Ball the training images may move in.
        step_size: Length of one attack step.
        attack_steps: Attack steps per batch.
        random_start: Start each attack from a random point of the ball.
        precision: Of the attack's passes.

    Source:
        Madry et al. 2018, arXiv:1706.06083.
    """

    threat: ThreatModel
    step_size: float
    attack_steps: int
    random_start: bool = False
    precision: str = "auto"

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return ``(N, 3, H, W)`` adversarial images for this batch."""
        return pgd(
            model,
            images,
            labels,
            threat=self.threat,
            step_size=self.step_size,
            attack_steps=self.attack_steps,
            random_start=self.random_start,
            precision=self.precision,
            generator=generator,
        )


def make_recipe(
    recipe: str,
    *,
    threat: ThreatModel,
    step_size: float,
    attack_steps: int,
    random_start: bool,
    precision: str = "auto",
) -> PGDTraining:
    """Choose a recipe of adversarial training by name.

    Raises:
        InputError: ``recipe`` is none of :data:`RECIPES`.
    """
    if recipe not in RECIPES:
        raise InputError(f"recipe={recipe}: allowed: {', '.join(RECIPES)}")
    return PGDTraining(
        threat=threat,
        step_size=step_size,
        attack_steps=attack_steps,
        random_start=random_start,
        precision=precision,
    )
