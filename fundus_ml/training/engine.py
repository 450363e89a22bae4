"""One training engine: clean, adversarial and self-supervised epochs differ only in their loss.

What a step does depends on the weights, the seed, the epoch and the step, and on nothing else: a
training that was killed goes on from its checkpoint to the same bits.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from fundus_ml.dataset import FundusDataset, read_batches
from fundus_ml.errors import InputError
from fundus_ml.training.checkpoints import Checkpoints, Saved
from fundus_ml.training.distribution import add_up, shared, world
from fundus_ml.training.objective import Batch, Objective
from fundus_ml.training.optimization import freeze, training_mode
from fundus_ml.training.options import TrainingOptions
from fundus_ml.training.sampling import epoch_order, shares, step_seed
from fundus_ml.training.stepping import Stepper

STEPS_BETWEEN_CHECKS = 20
"""On a GPU, where asking whether a loss is finite waits for it."""

OnStep = Callable[[int, int], None]
OnEpochEnd = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The best epoch of a fit.

    Attributes:
        model: With the weights of ``best_epoch``, in evaluation mode.
        history: One row per epoch: ``epoch``, ``lr``, ``train_loss``, what the objective validates
            and ``seconds``.
        best_epoch: The epoch with the highest ``criterion``.
        criterion: ``val_auroc``, or ``robust_val_auroc`` when the epochs were adversarial.
        seconds_per_step: Median over all training steps, reading and perturbing included.
    """

    model: nn.Module
    history: pd.DataFrame
    best_epoch: int
    criterion: str
    seconds_per_step: float


def learn(
    model: nn.Module,
    train: FundusDataset,
    objective: Objective,
    options: TrainingOptions,
    *,
    checkpoints: Checkpoints | None = None,
    on_step: OnStep | None = None,
    on_epoch_end: OnEpochEnd | None = None,
) -> Fitted:
    """Train ``model`` in place and return it as it was at its best epoch.

    Args:
        model: Stays on its device.
        train: Eyes to learn from.
        objective: What is learned from them.
        options: How to learn.
        checkpoints: Where the training is kept while it lasts, and goes on from where it stood.
        on_step: Called with (steps done, steps in all) after each step.
        on_epoch_end: Called with the row of ``Fitted.history``, those from before an interruption
            too; may raise to stop the fit.

    Raises:
        InputError: A batch is larger than the dataset or cannot be shared, a loss is no longer
            finite, or the memory does not hold a batch.
    """
    _check_batch(train, options)
    cuda = [torch.cuda.current_device()] if next(model.parameters()).is_cuda else []
    with torch.random.fork_rng(devices=cuda), _held_still(model, options.freeze):
        learning = _Learning(model, train, objective, options, checkpoints)
        for row in learning.so_far.history:
            if on_epoch_end is not None:
                on_epoch_end(row)
        with shared(model) as called:
            while not learning.over():
                learning.epoch(called, on_step)
                row = learning.close_epoch()
                if on_epoch_end is not None:
                    on_epoch_end(row)
    return learning.fitted()


@dataclass
class _SoFar:
    """All of a training but its weights and its optimizer.

    Attributes:
        epoch: Under way, from 1.
        batch: Batches of it that were learned.
        steps: Steps in all.
        history: Rows of the epochs that are over.
        losses: Of the batches of this epoch.
        rates: Of the same.
        seconds: Of every step.
        epoch_seconds: Spent in this epoch.
        best_epoch: With the highest criterion, 0 before any.
        best_value: Its criterion.
        best: Its weights.
    """

    epoch: int = 1
    batch: int = 0
    steps: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    epoch_seconds: float = 0.0
    best_epoch: int = 0
    best_value: float = -math.inf
    best: Mapping[str, Tensor] = field(default_factory=dict)

    def tensors(self) -> dict[str, Mapping[str, Tensor]]:
        losses = torch.stack(self.losses) if self.losses else torch.empty(0)
        seconds = torch.tensor(self.seconds, dtype=torch.float64)
        return {"best": self.best, "steps": {"losses": losses, "seconds": seconds}}

    def plain(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in _PLAIN}

    @classmethod
    def of(cls, saved: Saved) -> "_SoFar":
        steps = saved.tensors["steps"]
        return cls(
            **{name: saved.progress[name] for name in _PLAIN},
            losses=list(steps["losses"]),
            seconds=steps["seconds"].tolist(),
            best=saved.tensors["best"],
        )


_PLAIN = {f.name for f in fields(_SoFar)} - {"losses", "seconds", "best"}


