"""Who notices that a training blinds the attack instead of resisting it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fundus_ml.data.dataset import FundusDataset
from fundus_ml.robust_training.options import check_margin
from fundus_ml.robust_training.projected_gradient import PGDTraining

EYES = 256
"""Validation eyes that are watched, at most."""
SLACK = 0.25
"""Share of the margin that the accuracy under one step may fall and still stands."""
CHANCE = 0.5
"""Balanced accuracy of one who guesses."""
MANY_STEPS, ONE_STEP = "pgd_val_balanced_accuracy", "one_step_val_balanced_accuracy"
"""Columns of the history."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class OverfittingMonitor:
    """Ends a training that overfits catastrophically.

    Its sign: the accuracy under many steps breaks down from its best epoch while the accuracy under
    one step stands or rises, above chance. The network has bent its gradients so that single steps
    lead nowhere. Accuracies are balanced over the classes: a network that names one only has a
    half under any attack, and when it begins to learn, that is no breakdown. Nor is it one where
    all logits have moved to one side of zero: the AUROC under many steps must have fallen as far.

    Attributes:
        margin: Fall of accuracy and AUROC under many steps, from their best, that is too much.

    Raises:
        InputError: ``margin`` is not above 0 and below 1.

    Source:
        Wong et al. 2020, arXiv:2001.03994; Andriushchenko & Flammarion 2020, arXiv:2007.02617.
    """

    margin: float

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        check_margin(self.margin)

    def __call__(self, history: Sequence[Mapping[str, float]]) -> str:
        """Say in one line what was seen in the newest epoch; nothing where all is well."""
        if not history:
            return ""
        now, best = history[-1], max(history, key=lambda row: row[MANY_STEPS])
        fell = all(
            max(row[name] for row in history) - now[name] > self.margin
            for name in (MANY_STEPS, "robust_val_auroc")
        )
        floor = max(best[ONE_STEP] - SLACK * self.margin, CHANCE + self.margin / 2)
        stands = now[ONE_STEP] >= floor
        if not (fell and stands):
            return ""
        return (
            f"catastrophic overfitting in epoch {now['epoch']:.0f}: accuracy under PGD "
            f"{best[MANY_STEPS]:.2f} (epoch {best['epoch']:.0f}) -> {now[MANY_STEPS]:.2f}, "
            f"under one step {best[ONE_STEP]:.2f} -> {now[ONE_STEP]:.2f}"
        )


def watched(val: FundusDataset) -> Rows:
    """Choose at most :data:`EYES` of the eyes, the same ones each time."""
    drawn = np.random.default_rng(0).permutation(len(val))[:EYES]
    return np.sort(drawn)


def one_step(validation_attack: PGDTraining) -> PGDTraining:
    """Make the one-step attack over the whole radius of ``validation_attack``, from the image."""
    assert isinstance(validation_attack.threat.eps, (int, float))
    return PGDTraining(
        threat=validation_attack.threat,
        step_size=validation_attack.threat.eps,
        attack_steps=1,
        keep_best=False,
        precision=validation_attack.precision,
    )


def balanced_accuracy(labels: NDArray[np.float32], logit: Tensor) -> float:
    """Mean share of each sex that is named rightly; ``labels`` and ``logit`` are ``(N,)``."""
    right = (logit.numpy() > 0) == (labels == 1)
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))
