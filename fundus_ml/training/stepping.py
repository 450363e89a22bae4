"""One step of learning: passes, gradients, the optimizer, the averaged weights."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fundus_ml.models.measured_precision import PrecisionChoice, measured, settle, settled
from fundus_ml.models.precision import autocast, trained_in
from fundus_ml.training.checkpoints import fill_optimizer, flat_optimizer
from fundus_ml.training.distribution import bare, from_first, unsynchronised, world
from fundus_ml.training.memory import explain_out_of_memory, is_out_of_memory
from fundus_ml.training.objective import Batch, Objective
from fundus_ml.training.optimization import averaged, make_optimizer, make_schedule
from fundus_ml.training.options import TrainingOptions

if TYPE_CHECKING:
    from torch.optim.swa_utils import AveragedModel

    from fundus_ml.training.checkpoints import Saved


class Stepper:
    """All that turns batches into better weights, and all of it that must be kept.

    Args:
        model: Learns in place.
        objective: What it learns.
        options: How.
        steps_per_epoch: Length of the schedule.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        options: TrainingOptions,
        steps_per_epoch: int,
    ) -> None:
        self.device = next(model.parameters()).device
        self._model, self._objective, self._options = model, objective, options
        self._precision = trained_in(options.precision, self.device)
        self._measures = options.precision == "auto" and self.device.type == "cpu"
        self._optimizer = make_optimizer(model, options)
        self._schedule = make_schedule(self._optimizer, options, steps_per_epoch)
        self._averaged: AveragedModel | None = averaged(model, options.ema)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self._precision == "fp16")

    @property
    def rate(self) -> float:
        """Learning rate of the next step, in the last layers."""
        return float(self._optimizer.param_groups[-1]["lr"])

    @property
    def kept(self) -> nn.Module:
        """The network to validate and keep: the averaged one where there is one."""
        return self._model if self._averaged is None else self._averaged.module

    def gradients(self, called: nn.Module, batch: Batch, *, seed: int) -> Tensor:
        """Make the passes of one step.

        Args:
            called: The model as :func:`fundus_ml.training.distribution.shared` gives it.
            batch: This process's share.
            seed: Seed of the step, alike in all processes.

        Returns:
            The mean loss of ``batch``, detached, possibly not finite.

        Raises:
            InputError: The memory does not hold a pass.
        """
        if self._measures:
            self._choose(batch.images)
        # Dropout of each process is its own; what the objective draws is common.
        torch.manual_seed(seed ^ world().rank)
        self._optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        parts = batch.parts(self._options.accumulate)
        for place, part in enumerate(parts):
            last = place == len(parts) - 1
            with nullcontext() if last else unsynchronised(called):
                total += self._backward(called, part, seed, share=1 / len(parts))
        return total

    def step(self) -> None:
        """Move the weights along the gradients."""
        if self._options.clip_norm:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._model.parameters(), self._options.clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._schedule.step()
        if self._averaged is not None:
            self._averaged.update_parameters(self._model)

    def tensors(self) -> dict[str, Mapping[str, Tensor]]:
        """Everything to keep that is a tensor, by part."""
        optimizer, _ = flat_optimizer(self._optimizer)
        average = {} if self._averaged is None else self._averaged.state_dict()
        return {"model": self._model.state_dict(), "optimizer": optimizer, "averaged": average}

    def plain(self) -> dict[str, Any]:
        """Everything to keep that is none."""
        _, optimizer = flat_optimizer(self._optimizer)
        return {
            "optimizer": optimizer,
            "scaler": self._scaler.state_dict(),
            "precision": self._precision,
        }

    def restore(self, saved: "Saved", *, steps: int) -> None:
        """Put back what :meth:`tensors` and :meth:`plain` gave after so many steps."""
        self._model.load_state_dict(saved.tensors["model"])
        fill_optimizer(self._optimizer, saved.tensors["optimizer"], saved.progress["optimizer"])
        self._scaler.load_state_dict(saved.progress["scaler"])
        if self._averaged is not None:
            self._averaged.load_state_dict(saved.tensors["averaged"])
        self._schedule.last_epoch = steps
        if self._measures:
            # Whatever a new measurement would say; an earlier release followed the hardware.
            kept = saved.progress.get("precision", self._precision)
            self._settle(PrecisionChoice(precision=kept))

    def _choose(self, images: Tensor) -> None:
        """Measure in the first process, for all."""
        model = self._model
        self._settle(from_first(lambda: settled(model) or measured(model, images)))

    def _settle(self, choice: PrecisionChoice) -> None:
        settle(self._model, choice)
        self._precision, self._measures = choice.precision, False

    def _backward(self, called: nn.Module, part: Batch, seed: int, *, share: float) -> Tensor:
        try:
            loss = self._loss(called, part, seed) * share
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self._optimizer.zero_grad(set_to_none=True)
        else:
            return loss.detach()
        raise explain_out_of_memory(
            self._options, world().size, lambda images: self._try(part.part(0, images), seed)
        )

    def _loss(self, called: nn.Module, part: Batch, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        with autocast(self._precision, self.device):
            return self._objective.loss(called, part, generator)

    def _try(self, part: Batch, seed: int) -> None:
        try:
            self._loss(bare(self._model), part, seed).backward()  # type: ignore[no-untyped-call]
        finally:
            self._optimizer.zero_grad(set_to_none=True)
