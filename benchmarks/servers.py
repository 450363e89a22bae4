"""Servers that a benchmark starts as processes of their own, waits for and stops."""

import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

SECONDS_TO_START = 120
SECONDS_TO_STOP = 30


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def with_own_commands() -> dict[str, str]:
    """MLflow looks for its server among the commands; it lies beside this Python."""
    beside = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([beside, os.environ.get("PATH", "")])}


def wait_for(address: str, server: "subprocess.Popen[bytes]") -> None:
    """Wait until an address answers, whatever it says.

    Raises:
        RuntimeError: The server ended, or two minutes passed.
    """
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310 (of this machine)
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"no server answers at {address}")


def stop(server: "subprocess.Popen[bytes]", number: int = signal.SIGTERM) -> None:
    """Signal a server and what it started, and wait until it is gone."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, number)
    server.wait(timeout=SECONDS_TO_STOP)
