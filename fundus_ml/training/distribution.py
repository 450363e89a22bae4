"""One training over several processes: who does which share, and what they tell each other."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from timm.layers import convert_sync_batchnorm  # type: ignore[attr-defined]
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce as all_reduce_with_gradient
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from fundus_ml.training.optimization import is_batch_norm

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """Which process this is, of how many.

    Attributes:
        rank: From 0.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0


def world() -> World:
    """Say which process this is; one of one where no process group was begun."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return World()
    return World(distributed.get_rank(), distributed.get_world_size())


@contextmanager
def joined(*, local_rank: int) -> Iterator[None]:
    """Join the other processes during the block: NCCL between GPUs, gloo between CPUs.

    At the end the group is gone, its threads too: one that still lived when Python ends would abort
    the process. What keeps a group as the default of an argument (``torch.distributed.nn``) is
    therefore imported by this module, before there is one.

    Args:
        local_rank: Number of the process on its machine, which is the number of its GPU.
    """
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank)
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def from_first(make: Callable[[], T]) -> T:
    """Let the first process make something and hand it to the others."""
    if world().size == 1:
        return make()
    box = [make() if world().first else None]
    distributed.broadcast_object_list(box)
    made: T = box[0]  # type: ignore[assignment]
    return made


def add_up(values: Tensor) -> Tensor:
    """Sum a tensor over all processes, in place."""
    if world().size > 1:
        distributed.all_reduce(values)
    return values


def sum_with_gradient(values: Tensor) -> Tensor:
    """Sum a tensor over all processes, as part of what each one's loss is made from.

    The gradient that comes back is summed over the processes too: the loss of each depends on the
    values of all.
    """
    if world().size == 1:
        return values
    added: Tensor = all_reduce_with_gradient(values)  # type: ignore[no-untyped-call]
    return added


def wait() -> None:
    """Go on when every process has come here."""
    if world().size > 1:
        distributed.barrier()


@contextmanager
def shared(model: nn.Module) -> Iterator[nn.Module]:
    """View ``model`` as one that learns with its copies in the other processes.

    Gradients are averaged over the processes and BatchNorm sees the whole batch, so that a step is
    the step one process would make; ``model`` itself holds the weights and has its own layers back
    afterwards.

    Yields:
        What to call in a training step; ``model`` itself where there is one process only.
    """
    if world().size == 1:
        yield model
        return
    replaced = _synchronise(model)
    device = next(model.parameters()).device
    try:
        yield DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)
    finally:
        for parent, name, layer, substitute in replaced:
            layer.training = substitute.training
            setattr(parent, name, layer)


def bare(model: nn.Module) -> nn.Module:
    """Undo :func:`shared` for a pass that no other process makes."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def unsynchronised(model: nn.Module) -> AbstractContextManager[None]:
    """Keep gradients of a pass here; a later pass of the same step sends them."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()


class WholeBatchNorm(_BatchNorm):
    """BatchNorm over the batch of all processes, on devices where torch has none of its own.

    Args:
        layer: Whose tensors it shares, and whose activation where it has one, as timm's
            ``BatchNormAct2d``.

    Source:
        Ioffe & Szegedy 2015, arXiv:1502.03167; ``torch.nn.SyncBatchNorm``, which runs on GPUs only.
    """

    def __init__(self, layer: _BatchNorm) -> None:
        super().__init__(
            layer.num_features, eps=layer.eps, momentum=layer.momentum, affine=layer.affine
        )
        self.weight, self.bias = layer.weight, layer.bias
        for name, buffer in layer.named_buffers(recurse=False):
            self.register_buffer(name, buffer)
        self.after = nn.Sequential(
            *(part for name, part in layer.named_children() if name in ("drop", "act"))
        )
        self.train(layer.training)

    def forward(self, features: Tensor) -> Tensor:
        """Normalise ``(N, C, …)``; each process must hold equally many."""
        done: Tensor = self.after(self._normalised(features))
        return done

    def _check_input_dim(self, features: Tensor) -> None:
        """Take features of any number of axes."""

    def _normalised(self, features: Tensor) -> Tensor:
        if not self.training:
            return super().forward(features)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        size = world().size
        exact = features.float()
        axes = (0, *range(2, features.ndim))
        shape = (1, -1, *(1 for _ in axes[1:]))
        mean = sum_with_gradient(exact.mean(axes)) / size
        centred = exact - mean.view(shape)
        variance = sum_with_gradient(centred.square().mean(axes)) / size
        count = size * features.numel() / features.shape[1]
        with torch.no_grad():
            self.num_batches_tracked += 1
            step = self.momentum if self.momentum is not None else 1 / float(
                self.num_batches_tracked
            )  # fmt: skip
            self.running_mean.lerp_(mean, step)
            self.running_var.lerp_(variance * count / max(1, count - 1), step)
        normal: Tensor = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(features.dtype)


def _synchronise(model: nn.Module) -> list[tuple[nn.Module, str, nn.Module, nn.Module]]:
    """Replace each BatchNorm by one over all processes with the same tensors; give back both."""
    replaced = []
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if is_batch_norm(layer):
                substitute = _substitute(layer)
                setattr(parent, name, substitute)
                replaced.append((parent, name, layer, substitute))
    return replaced


def _substitute(layer: nn.Module) -> nn.Module:
    assert isinstance(layer, _BatchNorm), type(layer)
    if next(layer.buffers()).device.type == "cuda":
        converted: nn.Module = convert_sync_batchnorm(layer)  # type: ignore[no-untyped-call]
        return converted
    return WholeBatchNorm(layer)
