"""What a run tells while it goes: a line per step, a bar that vanishes, tables on request.

A run that is a step of another says its result only; the rest goes to its artifacts and, with
``verbose``, to the console too.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from experiments.running.launch import is_first_process

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[int, int], None]

SHORT = 5.0
"""Seconds of a stage that is over before anybody asks how far it is."""
APART = 10.0
"""Seconds between two lines of progress, at least."""
TENTH = 10
"""Percent between two lines of progress, at least."""
NOISY = ("alembic", "mlflow", "optuna", "distributed")
"""Libraries whose notices are printed with ``verbose`` only."""


@dataclass(frozen=True, kw_only=True)
class _Voice:
    verbose: bool = False
    step: str = ""
    said: list[str] = field(default_factory=list)


_PLAIN = _Voice()
_VOICE: ContextVar[_Voice] = ContextVar("voice", default=_PLAIN)


@contextmanager
def speaking(*, verbose: bool, step: str = "") -> Iterator[list[str]]:
    """Decide what is printed during the block.

    Args:
        verbose: Whether details and notices of libraries are printed.
        step: Stands before every line, such as ``[4/7] robustify``; a run of its own when omitted.

    Yields:
        The results that were said so far, a line each.
    """
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)
    voice = _Voice(verbose=verbose, step=step)
    token = _VOICE.set(voice)
    try:
        yield voice.said
    finally:
        _VOICE.reset(token)


def say(line: str) -> None:
    """Print a result."""
    if _VOICE.get() is not _PLAIN:
        _VOICE.get().said.append(line)
    sys.stdout.write(f"{_prefix()}{line}\n")
    sys.stdout.flush()


def remark(line: str) -> None:
    """Print what belongs to a result, unless the run is a step of another."""
    if _VOICE.get().verbose or not _VOICE.get().step:
        say(line)


def detail(line: str) -> None:
    """Print what only ``verbose`` asks for; an artifact of the run tells it too."""
    if _VOICE.get().verbose:
        say(line)


def warn(line: str) -> None:
    """Print what a user should know, on standard error."""
    sys.stderr.write(f"{_prefix()}{line}\n")
    sys.stderr.flush()


def table(frame: "pd.DataFrame", *, final: bool = False) -> None:
    """Print a table of results: the final one of a run, or with ``verbose`` any."""
    voice = _VOICE.get()
    if voice.verbose or (final and not voice.step):
        sys.stdout.write(as_text(frame))


def as_text(frame: "pd.DataFrame") -> str:
    """Lay out a table in columns, as the console and text artifacts show it."""
    return frame.to_string(index=False, float_format="{:.3f}".format) + "\n"


@contextmanager
def progress(description: str, unit: str) -> Iterator[Progress]:
    """Show how far a stage is, in the first process only.

    On a terminal a bar, which is gone when the stage is done; elsewhere a line at each tenth at
    most, and none of a stage that is over in seconds.

    Args:
        description: Name of the stage.
        unit: What it counts.

    Yields:
        A callback that takes (done, in all).
    """
    if not is_first_process():
        yield lambda _done, _total: None
        return
    if not sys.stderr.isatty():
        yield _Lines(description)
        return
    from tqdm import tqdm  # noqa: PLC0415 (only where there is a terminal)

    with tqdm(
        desc=_stage(description),
        unit=f" {unit}",
        file=sys.stderr,
        dynamic_ncols=True,
        leave=False,
    ) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance


@contextmanager
def stages(units: Mapping[str, str]) -> Iterator[Callable[[str, int, int], None]]:
    """Show how far each stage of a job is.

    Args:
        units: What each stage counts, by its name.

    Yields:
        A callback that takes (stage, done, in all).
    """
    with ExitStack() as stack:
        bars: dict[str, Progress] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                stack.close()  # the bar of the stage before
                bars[stage] = stack.enter_context(progress(stage, units[stage]))
            bars[stage](done, total)

        yield advance


class _Lines:
    """Progress where the output is no terminal."""

    def __init__(self, description: str) -> None:
        self._description = description
        self._told = 0
        self._next = monotonic() + SHORT

    def __call__(self, done: int, total: int) -> None:
        percent = TENTH * (TENTH * done // total) if total else 0
        if self._told < percent < 100 and monotonic() >= self._next:  # noqa: PLR2004 (the end)
            sys.stderr.write(f"{_stage(self._description)}: {percent} %\n")
            sys.stderr.flush()
            self._told, self._next = percent, monotonic() + APART


def _stage(description: str) -> str:
    """Name a stage, and the step it belongs to where that is called otherwise."""
    step = _VOICE.get().step
    return step if step and description in step.split() else f"{_prefix()}{description}"


def _prefix() -> str:
    step = _VOICE.get().step
    return f"{step}: " if step else ""
