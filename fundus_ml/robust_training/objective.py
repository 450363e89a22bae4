"""Adversarial epochs as the engine sees them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fundus_ml.data.dataset import FundusDataset
from fundus_ml.robust_training.method import Method, warmed
from fundus_ml.robust_training.options import check_eps_warmup
from fundus_ml.robust_training.overfitting_monitor import (
    MANY_STEPS,
    ONE_STEP,
    OverfittingMonitor,
    balanced_accuracy,
    one_step,
    watched,
)
from fundus_ml.robust_training.projected_gradient import PGDTraining
from fundus_ml.training.checkpoints import Checkpoints
from fundus_ml.training.classification import SexObjective, check_both_sexes
from fundus_ml.training.engine import Fitted, OnEpochEnd, OnStep, learn
from fundus_ml.training.objective import Batch
from fundus_ml.training.options import TrainingOptions
from fundus_ml.training.prediction import Perturb


def fit_robust(
    model: nn.Module,
    train: FundusDataset,
    val: FundusDataset,
    options: TrainingOptions,
    *,
    method: Method,
    validation_attack: PGDTraining,
    eps_warmup: float = 0.0,
    overfitting_monitor: float = 0.0,
    checkpoints: Checkpoints | None = None,
    on_step: OnStep | None = None,
    on_epoch_end: OnEpochEnd | None = None,
) -> Fitted:
    """Train ``model`` in place by a method; give it back as it was at its most robust epoch.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits; stays on its device.
        train: Eyes to learn from.
        val: Eyes that choose the epoch.
        options: How to learn.
        method: What is learned from them.
        validation_attack: Attack that every epoch is validated under, whatever the method, at its
            full radius.
        eps_warmup: Epochs over which the radius and the step sizes of the method rise linearly.
        overfitting_monitor: Fall of the accuracy under ``validation_attack`` that ends the training
            where the accuracy under one step does not fall with it; 0 watches nothing.
        checkpoints: Where the training is kept while it lasts, and goes on from where it stood.
        on_step: Called with (steps done, steps in all) after each step.
        on_epoch_end: Called with the row of ``Fitted.history``: ``epoch lr train_loss val_loss
            val_auroc robust_val_auroc seconds`` and, where it is watched,
            ``pgd_val_balanced_accuracy`` and ``one_step_val_balanced_accuracy``.

    Raises:
        InputError: A value is outside its range, a split holds one class only, or as
            :func:`fundus_ml.training.engine.learn`.
    """
    check_eps_warmup(eps_warmup, epochs=options.epochs)
    dog = OverfittingMonitor(margin=overfitting_monitor) if overfitting_monitor else None
    for split, dataset in (("train", train), ("val", val)):
        check_both_sexes(split, dataset)
    return learn(
        model,
        train,
        RobustObjective(
            train=train,
            val=val,
            options=options,
            perturb=validation_attack,
            method=method,
            eps_warmup=eps_warmup,
            one_step=one_step(validation_attack) if dog is not None else None,
        ),
        options,
        replays=method.replays,
        ends=dog,
        checkpoints=checkpoints,
        on_step=on_step,
        on_epoch_end=on_epoch_end,
    )


@dataclass(frozen=True, kw_only=True)
class RobustObjective(SexObjective):
    """A method's loss, validated under one and the same attack: an ``Objective`` of the engine.

    Attributes:
        perturb: The attack that validates, at its full radius.
        method: What is learned.
        eps_warmup: Epochs over which the method's radius rises.
        one_step: The attack that the overfitting monitor compares with ``perturb``; None watches
            nothing.
    """

    method: Method
    eps_warmup: float = 0.0
    one_step: Perturb | None = None

    def losses(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Loss of each augmented image, as the method has it."""
        return self.method.losses(
            model,
            batch,
            share=warmed(batch.progress, self.eps_warmup),
            errors=lambda logit: self.errors(logit, batch.labels),
            generator=generator,
        )

    def under_attack(self, model: nn.Module, attacked: Tensor) -> dict[str, float]:
        """AUROC under attack and what the overfitting monitor looks at."""
        row = super().under_attack(model, attacked)
        if self.one_step is not None:
            rows = watched(self.val)
            eyes = self.val.select(rows)
            stepped = self.scores(model, eyes, self.one_step)
            row[MANY_STEPS] = balanced_accuracy(eyes.labels, attacked[torch.from_numpy(rows)])
            row[ONE_STEP] = balanced_accuracy(eyes.labels, stepped)
        return row
