"""Which attacks an attack suite holds, and what else it asks of an eye."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
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
from fundus_ml.errors import InputError
from fundus_ml.models.precision import check_precision
from fundus_ml.training.prediction import Perturb

ATTACKS: Mapping[str, str] = MappingProxyType(
    {
        "fgsm": "one step of length eps",
        "pgd-20": "20 projected gradient steps from the image",
        "pgd-100": "100 projected gradient steps from the image",
        "apgd-ce": "steps of their own length up the cross-entropy",
        "apgd-margin": "steps of their own length up the logit",
        "square": "squares of one colour by chance, no gradient",
    }
)
"""Every attack of the attack suite; the order is that of tables and legends."""
GRADIENT_ATTACKS = tuple(name for name in ATTACKS if name not in ("fgsm", "square"))
"""Those that follow a gradient for many steps."""
GENTLE = 4
"""A walk without a budget goes in steps of the largest budget over this."""
WALK = 100
"""Steps of a walk without a budget."""


@dataclass(frozen=True, kw_only=True)
class AttackSuite:
    """Which attacks, and how hard each tries.

    Attributes:
        constraint: ``l2`` or ``linf``.
        eps: Budgets, each above 0.
        attacks: Names among :data:`ATTACKS`.
        attack_steps: Attack steps of both APGD, and of the search for the smallest change.
        restarts: Restarts of both APGD, from random points of the ball.
        queries: Queries of Square.
        distances: Whether the smallest change that flips each eye is searched for.
        leave_solved: An eye that is named wrongly is attacked no further. The worst-case accuracy
            is the same then, and whatever ranks eyes or moves the threshold too good.
        batch_size: Eyes per pass.
        precision: Precision of the attacks' passes; what counts is scored in fp32.
        seed: Seed of random starts and of Square.

    Raises:
        InputError: A field is outside its range.
    """

    constraint: str
    eps: Sequence[float]
    attacks: Sequence[str] = tuple(ATTACKS)
    attack_steps: int = 100
    restarts: int = 3
    queries: int = 1000
    distances: bool = True
    leave_solved: bool = False
    batch_size: int = 32
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        for eps in self.eps:
            ThreatModel(constraint=self.constraint, eps=eps)
        if not self.eps or min(self.eps) == 0:
            raise InputError("eps: a attack suite needs a budget, each above 0")
        if unknown := set(self.attacks) - set(ATTACKS):
            raise InputError(f"attacks={unknown.pop()}: allowed: {', '.join(ATTACKS)}")
        for name in ("attack_steps", "restarts", "queries"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)}: must be at least 1")
        check_precision(self.precision)


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
