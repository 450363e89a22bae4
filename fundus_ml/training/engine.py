"""One training engine: clean, adversarial and self-supervised epochs differ only in their loss.

What a step does depends on the weights, the seed, the epoch and the step, and on nothing else: a
training that was killed goes on from its checkpoint to the same bits.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from fundus_ml.dataset import FundusDataset, read_batches
from fundus_ml.errors import InputError
from fundus_ml.precision import autocast, trained_in
from fundus_ml.training.checkpoints import Checkpoints, Saved, fill_optimizer, flat_optimizer
from fundus_ml.training.distribution import (
    add_up,
    bare,
    shared,
    unsynchronised,
    wait,
    world,
)
from fundus_ml.training.memory import explain_out_of_memory, is_out_of_memory
from fundus_ml.training.optimization import (
    averaged,
    freeze,
    make_optimizer,
    make_schedule,
    training_mode,
)
from fundus_ml.training.options import TrainingOptions
from fundus_ml.training.sampling import epoch_order, shares, step_seed

if TYPE_CHECKING:
    from torch.optim.swa_utils import AveragedModel

STEPS_BETWEEN_CHECKS = 20
"""On a GPU, where asking whether a loss is finite waits for it."""

OnStep = Callable[[int, int], None]
OnEpochEnd = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True)
class Batch:
    """This process's share of one step, or the part of it that one pass takes.

    Attributes:
        images: ``(n, 3, H, W)`` float32 in [0, 1], channels-last, not augmented.
        labels: ``(n,)`` float32, 0 or 1.
        rows: ``(n,)`` positions in the training dataset.
        first: Where ``images`` begin in the whole batch of all processes.
        of: Images of the whole batch.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor
    first: int
    of: int


class Objective(Protocol):
    """What is learned."""

    @property
    def criterion(self) -> str:
        """Column of the history that chooses the best epoch; larger is better."""

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean loss of ``batch``, under autocast.

        Args:
            model: To call; :func:`fundus_ml.training.distribution.bare` gives the network itself.
            batch: What to learn from.
            generator: Seeded by the step alone, alike in all processes and passes.
        """

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Measure ``model`` after an epoch; holds ``criterion``."""


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
    learning = _Learning(model, train, objective, options, checkpoints)
    for row in learning.so_far.history:
        if on_epoch_end is not None:
            on_epoch_end(row)
    cuda = [torch.cuda.current_device()] if learning.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), _frozen_for_good(model, options.freeze):
        learning.begin()
        with shared(model) as called:
            while not learning.over():
                learning.epoch(called, on_step)
                learning.close_epoch()
                if on_epoch_end is not None:
                    on_epoch_end(learning.so_far.history[-1])
    return learning.fitted()


@dataclass
class _SoFar:
    """All of a training but its weights and its optimizer."""

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


