"""What readers are asked: what a user may choose; imports nothing that takes time."""

from dataclasses import dataclass
from typing import Literal

from fundus_ml.errors import InputError, check_seed, refuse_outside

QUESTIONS = ("changed", "female")


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """What readers are asked, and how often."""

    question: str = "changed"
    """changed (which of the two was changed?) or female (which of the two is female?)."""
    eps: float | Literal["auto"] = "auto"
    """Budget of the modulated pictures, one of those of the run."""
    trials: int = 0
    """Pairs of an eye and its modulated self, one per eye; 0 takes every eye."""
    real_trials: int = 0
    """question=female: pairs of a real woman's and a real man's eye, the baseline."""
    catch_trials: int = 6
    """Pairs nobody attentive gets wrong; they measure the lapses."""
    seed: int = 0
    """Seed of the choice of eyes, of the sides and of the bootstrap."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        refuse_outside(
            self,
            at_least=dict.fromkeys(("trials", "real_trials", "catch_trials"), 0),
            one_of={"question": QUESTIONS},
        )
        check_seed(self.seed)
        if self.real_trials and self.question != "female":
            raise InputError(f"real_trials={self.real_trials}: only question=female has them")
