"""Several processes, begun by ``torchrun``, that run one entry point together."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TypeVar

import torch
from torch import distributed

from fundus_ml.errors import InputError
from fundus_ml.training.distribution import world

T = TypeVar("T")


@contextmanager
def process_group(*, allowed: bool) -> Iterator[None]:
    """Join the processes that ``torchrun`` began: NCCL between GPUs, gloo between CPUs.

    All but the first keep their standard output to themselves. At the end the group is gone, its
    threads too: one that still lived when Python ends would abort the process. What keeps a group
    as the default of an argument (``torch.distributed.nn.functional``) is therefore imported
    before, by :mod:`fundus_ml.training.distribution`.

    Args:
        allowed: Whether the entry point can be shared.

    Raises:
        InputError: It cannot, and ``torchrun`` began more than one process.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield
        return
    if not allowed:
        raise InputError(f"torchrun: {size} processes, but this entry point runs as one")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(
            sys.stdout if world().first else nowhere
        ):  # fmt: skip
            yield
    finally:
        distributed.destroy_process_group()


def is_first_process() -> bool:
    """Whether this is the process that speaks, also before and after the group is there."""
    return os.environ.get("RANK", "0") == "0"


def from_first(make: Callable[[], T]) -> T:
    """Let the first process make something and hand it to the others."""
    if world().size == 1:
        return make()
    box = [make() if world().first else None]
    distributed.broadcast_object_list(box)
    made: T = box[0]  # type: ignore[assignment]
    return made
