"""Several processes, begun by ``torchrun``, that run one entry point together."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from fundus_ml import training
from fundus_ml.errors import InputError


@contextmanager
def process_group(*, allowed: bool) -> Iterator[None]:
    """Join the processes that ``torchrun`` began; one process joins nobody.

    All but the first keep their standard output to themselves.

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
    with (
        training.joined(local_rank=int(os.environ["LOCAL_RANK"])),
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(sys.stdout if training.world().first else nowhere),
    ):
        yield


def is_first_process() -> bool:
    """Whether this is the process that speaks, also before and after the group is there."""
    return os.environ.get("RANK", "0") == "0"
