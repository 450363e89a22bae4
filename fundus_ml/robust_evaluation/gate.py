"""When a version may be called robust: by what survives the worst of several attacks."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from fundus_ml.robust_evaluation.masking import Sign
from fundus_ml.robust_evaluation.options import AttackSuite
from fundus_ml.robust_evaluation.running import WORST, Attacked
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.clustered import clustered_auroc
from fundus_ml.statistics.criterion import Criterion

GATE_ATTACKS = ("fgsm", "pgd-20", "apgd-margin", "square")
ONE_CLASS = 0.5
"""Balanced accuracy of naming the same class for every eye, under any attack."""
GATE_STEPS = 40
"""Steps of APGD at the gate."""
GATE_QUERIES = 100
"""Queries of Square at the gate."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a version is robust, and why.

    Attributes:
        criterion: Worst-case balanced accuracy against naming one class only.
        raised: Signs of gradient masking that are up.
    """

    criterion: Criterion
    raised: tuple[Sign, ...]

    @property
    def passed(self) -> bool:
        """Whether the whole interval lies above the bar and no sign is up."""
        return self.criterion.passed and not self.raised

    @property
    def reason(self) -> str:
        """The criterion with its figures, and the signs that are up, in one line."""
        signs = ", ".join(sign.brief for sign in self.raised)
        return f"{self.criterion}; gradient masking: {signs or 'none'}"


def gate_suite(
    constraint: str, eps: float, *, batch_size: int, precision: str, seed: int
) -> AttackSuite:
    """Make the short attack suite of the gate: few attacks, eyes named wrongly leave it."""
    return AttackSuite(
        constraint=constraint,
        eps=(eps,),
        attacks=GATE_ATTACKS,
        attack_steps=GATE_STEPS,
        restarts=1,
        queries=GATE_QUERIES,
        distances=False,
        leave_solved=True,
        batch_size=batch_size,
        precision=precision,
        seed=seed,
    )


def judge_robustness(
    attacked: Attacked, signs: Sequence[Sign], *, eps: float, resamples: int, seed: int
) -> Verdict:
    """Hold the worst-case balanced accuracy at ``eps`` against what naming one class reaches.

    Args:
        attacked: What an attack suite found at ``eps``.
        signs: Signs of gradient masking, in the same attack suite.
        eps: Budget the version was trained for.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.
    """
    criterion = Criterion(
        name=f"worst-case balanced accuracy at eps {eps:g}",
        measured=worst_accuracy(attacked.predicted, eps=eps, resamples=resamples, seed=seed),
        bar=ONE_CLASS,
        against="always naming one class",
    )
    return Verdict(criterion=criterion, raised=tuple(sign for sign in signs if sign.raised))


def worst_accuracy(predicted: pd.DataFrame, *, eps: float, resamples: int, seed: int) -> Interval:
    """Share of eyes named rightly at P = 1/2 under every attack, the mean of both classes.

    Of a class that one eye in ten shows, the plain share says little: naming nobody reaches .9.
    The mean of sensitivity and specificity is the AUROC of a score with two values.

    Args:
        predicted: With rows of the attack ``worst``.
        eps: Which budget.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.
    """
    eyes = predicted[(predicted["attack"] == WORST) & (predicted["eps"] == eps)]
    called = (eyes["logit"] > 0).astype(float)
    return clustered_auroc(
        eyes["label"], called, eyes["person_group"], resamples=resamples, seed=seed
    )
