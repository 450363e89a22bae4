"""The robust training that several benchmarks share: one long step a batch, three to choose by."""

from torch import nn

from fundus_ml.attacks import ThreatModel, step_length
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.robust_training import FastTraining, PGDTraining, fit_robust
from fundus_ml.training import Fitted, TrainingOptions

LONG_STEP = 1.25
"""Length of the attack step of training, in radii of the ball."""
VALIDATION_STEPS = 3
"""Attack steps behind the AUROC that chooses the epoch."""


def fit_by_long_steps(
    model: nn.Module,
    train: FundusDataset,
    val: FundusDataset,
    options: TrainingOptions,
    *,
    eps: float,
    eps_warmup: float,
    precision: str = "auto",
) -> Fitted:
    """Make a network robust in an L2 ball; the epoch of the highest AUROC under PGD is kept.

    Args:
        model: Is changed.
        train: Eyes to learn from.
        val: Eyes to choose the epoch by.
        options: Options of the training.
        eps: Radius; pixels lie in [0, 1].
        eps_warmup: Epochs in which the radius grows to that.
        precision: Precision of the attacks.
    """
    threat = ThreatModel(constraint="l2", eps=eps)
    return fit_robust(
        model,
        train,
        val,
        options,
        method=FastTraining(threat=threat, step_size=LONG_STEP * eps, precision=precision),
        validation_attack=PGDTraining(
            threat=threat,
            step_size=step_length("auto", eps=eps, attack_steps=VALIDATION_STEPS),
            attack_steps=VALIDATION_STEPS,
            precision=precision,
        ),
        eps_warmup=eps_warmup,
    )
