"""Where a modulation goes, how far and in how many steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

from fundus_ml.attacks.options import NATIVE, Decay, Loss, check_ball, check_engine
from fundus_ml.attacks.step_sizes import StepSize, step_length
from fundus_ml.errors import InputError, refuse_outside
from fundus_ml.models.options import check_precision
from fundus_ml.statistics.numerals import plain

MODES = ("flip", "disrupt", "enhance")
"""Directions whatever is asked; the name of a class is one too: eyes of the other go towards it."""
OBJECTIVES: Mapping[str, Loss] = MappingProxyType({"logit": "margin", "cross_entropy": "ce"})
"""What is climbed, in the words of the field, and what the attacks call it."""
STARTS = ("eye", "noise")
AUTO_STEPS = 20
"""Gradient steps at each budget."""


@dataclass(frozen=True, kw_only=True)
class ModulationOptions:
    """Where to, how far and in how many steps."""

    mode: str = "flip"
    """flip (each eye towards the other class), the name of a class, such as female (eyes of the
    other class towards it), disrupt (off the class the network sees, right or wrong), enhance
    (further into the own class)."""
    objective: str = "logit"
    """What is climbed: logit, or cross_entropy, which has no gradient where the network is sure."""
    start: str = "eye"
    """What is modulated: each eye, or noise with the colours of each eye."""
    constraint: str = "l2"
    """Ball the change stays in: l2 or linf."""
    eps: tuple[float, ...] = (1.0,)
    """Budgets, rising; each goes on from the one before. Pixels lie in [0, 1]."""
    attack_steps: int | Literal["auto"] = "auto"
    """Gradient steps at each budget; auto is 20."""
    step_size: StepSize = "auto"
    """Length of one step. With auto each is shorter than the last, and all of one budget add up to
    2.5·eps less 1.25 times the budget before, which the path has behind it."""
    min_norm_steps: int = 40
    """Gradient steps of the search for the minimal perturbation norm that flips each eye; 0 does
    not search."""
    batch_size: int = 16
    """Eyes per pass."""
    precision: str = "auto"
    """Precision of the passes that make the pictures (auto, fp32, bf16); scores are always fp32."""
    attack_engine: str = "native"
    """Who makes the pictures: native, or robustness, the library, each budget from the eye."""

    @property
    def told_mode(self) -> str:
        """The mode, and what is not usual about it, so that other pictures keep rows of their own.

        ``flip``, ``flip from noise``, ``flip by cross_entropy``.
        """
        of_noise = "" if self.start == STARTS[0] else f" from {self.start}"
        climbed = "" if self.objective == next(iter(OBJECTIVES)) else f" by {self.objective}"
        return f"{self.mode}{of_noise}{climbed}"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        refuse_outside(
            self,
            at_least={"batch_size": 1, "min_norm_steps": 0},
            one_of={"objective": OBJECTIVES, "start": STARTS},
        )
        for eps in self.eps:
            check_ball(self.constraint, eps)
        written = [float(plain(eps)) for eps in self.eps]
        rising = all(low < high for low, high in pairwise(written))
        if not self.eps or self.eps[0] == 0 or not rising:
            given = ",".join(map(plain, self.eps))
            raise InputError(f"eps={given}: budgets above 0, rising, each once to six digits")
        check_precision(self.precision)
        check_engine(self.attack_engine)
        if self.attack_steps != "auto" and self.attack_steps < 0:
            raise InputError(f"attack_steps={self.attack_steps}: auto, or 0 or more")
        for eps in self.eps:
            self.step_for(eps)

    @property
    def steps(self) -> int:
        """Gradient steps at each budget."""
        return AUTO_STEPS if self.attack_steps == "auto" else self.attack_steps

    @property
    def decay(self) -> Decay:
        """Whether steps shorten: where nobody gives their length."""
        return "linear" if self.step_size == "auto" else "none"

    def step_for(self, eps: float) -> float:
        """Length of one step at budget ``eps``, in the mean where they shorten."""
        behind = 0.0
        if self.step_size == "auto" and self.attack_engine == NATIVE:
            behind = max((lower for lower in self.eps if lower < eps), default=0.0) / 2
        return step_length(self.step_size, eps=eps - behind, attack_steps=self.steps)
