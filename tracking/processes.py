"""Which process this is, said so that a later one can tell whether it still lives."""

import json
import os
import socket
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Self

_PROC = Path("/proc")
_START = 18
"""Place of the start time in /proc/PID/stat, from 0 behind the name in brackets and the state."""


@dataclass(frozen=True)
class Process:
    """One process of one machine.

    Attributes:
        host: Name of the machine.
        boot: Which start of the machine; empty where the system does not say.
        namespace: Which numbering of processes, a container's own, say; empty likewise.
        pid: Its number there.
        started: When it began, in the clock of the system; empty likewise.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    started: str

    def to_json(self) -> str:
        """Write the process as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self | None:
        """Read what :meth:`to_json` wrote; None where it is something else."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None

    @property
    def place(self) -> tuple[str, str, str]:
        """Where its number means this process."""
        return self.host, self.boot, self.namespace

    def is_gone(self) -> bool:
        """Say whether the process has surely ended; False where nobody here can know."""
        here = this_process()
        if self.host != here.host:
            return False
        if self.boot != here.boot:
            return True  # the machine was started again
        return self.namespace == here.namespace and not self._lives()

    def _lives(self) -> bool:
        if self.started:
            return _started(self.pid) == self.started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def this_process() -> Process:
    """Return the process that calls."""
    pid = os.getpid()
    return Process(
        host=socket.gethostname(),
        boot=_boot(),
        namespace=_namespace(),
        pid=pid,
        started=_started(pid),
    )


@cache
def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Read when a process began; empty where there is none, or only what is left of one."""
    try:
        state, *numbers = (
            (_PROC / f"{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        )
    except (OSError, ValueError):
        return ""
    return "" if state in {"Z", "X"} else numbers[_START]
