"""A dataset folder in the making: one writer at a time, whole or not there, resumed when killed."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from fundus_ml.data.folder import DATASET_FILES, is_dataset_record
from fundus_ml.data.own_files import OwnFiles, remove_if_empty
from fundus_ml.data.owned_folders import FolderBusyError, FolderKind, alone_in, remove_owned
from fundus_ml.data.record import RECORD
from fundus_ml.errors import InputError, listed

_KEY, _WORK, _WHOLE, _OLD = "key", "work", "whole", "old"
_LONGEST_NAME = 255
"""Bytes in the name of a file, on the file systems in use."""
WORK_FILES = OwnFiles(r"journal\.jsonl", r"(pixels|regions|keypoints)-\d{5}\.npy")
"""All that a writer leaves in :attr:`Stage.work`."""


def _describes_making(file: Path) -> bool:
    return (
        re.fullmatch(r"[\w-]{1,64}", file.read_text(encoding="utf-8", errors="replace")) is not None
    )


_MAKING = FolderKind(
    name="preprocessing",
    files=OwnFiles(_KEY, *WORK_FILES.below(_WORK), *DATASET_FILES.below(f"({_WHOLE}|{_OLD})")),
    description=_KEY,
    describes=_describes_making,
)


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
            _empty(self.work, WORK_FILES)
            kept.write_text(key, encoding="utf-8")
        _empty(self.whole, DATASET_FILES)
        self.work.mkdir(exist_ok=True)
        self.whole.mkdir(exist_ok=True)


@contextmanager
def staged(out: Path, *, key: str) -> Iterator[Stage]:
    """Hand out a stage beside ``out`` whose ``whole`` takes its place when all went well.

    The stage, ``.<name>.partial``, survives a process that is killed or stopped: a later call with
    the same ``key`` finds its ``work`` as it was. A user's mistake (``InputError``) leaves nothing.
    A dataset folder already at ``out`` is replaced only by a whole one, and only where every file
    in it is one that a preprocessing writes.

    Args:
        out: Dataset folder.
        key: Fingerprint of everything that decides the content, up to 64 letters and digits; work
            done for another key is thrown away.

    Raises:
        InputError: ``out`` cannot be written, is a file, is a folder that holds other things, or
            is being written by another process.
    """
    out = Path(os.path.realpath(out))
    made: list[Path] = []
    folder = _stage_of(out)
    try:
        refuse_irreplaceable(out)
        made = [above for above in out.parents if not above.exists()]
        with alone_in(folder, _MAKING, named=f"out={out}: {folder}"):
            _bring_back(out, folder)
            try:
                refuse_irreplaceable(out)
                yield Stage(folder, key)
            except InputError:
                remove_owned(folder, _MAKING)
                raise
            _refuse_foreign(folder / _WHOLE, DATASET_FILES)
            refuse_irreplaceable(out)
            _replace(out, folder)
            remove_owned(folder, _MAKING)
    except FolderBusyError:
        raise InputError(
            f"out={out}: another preprocess is writing it; wait for it or name another folder"
        ) from None
    except InputError:
        _remove_empty(made)
        raise
    except OSError as error:
        _remove_empty([folder, *made])
        raise InputError(f"out={out}: cannot be written: {error.strerror or error}") from error


def refuse_irreplaceable(out: Path) -> None:
    """Refuse a place that a new dataset folder must not take.

    Raises:
        InputError: ``out`` is a file, or a folder in which anything lies that a preprocessing does
            not write.
    """
    if os.path.lexists(out) and not out.is_dir():
        raise InputError(f"out={out}: is a file, must be a new folder or a dataset folder")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not is_dataset_record(out / RECORD):
        raise InputError(
            f"out={out}: holds other things than a dataset; name a new folder or a dataset folder"
        )
    if foreign := DATASET_FILES.foreign(out):
        raise InputError(
            f"out={out}: holds {listed(foreign)}, which preprocess did not write and would "
            "replace; move that elsewhere or name another folder"
        )


def _stage_of(out: Path) -> Path:
    """Folder beside ``out``, hidden, with its name where that leaves room."""
    name = f".{out.name}.partial"
    if len(name.encode()) > _LONGEST_NAME:
        name = f".{sha256(out.name.encode()).hexdigest()[:32]}.partial"
    return out.parent / name


def _bring_back(out: Path, folder: Path) -> None:
    """Undo a replacement that was killed between its two renames, or end one killed after them."""
    old = folder / _OLD
    if old.exists() and not (out.exists() and any(out.iterdir())):
        old.rename(out)  # an empty folder gives way
    else:
        _empty(old, DATASET_FILES)


def _replace(out: Path, folder: Path) -> None:
    if out.exists():
        out.rename(folder / _OLD)
    try:
        (folder / _WHOLE).rename(out)
    except OSError:
        _bring_back(out, folder)
        raise


def _empty(folder: Path, files: OwnFiles) -> None:
    """Delete a part of the stage, in which nothing but our files may lie."""
    if folder.is_dir():
        _refuse_foreign(folder, files)
        files.remove(folder)
        remove_if_empty(folder)


def _refuse_foreign(folder: Path, files: OwnFiles) -> None:
    if foreign := files.foreign(folder):
        raise InputError(
            f"{folder}: holds {listed(foreign)}, which no preprocessing writes; move that elsewhere"
        )


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        if folder.is_dir():
            remove_if_empty(folder)
