"""One training engine: clean and adversarial epochs differ only in the images they see."""

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fundus_ml.attacks import frozen
from fundus_ml.dataset import FundusDataset, batches
from fundus_ml.errors import InputError
from fundus_ml.precision import autocast, check_precision
from fundus_ml.statistics import auroc

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "step")

Perturb = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]
"""Model, images ``(N, 3, H, W)``, labels ``(N,)``, generator → the images to learn from."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How long, how fast and on what the engine learns."""

    epochs: int = 10
    """Passes over the training split."""
    batch_size: int = 32
    """Images per step."""
    lr: float = 1e-3
    """Peak learning rate."""
    optimizer: str = "adamw"
    """adamw or sgd (Nesterov)."""
    schedule: str = "cosine"
    """cosine to zero, or step: a tenth after each third of the training steps."""
    momentum: float = 0.9
    """Of sgd."""
    weight_decay: float = 0.05
    """Decoupled in adamw, L2 in sgd."""
    flip: bool = True
    """Mirror training images at random, so that laterality is no cue."""
    precision: str = "auto"
    """auto (bf16 where the hardware multiplies it), fp32 or bf16."""
    seed: int = 0
    """Of the weights, the order, the flips, dropout and the perturbations."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        for name, value, least in (
            ("epochs", self.epochs, 1),
            ("batch_size", self.batch_size, 2),
            ("momentum", self.momentum, 0),
            ("weight_decay", self.weight_decay, 0),
            ("seed", self.seed, 0),
        ):
            if not least <= value < math.inf:
                raise InputError(f"{name}={value}: must be at least {least}")
        if not 0 < self.lr < math.inf:
            raise InputError(f"lr={self.lr}: must be a finite number above 0")
        if self.optimizer not in OPTIMIZERS:
            raise InputError(f"optimizer={self.optimizer}: allowed: {', '.join(OPTIMIZERS)}")
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule={self.schedule}: allowed: {', '.join(SCHEDULES)}")
        check_precision(self.precision)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The best epoch of a fit.

    Attributes:
        model: With the weights of ``best_epoch``, in evaluation mode.
        history: One row per epoch: ``epoch``, ``lr``, ``train_loss``, ``val_loss``,
            ``val_auroc``, ``seconds``, and ``robust_val_auroc`` when the epochs were adversarial.
        best_epoch: The epoch with the highest ``criterion``.
        criterion: ``val_auroc``, or ``robust_val_auroc`` when the epochs were adversarial.
        seconds_per_step: Median over all training steps, reading and perturbing included.
    """

    model: nn.Module
    history: pd.DataFrame
    best_epoch: int
    criterion: str
    seconds_per_step: float


@dataclass
class _Best:
    criterion: str
    value: float = -1.0
    epoch: int = 0
    state: Mapping[str, Tensor] = field(default_factory=dict)

    def offer(self, row: Mapping[str, float], model: nn.Module) -> None:
        if row[self.criterion] > self.value:
            self.value, self.epoch = row[self.criterion], int(row["epoch"])
            self.state = copy.deepcopy(model.state_dict())


