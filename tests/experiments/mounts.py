"""Disks that are small or read-only, even for root."""

import os
import subprocess
from contextlib import contextmanager

import pytest


@contextmanager
def disk(folder, *options):
    """Mount a disk of its own at ``folder``; the test is skipped where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    yield folder
    command = ["umount", "--lazy", str(folder)]  # the store may hold a file there
    subprocess.run(command, check=True)


def fill(folder):
    """Leave not one byte free."""
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(b"0" * 2**16):
                pass
        except OSError:
            return
