"""How an entry point ends before its time: by Ctrl-C, by a batch system, with its terminal."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType

import fundus_ml

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHELL = 128
"""What a shell adds to a signal to make the exit code of a process that it ended."""


class Stopped(KeyboardInterrupt):
    """A signal asks the process to end.

    Attributes:
        exit_code: What a shell expects of it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = _SHELL + number


@contextmanager
def stoppable() -> Iterator[None]:
    """Let the first signal that asks the process to end raise :class:`Stopped` in the block.

    What follows it is not heard, so that the run is ended and the children are gone before the
    process is: who starts jobs often sends several. A signal that the caller ignores, as ``nohup``
    does, stays ignored. A process that ``torchrun`` or ``mlflow run`` started ends with it.
    """
    if current_thread() is not main_thread():
        yield  # only the main thread hears signals
        return
    heard = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        if not heard:
            heard = True
            raise Stopped(number)

    before = {number: signal.getsignal(number) for number in STOPPING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    if _has_launcher():
        fundus_ml.parallel.end_with_parent(os.getppid(), signal.SIGTERM)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _has_launcher() -> bool:
    """Whether the parent only waits for this process, so that nobody does when it is gone."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return True
    try:
        parent = Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
    except OSError:
        return False
    return "MLFLOW_RUN_ID" in os.environ and b"mlflow" in parent
