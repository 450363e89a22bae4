"""Which attacks an attack suite holds, and what else it asks of an eye."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fundus_ml.attacks.auto_pgd import apgd
from fundus_ml.attacks.minimum_norm import minimum_norm
from fundus_ml.attacks.projected_gradient import pgd
from fundus_ml.attacks.search import Problem, frozen
from fundus_ml.attacks.square_search import square
from fundus_ml.attacks.step_sizes import step_length
from fundus_ml.attacks.threat_models import ThreatModel
from fundus_ml.robust_evaluation.options import ATTACKS, AttackSuite
from fundus_ml.training.prediction import Perturb

GRADIENT_ATTACKS = tuple(name for name in ATTACKS if name not in ("fgsm", "square"))
"""Those that follow a gradient for many steps."""
GENTLE = 4
"""A walk without a budget goes in steps of the largest budget over this."""
WALK = 100
"""Steps of a walk without a budget."""


def make_attack(name: str, eps: float, suite: AttackSuite) -> Perturb:
    """Make one attack of the attack suite: images moved away from their labels."""
    threat = ThreatModel(constraint=suite.constraint, eps=eps)

    def attack(
        model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        common: dict[str, Any] = {
            "threat": threat,
            "leave_solved": suite.leave_solved,
            "final_check": True,
            "precision": suite.precision,
        }
        if name == "square":
            return square(
                model, images, labels, queries=suite.queries, generator=generator, **common
            )
        if name.startswith("apgd"):
            return apgd(
                model,
                images,
                labels,
                attack_steps=suite.attack_steps,
                loss="ce" if name == "apgd-ce" else "margin",
                restarts=suite.restarts,
                generator=generator,
                **common,
            )
        steps = 1 if name == "fgsm" else int(name.removeprefix("pgd-"))
        size = eps if name == "fgsm" else step_length("auto", eps=eps, attack_steps=steps)
        return pgd(model, images, labels, step_size=size, attack_steps=steps, **common)

    return attack


def ce_gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Largest value of each image's gradient of the cross-entropy, in fp32: ``(N,)``, 0 or more."""
    whole = ThreatModel(constraint="linf", eps=1)
    problem = Problem.make(
        model, images, labels, threat=whole, target=None, precision="fp32", loss="ce"
    )
    with frozen(model):
        _, gradient = problem.climb(images)
    return gradient.flatten(1).abs().amax(1)


def unbounded(suite: AttackSuite) -> Perturb:
    """Walk gently as far as it takes; who is still right then is searched for in the whole cube."""
    step = max(suite.eps) / GENTLE

    def attack(
        model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        cube = 1.0 if suite.constraint == "linf" else math.sqrt(images[0].numel())
        common: dict[str, Any] = {
            "threat": ThreatModel(constraint=suite.constraint, eps=cube),
            "attack_steps": WALK,
            "leave_solved": True,
            "final_check": True,
            "precision": suite.precision,
        }
        x_adv = pgd(model, images, labels, step_size=step, **common)
        with torch.no_grad():
            right = (model(x_adv) > 0) == (labels > 0)
        rows = right.nonzero().squeeze(1)
        if len(rows):
            x_adv[rows] = apgd(model, images[rows], labels[rows], generator=generator, **common)
        return x_adv

    return attack


def distance_of(suite: AttackSuite) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
    """Make the search for the smallest change that flips each eye."""

    def distance(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return minimum_norm(
            model,
            images,
            labels,
            constraint=suite.constraint,
            attack_steps=suite.attack_steps,
            precision=suite.precision,
        ).eps

    return distance
