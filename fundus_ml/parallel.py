"""The same work on many items, by the processes of this machine or of a Dask cluster."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from multiprocessing import resource_tracker
from threading import Thread
from typing import TypeVar

from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from joblib.externals.loky import get_reusable_executor, process_executor
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from fundus_ml.errors import InputError

BACKENDS = ("loky", "dask")
TOGETHER = 8
"""Items a process takes at once."""
TURNS = 24
"""Times each process takes items before their results are handed on; bounds memory."""

REQUESTS_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

TIMEOUT = 10
"""Seconds a scheduler has to answer."""
PARENT_SECONDS = 0.5
"""Time between two looks of a process at whether its parent lives."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def processes(*, workers: int = 0, backend: str = "loky", scheduler: str = "") -> Iterator[None]:
    """Let :func:`in_order` work in parallel inside the block, whose processes end with it.

    They end at once where the block is interrupted or this process is killed. Ctrl-C and requests
    to end reach this process alone: what it started has no say in how it ends.

    Args:
        workers: Processes of this machine; 0 is one per core. Not read by ``dask``.
        backend: ``loky`` (this machine) or ``dask``.
        scheduler: Address of the scheduler of ``dask``, such as ``tcp://host:8786``. Its workers
            must see the same files under the same paths.

    Raises:
        InputError: ``workers`` or ``backend`` is not allowed, or no scheduler answers.
    """
    if workers < 0:
        raise InputError(f"workers={workers}: must be 0 (one per core) or more")
    if backend not in BACKENDS:
        raise InputError(f"backend={backend}: allowed: {', '.join(BACKENDS)}")
    if backend == "dask":
        with _dask(scheduler):
            yield
        return
    # Processes share the cores already: one thread each.
    with parallel_config(
        backend="loky",
        n_jobs=workers or -1,
        inner_max_num_threads=1,
        initializer=_initialise,
        initargs=(os.getpid(),),
    ):
        try:
            _start()
            yield
        except BaseException:
            get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)
            raise
        get_reusable_executor(reuse=True).shutdown(wait=True)


def end_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Send this process a signal as soon as its parent is gone, however that ended.

    Args:
        parent: Number of the process that started this one.
        number: The signal.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        os.kill(os.getpid(), number)

    Thread(target=watch, name="parent", daemon=True).start()


@contextmanager
def alone() -> Iterator[None]:
    """Keep libraries that ask joblib for processes, as scikit-learn does, in this one."""
    with parallel_config(backend="sequential"):
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep linear algebra in one thread, for products too small to be worth sharing out.

    Where other processes use the cores, threads that wait for each other at every small product
    take twenty times as long as one.
    """
    with _thread_pools().limit(limits=1):
        yield


def in_order(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Apply ``function`` to every item and hand the results on in the order of the items.

    Only a window of results is in memory; what is taken while a consumer works does not grow.

    Args:
        function: Picklable.
        items: Picklable each.
    """
    with Parallel(batch_size=TOGETHER) as parallel:
        window = TOGETHER * TURNS * effective_n_jobs(parallel.n_jobs)
        for start in range(0, len(items), window):
            yield from parallel(delayed(function)(item) for item in items[start : start + window])


def _initialise(parent: int) -> None:
    """Make this a process that ends with its parent and no earlier.

    loky replaces a process that grows by 300 MB after its first task, as one does that reads a
    large photograph; a block has waited for ever for what such a process was given.
    """
    process_executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize  # noqa: SLF001 (no public name)
    end_with_parent(parent)


def _start() -> None:
    """Start every process now, deaf to what asks this one to end.

    A process interrupted while it starts would print a traceback, and so would one whose parent is
    interrupted while it hands over the work. A blocked signal waits, and stays blocked in what is
    started meanwhile, threads of loky included.
    """
    with Parallel() as parallel:
        count = effective_n_jobs(parallel.n_jobs)
        if count == 1:
            return
        resource_tracker.ensure_running()  # its own start unblocks signals
        before = signal.pthread_sigmask(signal.SIG_BLOCK, REQUESTS_TO_END)
        try:
            parallel(delayed(os.getpid)() for _ in range(count))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _dask(scheduler: str) -> Iterator[None]:
    if not scheduler:
        raise InputError("scheduler: backend=dask needs its address, such as tcp://host:8786")
    try:
        from distributed import Client  # noqa: PLC0415 (only a cluster needs it)
    except ImportError:
        raise InputError("backend=dask: needs a package: pip install distributed") from None
    try:
        client = Client(scheduler, timeout=TIMEOUT, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(f"scheduler={scheduler}: no Dask scheduler answers: {error}") from None
    with client, parallel_config(backend="dask", client=client):
        yield


@cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()
