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
CHANCE = 0.5
"""Worst-case AUROC that a network which knows nothing of the classes cannot exceed but by luck: its
scores rank the classes at 1/2 unattacked, and every attack moves both towards each other."""
GATE_STEPS = 40
"""Steps of APGD at the gate."""
GATE_QUERIES = 100
"""Queries of Square at the gate."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a version is robust, and why.

    Attributes:
        criteria: Worst-case balanced accuracy against naming one class only, and worst-case AUROC
            against what a network that knows nothing reaches.
        raised: Signs of gradient masking that are up.
    """

    criteria: tuple[Criterion, ...]
    raised: tuple[Sign, ...]

    @property
    def passed(self) -> bool:
        """Whether both whole intervals lie above their bars and no sign is up."""
        return all(criterion.passed for criterion in self.criteria) and not self.raised

    @property
    def reason(self) -> str:
        """The criteria with their figures, and the signs that are up, in one line."""
        signs = ", ".join(sign.brief for sign in self.raised)
        criteria = "; ".join(map(str, self.criteria))
        return f"{criteria}; gradient masking: {signs or 'none'}"


def gate_suite(
    constraint: str, eps: float, *, batch_size: int, precision: str, seed: int
) -> AttackSuite:
    """Make the short attack suite of the gate: few attacks.

    Eyes named wrongly are attacked on: the AUROC would be too high if they were left.
    """
    return AttackSuite(
        constraint=constraint,
        eps=(eps,),
        attacks=GATE_ATTACKS,
        attack_steps=GATE_STEPS,
        restarts=1,
        queries=GATE_QUERIES,
        distances=False,
        batch_size=batch_size,
        precision=precision,
        seed=seed,
    )


def judge_robustness(
    attacked: Attacked, signs: Sequence[Sign], *, eps: float, resamples: int, seed: int
) -> Verdict:
    """Hold worst-case balanced accuracy and AUROC at ``eps`` against what needs no knowledge.

    Args:
        attacked: What an attack suite found at ``eps``.
        signs: Signs of gradient masking, in the same attack suite.
        eps: Budget the version was trained for.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.
    """
    accuracy = Criterion(
        name=f"worst-case balanced accuracy at eps {eps:g}",
        measured=worst_accuracy(attacked.predicted, eps=eps, resamples=resamples, seed=seed),
        bar=ONE_CLASS,
        against="always naming one class",
    )
    ranking = Criterion(
        name="worst-case AUROC",
        measured=worst_auroc(attacked.predicted, eps=eps, resamples=resamples, seed=seed),
        bar=CHANCE,
        against="a network that knows nothing",
    )
    raised = tuple(sign for sign in signs if sign.raised)
    return Verdict(criteria=(accuracy, ranking), raised=raised)


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
    eyes = _worst(predicted, eps)
    called = (eyes["logit"] > 0).astype(float)
    return clustered_auroc(
        eyes["label"], called, eyes["person_group"], resamples=resamples, seed=seed
    )


def worst_auroc(predicted: pd.DataFrame, *, eps: float, resamples: int, seed: int) -> Interval:
    """AUROC of the most wrong logit of each eye, clean or under any attack.

    Args:
        predicted: With rows of the attack ``worst``.
        eps: Which budget.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.
    """
    eyes = _worst(predicted, eps)
    return clustered_auroc(
        eyes["label"], eyes["logit"], eyes["person_group"], resamples=resamples, seed=seed
    )


def _worst(predicted: pd.DataFrame, eps: float) -> pd.DataFrame:
    return predicted[(predicted["attack"] == WORST) & (predicted["eps"] == eps)]