_PLAIN = tuple(
    name for name in _SoFar.__dataclass_fields__ if name not in {"losses", "seconds", "best"}
)


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
        self.device = next(model.parameters()).device
        self.precision = trained_in(options.precision, self.device)
        self.steps_per_epoch = len(train) // options.batch_size
        saved = checkpoints.load() if checkpoints is not None else None
        self.saved = saved
        self.so_far = _so_far(saved)

    def begin(self) -> None:
        """Make the optimizer and all that goes with it, as they were where the training stood."""
        self.model.to(memory_format=torch.channels_last)
        if self.saved is not None:
            self.model.load_state_dict(self.saved.tensors["model"])
        self.optimizer = make_optimizer(self.model, self.options)
        self.schedule = make_schedule(self.optimizer, self.options, self.steps_per_epoch)
        self.averaged: AveragedModel | None = averaged(self.model, self.options.ema)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        if self.saved is not None:
            plain = self.saved.progress["optimizer"]
            fill_optimizer(self.optimizer, self.saved.tensors.get("optimizer", {}), plain)
            self.scaler.load_state_dict(self.saved.progress["scaler"])
            self.schedule.last_epoch = self.so_far.steps
            if self.averaged is not None:
                self.averaged.load_state_dict(self.saved.tensors["averaged"])
        self.saved = None

    def over(self) -> bool:
        """Whether all epochs are done, or none of the last ones was better."""
        done = self.so_far.epoch - 1
        waited = done - self.so_far.best_epoch
        return done >= self.options.epochs or 0 < self.options.patience <= waited

    def epoch(self, called: nn.Module, on_step: OnStep | None) -> None:
        """Learn what is left of the epoch."""
        options, so_far = self.options, self.so_far
        weighted = options.balance == "sampler"
        order = epoch_order(self.train, seed=options.seed, epoch=so_far.epoch, weighted=weighted)
        parts = shares(order, options.batch_size, world(), after=so_far.batch)
        training_mode(self.model, options.freeze)
        started = step_started = time.perf_counter()
        for batch in self._batches(parts):
            self._step(called, batch)
            now = time.perf_counter()
            so_far.seconds.append(now - step_started)
            step_started = now
            if on_step is not None:
                on_step(so_far.steps, self.steps_per_epoch * options.epochs)
            if self.checkpoints is not None and self.checkpoints.due():
                so_far.epoch_seconds += now - started
                started = now
                self.save()
        so_far.epoch_seconds += time.perf_counter() - started

    def close_epoch(self) -> None:
        """Validate, compare with the best epoch, write the row and the checkpoint."""
        so_far = self.so_far
        self._check_losses()
        started = time.perf_counter()
        losses = torch.stack(so_far.losses).mean()
        row = {
            "epoch": float(so_far.epoch),
            "lr": so_far.rates[0],
            "train_loss": float(add_up(losses)) / world().size,
        }
        kept = self.model if self.averaged is None else self.averaged.module
        row |= self.objective.validate(kept)
        row["seconds"] = so_far.epoch_seconds + time.perf_counter() - started
        so_far.history.append(row)
        if row[self.objective.criterion] > so_far.best_value:
            so_far.best_value = row[self.objective.criterion]
            so_far.best_epoch = so_far.epoch
            so_far.best = copy.deepcopy(kept.state_dict())
        so_far.losses, so_far.rates, so_far.epoch_seconds = [], [], 0.0
        so_far.epoch, so_far.batch = so_far.epoch + 1, 0
        if self.checkpoints is not None:
            self.save()

    def save(self) -> None:
        """Write a checkpoint; the first process does."""
        assert self.checkpoints is not None
        self._check_losses()
        if world().first:
            tensors, plain = flat_optimizer(self.optimizer)
            so_far = self.so_far
            parts = {
                "model": self.model.state_dict(),
                "optimizer": tensors,
                "best": so_far.best,
                "averaged": {} if self.averaged is None else self.averaged.state_dict(),
                "steps": {
                    "losses": torch.stack(so_far.losses) if so_far.losses else torch.empty(0),
                    "seconds": torch.tensor(so_far.seconds, dtype=torch.float64),
                },
            }
            progress: dict[str, object] = {name: getattr(so_far, name) for name in _PLAIN}
            progress |= {"optimizer": plain, "scaler": self.scaler.state_dict()}
            self.checkpoints.save(so_far.steps, parts, progress)
        wait()

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

    def _batches(self, parts: Iterator[Tensor]) -> Iterator[Batch]:
        labels = torch.from_numpy(self.train.labels)
        size = self.options.batch_size // world().size
        for rows, images in read_batches(self.train, parts, device=self.device):
            yield Batch(
                images,
                labels[rows].to(self.device),
                rows,
                first=world().rank * size,
                of=self.options.batch_size,
            )

    def _step(self, called: nn.Module, batch: Batch) -> None:
        so_far, options = self.so_far, self.options
        seed = step_seed(options.seed, so_far.epoch, so_far.batch + 1)
        torch.manual_seed(seed ^ world().rank)
        so_far.rates.append(self.optimizer.param_groups[-1]["lr"])
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        parts = _parts(batch, options.accumulate)
        for place, part in enumerate(parts):
            last = place == len(parts) - 1
            with _nothing() if last else unsynchronised(called):
                total += self._backward(called, part, seed, share=1 / len(parts))
        if options.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), options.clip_norm)
        so_far.losses.append(total)
        so_far.batch, so_far.steps = so_far.batch + 1, so_far.steps + 1
        if self.device.type == "cpu" or so_far.steps % STEPS_BETWEEN_CHECKS == 0:
            self._check_losses()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)

    def _backward(self, called: nn.Module, part: Batch, seed: int, *, share: float) -> Tensor:
        """Add this part's gradient; give back what it adds to the loss of the step."""
        try:
            loss = self._loss(called, part, seed) * share
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self.optimizer.zero_grad(set_to_none=True)
            raise explain_out_of_memory(
                self.options,
                world().size,
                lambda images: self._try(_first(part, images), seed),
            ) from None
        return loss.detach()

    def _loss(self, called: nn.Module, part: Batch, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        with autocast(self.precision, self.device):
            return self.objective.loss(called, part, generator)

    def _try(self, part: Batch, seed: int) -> None:
        self._loss(bare(self.model), part, seed).backward()  # type: ignore[no-untyped-call]
        self.optimizer.zero_grad(set_to_none=True)

    def _check_losses(self) -> None:
        so_far = self.so_far
        if not so_far.losses:
            return
        losses = torch.stack(so_far.losses)
        wrong = (~torch.isfinite(losses)).nonzero()
        if len(wrong):
            place = int(wrong[0])
            step = so_far.steps - len(so_far.losses) + place + 1
            kept = self.checkpoints.folder if self.checkpoints is not None else None
            raise InputError(
                f"train_loss={float(losses[place])} at step {step} (epoch {so_far.epoch}) with "
                f"lr={so_far.rates[place]:.3g}: training diverged; lower lr, or set clip_norm"
                + (f"; the last good state is in {kept}" if kept else "")
            )


def _so_far(saved: Saved | None) -> _SoFar:
    if saved is None:
        return _SoFar()
    progress: Mapping[str, Any] = saved.progress
    steps = saved.tensors["steps"]
    return _SoFar(
        **{name: progress[name] for name in _PLAIN},
        losses=list(steps["losses"]),
        seconds=steps["seconds"].tolist(),
        best=saved.tensors.get("best", {}),
    )


def _check_batch(train: FundusDataset, options: TrainingOptions) -> None:
    if options.batch_size > len(train):
        raise InputError(
            f"batch_size={options.batch_size}: larger than the {len(train)} training eyes of "
            f"{train.name}; at most {len(train)}"
        )
    parts = world().size * options.accumulate
    if options.batch_size % parts:
        raise InputError(
            f"batch_size={options.batch_size}: must be a multiple of {parts} "
            f"({world().size} processes, accumulate={options.accumulate})"
        )


def _parts(batch: Batch, accumulate: int) -> list[Batch]:
    if accumulate == 1:
        return [batch]
    size = len(batch.images) // accumulate
    return [_slice(batch, start, start + size) for start in range(0, len(batch.images), size)]


def _first(batch: Batch, images: int) -> Batch:
    return _slice(batch, 0, images)


def _slice(batch: Batch, start: int, end: int) -> Batch:
    return Batch(
        batch.images[start:end],
        batch.labels[start:end],
        batch.rows[start:end],
        batch.first + start,
        batch.of,
    )


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _frozen_for_good(model: nn.Module, what: str) -> Iterator[None]:
    """Freeze for the training; what asked for gradients before asks for them again after."""
    asking = [parameter for parameter in model.parameters() if parameter.requires_grad]
    freeze(model, what)
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_()
