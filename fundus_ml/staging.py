"""A dataset folder in the making: one writer at a time, whole or not there, resumed when killed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fundus_ml.dataset_folder import RECORD
from fundus_ml.errors import InputError

_LOCK, _KEY, _WORK, _WHOLE, _OLD = "lock", "key", "work", "whole", "old"


class Stage:
    """Where a dataset folder grows.

    Attributes:
        work: What a killed writer leaves behind and the next one goes on from.
        whole: What becomes the dataset folder; always begun anew.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.work, self.whole = folder / _WORK, folder / _WHOLE
        kept = folder / _KEY
        if not kept.is_file() or kept.read_text(encoding="utf-8") != key:
            shutil.rmtree(self.work, ignore_errors=True)
            kept.write_text(key, encoding="utf-8")
        shutil.rmtree(self.whole, ignore_errors=True)
        self.work.mkdir(exist_ok=True)
        self.whole.mkdir()


@contextmanager
def staged(out: Path, *, key: str) -> Iterator[Stage]:
    """Hand out a stage beside ``out`` whose ``whole`` takes its place when all went well.

    The stage, ``.<name>.partial``, survives a process that is killed or stopped: a later call with
    the same ``key`` finds its ``work`` as it was. A user's mistake (``InputError``) leaves nothing.
    A dataset folder already at ``out`` is replaced only by a whole one.

    Args:
        out: Dataset folder.
        key: Of everything that decides the content; work done for another key is thrown away.

    Raises:
        InputError: ``out`` cannot be written, is a file, is a folder that holds other things, or
            is being written by another process.
    """
    out = out.resolve()
    if out.is_file():
        raise InputError(f"out={out}: is a file, must be a new folder or a dataset folder")
    made = [folder for folder in out.parents if not folder.exists()]
    folder = out.with_name(f".{out.name}.partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / _LOCK, timeout=0):
            _bring_back(out, folder)
            try:
                _check_free(out)
                yield Stage(folder, key)
            except InputError:
                shutil.rmtree(folder)
                raise
            _replace(out, folder)
            shutil.rmtree(folder)
    except Timeout:
        raise InputError(
            f"out={out}: another preprocess is writing it; wait for it or name another folder"
        ) from None
    except InputError:
        _remove_empty(made)
        raise
    except OSError as error:
        _remove_empty([folder, *made])
        raise InputError(f"out={out}: cannot be written: {error.strerror or error}") from error


def _check_free(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / RECORD).is_file():
        raise InputError(
            f"out={out}: holds other things than a dataset; name a new folder or a dataset folder"
        )


def _bring_back(out: Path, folder: Path) -> None:
    """Undo a replacement that was killed between its two renames."""
    old = folder / _OLD
    if old.exists():
        if out.exists():
            shutil.rmtree(old)
        else:
            old.rename(out)


def _replace(out: Path, folder: Path) -> None:
    if out.exists():
        out.rename(folder / _OLD)
    try:
        (folder / _WHOLE).rename(out)
    except OSError:
        _bring_back(out, folder)
        raise


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