def fit(
    model: nn.Module,
    train: FundusDataset,
    val: FundusDataset,
    options: TrainingOptions,
    *,
    perturb: Perturb | None = None,
    on_step: Callable[[int, int], None] | None = None,
    on_epoch_end: Callable[[Mapping[str, float]], None] | None = None,
) -> Fitted:
    """Train ``model`` in place and return it as it was at its best validation epoch.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits; stays on its device.
        train: Eyes to learn from.
        val: Eyes that choose the epoch.
        options: How to learn.
        perturb: Makes each batch adversarial, in training and in validation.
        on_step: Called with (steps done, steps in all) after each step.
        on_epoch_end: Called with the row of ``Fitted.history``; may raise to stop the fit.

    Raises:
        InputError: A split holds one class only, or a loss is no longer finite.
    """
    for name, dataset in (("train", train), ("val", val)):
        if len(set(dataset.labels.tolist())) < 2:  # noqa: PLR2004 (two classes)
            raise InputError(f"split {name} of {dataset.name}: holds one sex only, both are needed")
    device = next(model.parameters()).device
    model.to(memory_format=torch.channels_last)
    steps_per_epoch = max(1, len(train) // options.batch_size)
    optimizer = _make_optimizer(model, options)
    scheduler = _make_schedule(optimizer, options, steps_per_epoch)
    generator = torch.Generator().manual_seed(options.seed)
    best = _Best("val_auroc" if perturb is None else "robust_val_auroc")
    history, step_seconds = [], []
    drop_last = len(train) >= options.batch_size
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(options.seed)
        for epoch in range(1, options.epochs + 1):
            started = step_started = time.perf_counter()
            lr, losses = optimizer.param_groups[0]["lr"], []
            model.train()
            for images, labels in batches(
                train, options.batch_size, generator=generator, drop_last=drop_last, device=device
            ):
                images = _flip(images, generator) if options.flip else images  # noqa: PLW2901
                if perturb is not None:
                    images = perturb(model, images, labels, generator)  # noqa: PLW2901
                losses.append(_learn(model, optimizer, images, labels, options.precision))
                scheduler.step()
                step_seconds.append(time.perf_counter() - step_started)
                if on_step is not None:
                    on_step(len(step_seconds), steps_per_epoch * options.epochs)
                step_started = time.perf_counter()
            row = {"epoch": float(epoch), "lr": lr}
            row["train_loss"] = _finite("train_loss", torch.stack(losses).mean(), epoch)
            row |= _validate(model, val, options, perturb, epoch)
            row["seconds"] = time.perf_counter() - started
            history.append(row)
            best.offer(row, model)
            if on_epoch_end is not None:
                on_epoch_end(row)
    model.load_state_dict(best.state)
    return Fitted(
        model=model.eval(),
        history=pd.DataFrame(history).astype({"epoch": int}),
        best_epoch=best.epoch,
        criterion=best.criterion,
        seconds_per_step=float(np.median(step_seconds)),
    )


def predict(
    model: nn.Module,
    dataset: FundusDataset,
    *,
    batch_size: int,
    precision: str = "auto",
    perturb: Perturb | None = None,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Score every eye of ``dataset`` in its order; the model is given back as it was.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits; used in evaluation mode.
        dataset: Eyes to score.
        batch_size: Images per pass.
        precision: ``auto``, ``fp32`` or ``bf16``.
        perturb: Attacks each batch first, away from its labels.
        seed: Of the perturbation's random start.
        on_step: Called with (eyes done, eyes in all).

    Returns:
        ``(len(dataset),)`` float32 logits on the CPU.
    """
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    logits: list[Tensor] = []
    with frozen(model):
        for images, labels in batches(dataset, batch_size, device=device):
            if perturb is not None:
                images = perturb(model, images, labels, generator)  # noqa: PLW2901
            with torch.inference_mode(), autocast(precision, device):
                logits.append(model(images).float().cpu())
            if on_step is not None:
                on_step(sum(map(len, logits)), len(dataset))
    return torch.cat(logits).clone()


def _learn(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    precision: str,
) -> Tensor:
    optimizer.zero_grad(set_to_none=True)
    with autocast(precision, images.device):
        logit = model(images)
    loss = binary_cross_entropy_with_logits(logit.float(), labels)
    loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
    optimizer.step()
    return loss.detach()


def _validate(
    model: nn.Module,
    val: FundusDataset,
    options: TrainingOptions,
    perturb: Perturb | None,
    epoch: int,
) -> dict[str, float]:
    labels = torch.from_numpy(val.labels)
    logit = predict(model, val, batch_size=options.batch_size, precision=options.precision)
    loss = binary_cross_entropy_with_logits(logit, labels)
    row = {
        "val_loss": _finite("val_loss", loss, epoch),
        "val_auroc": auroc(val.labels, logit.numpy()),
    }
    if perturb is not None:
        logit = predict(
            model,
            val,
            batch_size=options.batch_size,
            precision=options.precision,
            perturb=perturb,
            seed=options.seed,
        )
        row["robust_val_auroc"] = auroc(val.labels, logit.numpy())
    return row


def _make_optimizer(model: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if options.optimizer == "adamw":
        return torch.optim.AdamW(trainable, lr=options.lr, weight_decay=options.weight_decay)
    return torch.optim.SGD(
        trainable,
        lr=options.lr,
        momentum=options.momentum,
        nesterov=options.momentum > 0,
        weight_decay=options.weight_decay,
    )


def _make_schedule(
    optimizer: torch.optim.Optimizer, options: TrainingOptions, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LRScheduler:
    total = options.epochs * steps_per_epoch
    if options.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total)
    return torch.optim.lr_scheduler.StepLR(optimizer, step_size=math.ceil(total / 3), gamma=0.1)


def _flip(images: Tensor, generator: torch.Generator) -> Tensor:
    chosen = torch.rand(len(images), generator=generator).to(images.device) < 0.5  # noqa: PLR2004
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(3), images)


def _finite(name: str, loss: Tensor, epoch: int) -> float:
    value = float(loss)
    if not math.isfinite(value):
        raise InputError(f"{name}={value} in epoch {epoch}: training diverged; lower lr")
    return value