class _Learning:
    """A training under way."""

    def __init__(
        self,
        model: nn.Module,
        train: FundusDataset,
        objective: Objective,
        options: TrainingOptions,
        checkpoints: Checkpoints | None,
    ) -> None:
        self.model, self.train, self.objective, self.options = model, train, objective, options
        self.checkpoints = checkpoints
        self.steps_per_epoch = len(train) // options.batch_size
        self.so_far = _SoFar()
        model.to(memory_format=torch.channels_last)
        self.stepper = Stepper(model, objective, options, self.steps_per_epoch)
        if checkpoints is not None and (saved := checkpoints.load()) is not None:
            self.so_far = _SoFar.of(saved)
            self.stepper.restore(saved, steps=self.so_far.steps)

    def over(self) -> bool:
        """Whether all epochs are done, or none of the last ones was better."""
        done = self.so_far.epoch - 1
        waited = done - self.so_far.best_epoch
        return done >= self.options.epochs or 0 < self.options.patience <= waited

    def epoch(self, called: nn.Module, on_step: OnStep | None) -> None:
        """Learn what is left of the epoch."""
        so_far, seed = self.so_far, self.options.seed
        weighted = self.options.balance == "sampler"
        order = epoch_order(self.train, seed=seed, epoch=so_far.epoch, weighted=weighted)
        parts = shares(order, self.options.batch_size, world(), after=so_far.batch)
        training_mode(self.model, self.options.freeze)
        started = time.perf_counter()
        for batch in self._batches(parts):
            self._step(called, batch)
            seconds = time.perf_counter() - started
            so_far.seconds.append(seconds)
            so_far.epoch_seconds += seconds
            if on_step is not None:
                on_step(so_far.steps, self.steps_per_epoch * self.options.epochs)
            if self.checkpoints is not None and self.checkpoints.due():
                self._save(self.checkpoints)
            started = time.perf_counter()

    def close_epoch(self) -> dict[str, float]:
        """Validate, compare with the best epoch, write the row and the checkpoint."""
        so_far = self.so_far
        self._check_losses()
        started = time.perf_counter()
        row = {
            "epoch": float(so_far.epoch),
            "lr": so_far.rates[0],
            "train_loss": float(add_up(torch.stack(so_far.losses).mean())) / world().size,
        }
        row |= self.objective.validate(self.stepper.kept)
        row["seconds"] = so_far.epoch_seconds + time.perf_counter() - started
        so_far.history.append(row)
        if row[self.objective.criterion] > so_far.best_value:
            so_far.best_value = row[self.objective.criterion]
            so_far.best_epoch = so_far.epoch
            so_far.best = copy.deepcopy(self.stepper.kept.state_dict())
        so_far.losses, so_far.rates, so_far.epoch_seconds = [], [], 0.0
        so_far.epoch, so_far.batch = so_far.epoch + 1, 0
        if self.checkpoints is not None:
            self._save(self.checkpoints)
        return row

    def fitted(self) -> Fitted:
        """Give the best epoch back."""
        so_far = self.so_far
        self.model.load_state_dict(so_far.best)
        return Fitted(
            model=self.model.eval(),
            history=pd.DataFrame(so_far.history).astype({"epoch": int}),
            best_epoch=so_far.best_epoch,
            criterion=self.objective.criterion,
            seconds_per_step=float(np.median(so_far.seconds)),
        )

    def _save(self, checkpoints: Checkpoints) -> None:
        self._check_losses()
        if world().first:
            checkpoints.save(
                self.so_far.steps,
                self.stepper.tensors() | self.so_far.tensors(),
                self.stepper.plain() | self.so_far.plain(),
            )

    def _batches(self, parts: Iterator[Tensor]) -> Iterator[Batch]:
        device, whole = self.stepper.device, self.options.batch_size
        labels = torch.from_numpy(self.train.labels)
        first = world().rank * (whole // world().size)
        for rows, images in read_batches(self.train, parts, device=device):
            yield Batch(images, labels[rows].to(device), rows, first=first, of=whole)

    def _step(self, called: nn.Module, batch: Batch) -> None:
        so_far = self.so_far
        seed = step_seed(self.options.seed, so_far.epoch, so_far.batch + 1)
        so_far.rates.append(self.stepper.rate)
        loss = self.stepper.gradients(called, batch, seed=seed)
        so_far.losses.append(loss)
        so_far.batch, so_far.steps = so_far.batch + 1, so_far.steps + 1
        if loss.is_cuda:
            doubtful = so_far.steps % STEPS_BETWEEN_CHECKS == 0
        else:
            doubtful = not bool(torch.isfinite(loss))
        if doubtful:
            self._check_losses()
        self.stepper.step()

    def _check_losses(self) -> None:
        so_far = self.so_far
        losses = torch.stack(so_far.losses) if so_far.losses else torch.empty(0)
        wrong = (~torch.isfinite(losses)).nonzero()
        if not len(wrong):
            return
        place = int(wrong[0])
        step = so_far.steps - len(losses) + place + 1
        kept = self.checkpoints.folder if self.checkpoints is not None else None
        raise InputError(
            f"train_loss={float(losses[place])} at step {step} (epoch {so_far.epoch}) with "
            f"lr={so_far.rates[place]:.3g}: training diverged; lower lr, or set clip_norm"
            + (f"; the last good state is in {kept}" if kept else "")
        )


def _check_batch(train: FundusDataset, options: TrainingOptions) -> None:
    if options.batch_size > len(train):
        raise InputError(
            f"batch_size={options.batch_size}: larger than the {len(train)} training eyes of "
            f"{train.name}"
        )
    parts = world().size * options.accumulate
    if options.batch_size % parts:
        raise InputError(
            f"batch_size={options.batch_size}: must be a multiple of {parts} "
            f"({world().size} processes, accumulate={options.accumulate})"
        )


@contextmanager
def _held_still(model: nn.Module, what: str) -> Iterator[None]:
    """Freeze for the training; what asked for gradients before asks for them again after."""
    asking = [parameter for parameter in model.parameters() if parameter.requires_grad]
    freeze(model, what)
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_()
