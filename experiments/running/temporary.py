"""One temporary folder per process, known by its name, so that a killed process's can be found."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tracking.processes import Process, this_process

_NAME = re.compile(r"fundus-run-(?P<place>[0-9a-f]{12})-(?P<pid>\d+)-(?P<started>\d*)-\w+")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Keep every temporary file of the block, those of libraries too, in one folder.

    It is deleted at the end, and what processes left that were killed before they could do so is
    deleted at the beginning.
    """
    here = Path(tempfile.gettempdir())
    process = this_process()
    _sweep(here, process)
    prefix = f"fundus-run-{_place(process)}-{process.pid}-{process.started}-"
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix=prefix, dir=here, ignore_cleanup_errors=True) as made:
        tempfile.tempdir = made
        try:
            yield Path(made)
        finally:
            tempfile.tempdir = before


def _sweep(here: Path, process: Process) -> None:
    """Delete the temporary folders of this user whose process is gone."""
    for folder in here.glob("fundus-run-*"):
        named = _NAME.fullmatch(folder.name)
        if named is None or named["place"] != _place(process) or not _is_own(folder):
            continue
        maker = replace(process, pid=int(named["pid"]), started=named["started"])
        if maker.is_gone():
            shutil.rmtree(folder, ignore_errors=True)


def _is_own(folder: Path) -> bool:
    try:
        return folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
    except FileNotFoundError:  # another process swept it
        return False


def _place(process: Process) -> str:
    return hashlib.sha256("/".join(process.place).encode()).hexdigest()[:12]
