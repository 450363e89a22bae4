"""Methods by name."""

from fundus_ml.attacks.step_sizes import StepSize, step_length
from fundus_ml.attacks.threat_models import ThreatModel
from fundus_ml.robust_training.fast import FastTraining
from fundus_ml.robust_training.free import FreeTraining
from fundus_ml.robust_training.method import Method
from fundus_ml.robust_training.options import check_method
from fundus_ml.robust_training.projected_gradient import PGDTraining
from fundus_ml.robust_training.trades import TradesTraining

FAST_STEP = 1.25
"""Radii that the one step of ``fast`` is long under ``linf`` (Wong et al. 2020)."""


def make_method(
    method: str,
    *,
    threat: ThreatModel,
    step_size: StepSize,
    attack_steps: int,
    random_start: bool,
    beta: float = 6.0,
    replays: int = 4,
    precision: str = "auto",
) -> Method:
    """Choose a method of adversarial training by name.

    Args:
        method: One of :data:`~fundus_ml.robust_training.options.METHODS`.
        threat: Ball the training images may move in; one radius for all.
        step_size: Length of one attack step; ``auto`` is 2.5·eps/attack_steps for ``pgd`` and
            ``trades``, 1.25·eps for ``fast`` under ``linf``, and eps for ``fast`` under ``l2`` and
            for ``free``.
        attack_steps: Attack steps of ``pgd`` and ``trades``.
        random_start: Random start of ``pgd``; the others have their own.
        beta: Parameter of ``trades``.
        replays: Replays of ``free``.
        precision: Precision of the attack's passes.

    Raises:
        InputError: ``method`` is none of :data:`~fundus_ml.robust_training.options.METHODS`, or a
            number is outside its range.
    """
    check_method(method, beta=beta, replays=replays)
    assert isinstance(threat.eps, (int, float))
    length = step_length(step_size, eps=threat.eps, attack_steps=attack_steps)
    if method == "trades":
        return TradesTraining(
            threat=threat,
            step_size=length,
            attack_steps=attack_steps,
            beta=beta,
            precision=precision,
        )
    if method == "pgd":
        return PGDTraining(
            threat=threat,
            step_size=length,
            attack_steps=attack_steps,
            random_start=random_start,
            precision=precision,
        )
    if step_size == "auto":
        long = method == "fast" and threat.constraint == "linf"
        length = threat.eps * (FAST_STEP if long else 1.0)
    if method == "fast":
        return FastTraining(threat=threat, step_size=length, precision=precision)
    return FreeTraining(threat=threat, step_size=length, replays=replays)
