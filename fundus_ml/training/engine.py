"""One training engine: clean, adversarial and self-supervised epochs differ only in their loss.

What a step does depends on the weights, the seed, the epoch and the step, and on nothing else: a
training that was killed goes on from its checkpoint to the same bits.
"""

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from fundus_ml.data.dataset import FundusDataset, read_batches
from fundus_ml.errors import InputError
from fundus_ml.models.options import BACKBONE
from fundus_ml.training.checkpoints import Checkpoints
from fundus_ml.training.distribution import add_up, shared, world
from fundus_ml.training.objective import Batch, Objective
from fundus_ml.training.optimization import freeze, training_mode
from fundus_ml.training.options import TrainingOptions
from fundus_ml.training.sampling import Replays, epoch_order, shares, step_seed
from fundus_ml.training.state import TrainingState
from fundus_ml.training.stepping import Stepper

STEPS_BETWEEN_CHECKS = 20
"""On a GPU, where asking whether a loss is finite waits for it."""

OnStep = Callable[[int, int], None]
OnEpochEnd = Callable[[Mapping[str, float]], None]
Ends = Callable[[Sequence[Mapping[str, float]]], str]
"""Rows of the epochs that are over → why the training should end with them; empty to go on."""


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
        ended: Why it was ended before its last epoch by ``ends``; empty where it was not.
    """

    model: nn.Module
    history: pd.DataFrame
    best_epoch: int
    criterion: str
    seconds_per_step: float
    ended: str = ""


def learn(
    model: nn.Module,
    train: FundusDataset,
    objective: Objective,
    options: TrainingOptions,
    *,
    replays: int = 1,
    ends: Ends | None = None,
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
        replays: Steps in a row that learn from one batch, augmented alike. An epoch is as long as
            without them and goes over a part of the split: see :class:`.sampling.Replays`.
        ends: Asked after each epoch whether the training should end with it.
        checkpoints: Where the training is kept while it lasts, and goes on from where it stood.
        on_step: Called with (steps done, steps in all) after each step.
        on_epoch_end: Called with the row of ``Fitted.history``, those from before an interruption
            too; may raise to stop the fit.

    Raises:
        InputError: A batch is larger than the dataset or cannot be shared, there are too few
            batches or epochs for ``replays``, a loss is no longer finite, or the memory does not
            hold a batch.
    """
    _check_batch(train, options)
    repeats = Replays(replays, len(train) // options.batch_size)
    _check_replays(repeats, options)
    cuda = [torch.cuda.current_device()] if next(model.parameters()).is_cuda else []
    with torch.random.fork_rng(devices=cuda), _held_still(model, options.freeze):
        learning = _Learning(
            model, train, objective, options, replays=repeats, ends=ends, checkpoints=checkpoints
        )
        for row in learning.state.history:
            if on_epoch_end is not None:
                on_epoch_end(row)
        while not learning.over():
            with _held_still(model, learning.still()), shared(model) as called:
                learning.epoch(called, on_step)
            row = learning.close_epoch()
            if on_epoch_end is not None:
                on_epoch_end(row)
    return learning.fitted()


class _Learning:
    """A training under way."""

    def __init__(
        self,
        model: nn.Module,
        train: FundusDataset,
        objective: Objective,
        options: TrainingOptions,
        *,
        replays: Replays,
        ends: Ends | None,
        checkpoints: Checkpoints | None,
    ) -> None:
        self.model, self.train, self.objective, self.options = model, train, objective, options
        self.replays, self.ends, self.checkpoints = replays, ends, checkpoints
        self.steps_per_epoch = replays.steps
        self.state = TrainingState()
        model.to(memory_format=torch.channels_last)
        self.stepper = Stepper(model, objective, options, self.steps_per_epoch)
        if checkpoints is not None and (saved := checkpoints.load()) is not None:
            self.state = TrainingState.of(saved, device=next(model.parameters()).device)
            self.stepper.restore(saved, steps=self.state.steps)

    def over(self) -> bool:
        """Whether all epochs are done, none of the last ones was better, or one has to be last."""
        done = self.state.epoch - 1
        waited = done - self.state.best_epoch
        if done >= self.options.epochs or 0 < self.options.patience <= waited:
            return True
        return bool(self.ended())

    def ended(self) -> str:
        """Say why the training should end after the epochs so far; empty where it should not."""
        return "" if self.ends is None else self.ends(self.state.history)

    def still(self) -> str:
        """Say what stays as it is in this epoch: see ``TrainingOptions.freeze``."""
        return BACKBONE if self.state.epoch <= self.options.head_epochs else self.options.freeze

    def epoch(self, called: nn.Module, on_step: OnStep | None) -> None:
        """Learn what is left of the epoch."""
        state, seed = self.state, self.options.seed
        weighted = self.options.balance == "sampler"
        passage = self.replays.passage(state.epoch)
        order = epoch_order(self.train, seed=seed, epoch=passage, weighted=weighted)
        order = self.replays.of(order, self.options.batch_size, state.epoch)
        parts = shares(order, self.options.batch_size, world(), after=state.batch)
        training_mode(self.model, self.still())
        started = time.perf_counter()
        for batch in self._batches(parts):
            self._step(called, batch)
            seconds = time.perf_counter() - started
            state.seconds.append(seconds)
            state.epoch_seconds += seconds
            if on_step is not None:
                on_step(state.steps, self.steps_per_epoch * self.options.epochs)
            whole = state.batch % self.replays.count == 0
            if whole and self.checkpoints is not None and self.checkpoints.due():
                self._save(self.checkpoints)
            started = time.perf_counter()

    def close_epoch(self) -> dict[str, float]:
        """Validate, compare with the best epoch, write the row and the checkpoint."""
        state = self.state
        self._check_losses()
        started = time.perf_counter()
        row = {
            "epoch": float(state.epoch),
            "lr": state.rates[0],
            "train_loss": float(add_up(torch.stack(state.losses).mean())) / world().size,
        }
        row |= self.objective.validate(self.stepper.kept)
        row["seconds"] = state.epoch_seconds + time.perf_counter() - started
        state.history.append(row)
        if row[self.objective.criterion] > state.best_value:
            state.best_value = row[self.objective.criterion]
            state.best_epoch = state.epoch
            state.best = copy.deepcopy(self.stepper.kept.state_dict())
        state.losses, state.rates, state.epoch_seconds = [], [], 0.0
        state.epoch, state.batch = state.epoch + 1, 0
        if self.checkpoints is not None:
            self._save(self.checkpoints)
        return row

    def fitted(self) -> Fitted:
        """Give the best epoch back."""
        state = self.state
        self.model.load_state_dict(state.best)
        return Fitted(
            model=self.model.eval(),
            history=pd.DataFrame(state.history).astype({"epoch": int}),
            best_epoch=state.best_epoch,
            criterion=self.objective.criterion,
            seconds_per_step=float(np.median(state.seconds)),
            ended=self.ended(),
        )

    def _save(self, checkpoints: Checkpoints) -> None:
        self._check_losses()
        if world().first:
            checkpoints.save(
                self.state.steps,
                self.stepper.tensors() | self.state.tensors(),
                self.stepper.plain() | self.state.plain(),
            )

    def _batches(self, parts: Iterator[Tensor]) -> Iterator[Batch]:
        device, whole = self.stepper.device, self.options.batch_size
        labels = torch.from_numpy(self.train.labels)
        first = world().rank * (whole // world().size)
        for rows, images in read_batches(self.train, parts, device=device):
            yield Batch(images, labels[rows].to(device), rows, first=first, of=whole)

    def _step(self, called: nn.Module, batch: Batch) -> None:
        state, replays = self.state, self.replays
        passage, place = replays.passage(state.epoch), replays.place(state.epoch, state.batch)
        seed = step_seed(self.options.seed, passage, place + 1)
        progress = state.epoch - 1 + (state.batch + 1) / self.steps_per_epoch
        batch = replace(batch, progress=progress, replay=state.batch % replays.count)
        state.rates.append(self.stepper.rate)
        loss = self.stepper.gradients(called, batch, seed=seed)
        state.losses.append(loss)
        state.batch, state.steps = state.batch + 1, state.steps + 1
        if loss.is_cuda:
            doubtful = state.steps % STEPS_BETWEEN_CHECKS == 0
        else:
            doubtful = not bool(torch.isfinite(loss))
        if doubtful:
            self._check_losses()
        self.stepper.step()

    def _check_losses(self) -> None:
        state = self.state
        losses = torch.stack(state.losses) if state.losses else torch.empty(0)
        wrong = (~torch.isfinite(losses)).nonzero()
        if not len(wrong):
            return
        place = int(wrong[0])
        step = state.steps - len(losses) + place + 1
        kept = self.checkpoints.folder if self.checkpoints is not None else None
        raise InputError(
            f"train_loss={float(losses[place])} at step {step} (epoch {state.epoch}) with "
            f"lr={state.rates[place]:.3g}: training diverged; lower lr, or set clip_norm"
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


def _check_replays(replays: Replays, options: TrainingOptions) -> None:
    for what, enough in (("batches", replays.batches), ("epochs", options.epochs)):
        if replays.count > enough:
            raise InputError(
                f"replays={replays.count}: more than the {enough} {what}; an epoch learns from one "
                "part in so many of the batches"
            )


@contextmanager
def _held_still(model: nn.Module, what: str) -> Iterator[None]:
    """Freeze for a while; what asked for gradients before asks for them again after."""
    asking = [parameter for parameter in model.parameters() if parameter.requires_grad]
    freeze(model, what)
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_()
