"""How a network is measured: flags that several entry points share."""

from collections.abc import Sequence
from dataclasses import dataclass

from fundus_ml.attacks.options import check_ball, check_engine
from fundus_ml.attacks.step_sizes import StepSize, step_length
from fundus_ml.errors import InputError, check_seed
from fundus_ml.statistics.numerals import plain

ALL = "all"
"""In place of a split: every eye of a dataset, whichever split it stands in."""


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """How a network is scored; without budgets it is scored clean only."""

    constraint: str = "l2"
    """Ball of the attack: l2 or linf."""
    eps: Sequence[float] = ()
    """Budgets of the attack with commas between them; the clean score is always there."""
    attack_steps: int = 20
    """Steps of the attack."""
    step_size: StepSize = "auto"
    """Length of one attack step; auto is 2.5·eps/attack_steps."""
    batch_size: int = 32
    """Eyes per pass."""
    precision: str = "auto"
    """Precision of the attack's passes: auto, fp32 or bf16; scores are fp32."""
    attack_engine: str = "native"
    """Who makes the images of PGD: native, or robustness, the library."""
    bootstrap: int = 2000
    """Resamples of people behind each interval."""
    seed: int = 0
    """Seed of the bootstrap."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        check_engine(self.attack_engine)
        check_seed(self.seed)
        if len(set(map(plain, self.eps))) < len(set(self.eps)):
            given = ",".join(str(eps) for eps in self.eps)
            raise InputError(f"eps={given}: two budgets are the same to six digits")
        for eps in self.eps:
            check_ball(self.constraint, eps)
            step_length(self.step_size, eps=eps, attack_steps=self.attack_steps)
