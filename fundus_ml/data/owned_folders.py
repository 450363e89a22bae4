"""A folder that the program makes for one purpose: marked as its own, one process at a time.

A user names the folder, so it may hold anything. It is taken only where it is new, empty, carries
our marker, or was written by a version that knew no marker and holds nothing else. It is emptied
file by file, by the names that the program writes; the folder itself goes only when it is empty.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from filelock import FileLock, Timeout

from fundus_ml.data.own_files import OwnFiles, remove_if_empty
from fundus_ml.errors import InputError, listed

MARKER = ".fundus-ml.json"
LOCK = "lock"
PARTIAL = ".partial"
_FORMAT, _VERSION = "folder of fundus-ml", 1
_LAST_OF_TRIES = (False, False, True)
"""A process that ends may delete the folder while another one enters it, hardly ever thrice."""


class FolderBusyError(InputError):
    """Another process works in the folder."""


@dataclass(frozen=True, kw_only=True)
class FolderKind:
    """One purpose of folders.

    Attributes:
        name: What such a folder holds, in its marker and in messages: ``training``.
        files: What the program writes into it, beside the marker and the lock.
        description: The file that says what exactly the folder holds. Whatever else lies in a
            folder without it is the rest of an interrupted removal.
        describes: Whether a file is such a description.
    """

    name: str
    files: OwnFiles
    description: str
    describes: Callable[[Path], bool]

    @cached_property
    def everything(self) -> OwnFiles:
        """All names, the marker and the lock among them."""
        frame = (MARKER, MARKER + PARTIAL, LOCK)
        return OwnFiles(*self.files.patterns, *map(re.escape, frame))


@contextmanager
def alone_in(folder: Path, kind: FolderKind, *, named: str) -> Iterator[None]:
    """Be the only process that works in a folder of ours, which is made when missing.

    Args:
        folder: As the user named it.
        kind: What it is for.
        named: How messages name it: ``checkpoints=DIR``.

    Raises:
        FolderBusyError: Another process works there.
        InputError: The folder is not ours, or cannot be written.
    """
    _refuse_before_locking(folder, kind, named)
    lock = _locked(folder, named)
    try:
        own(folder, kind, named=named)
        yield
    finally:
        lock.release()
        remove_if_empty(folder)


def own(folder: Path, kind: FolderKind, *, named: str) -> None:
    """Make a folder ours: refuse a foreign one, mark it, delete what a removal left behind.

    Raises:
        InputError: As :func:`refuse_foreign`, or the folder cannot be written.
    """
    refuse_foreign(folder, kind, named=named)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / MARKER).is_file():
            _mark(folder, kind)
    except OSError as error:
        raise _unwritable(named, error) from error
    if not (folder / kind.description).is_file():
        kind.files.remove(folder)


def refuse_foreign(folder: Path, kind: FolderKind, *, named: str) -> None:
    """Refuse a folder that holds what the program did not write for this purpose.

    In a folder that carries our marker, files of others may lie beside ours, but no link in the
    place of one of ours.

    Raises:
        InputError: It does, or cannot be read.
    """
    try:
        if not folder.is_dir() or not any(folder.iterdir()):
            return
        if (folder / MARKER).is_file():
            _check_marker(folder / MARKER, kind, named)
            foreign = kind.everything.in_the_way(folder)
            described = not (folder / kind.description).is_file() or _is_described(folder, kind)
        else:
            foreign = kind.everything.foreign(folder)
            described = _is_begun(folder) or _is_described(folder, kind)
    except FileNotFoundError:  # another process deletes what is there: see what is left
        refuse_foreign(folder, kind, named=named)
        return
    except OSError as error:
        raise InputError(f"{named}: cannot be read ({error.strerror})") from error
    if foreign:
        raise InputError(
            f"{named}: holds {listed(foreign)}, which this program did not write for a "
            f"{kind.name}; name a new or empty folder"
        )
    if not described:
        raise InputError(
            f"{named}: its {kind.description} is missing or not that of a {kind.name}; name a new "
            "or empty folder"
        )


def remove_owned(folder: Path, kind: FolderKind) -> list[str]:
    """Delete what the program wrote into a folder of ours, then the folder where that empties it.

    The description goes first, so that a removal that is killed leaves nothing to go on from; the
    marker and the lock go last, so that the folder stays ours until then.

    Args:
        folder: Held by :func:`alone_in`.
        kind: What it is for.

    Returns:
        What others put there, and what could not be deleted: it stays.
    """
    for names in (re.escape(kind.description), *kind.files.patterns, re.escape(MARKER)):
        OwnFiles(names).remove(folder)
    left = sorted(path.name for path in folder.iterdir() if path.name != LOCK)
    OwnFiles(LOCK).remove(folder)
    remove_if_empty(folder)
    return left


def read_object(file: Path) -> dict[str, object]:
    """Read a JSON object; anything else is an empty one."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def write_object(file: Path, content: Mapping[str, object]) -> None:
    """Write a JSON object, whole or not at all, by way of ``<file>.partial``."""
    partial = file.with_name(file.name + PARTIAL)
    with partial.open("w", encoding="utf-8") as written:
        written.write(json.dumps(content, indent=1) + "\n")
        written.flush()
        os.fsync(written.fileno())
    partial.rename(file)


def _refuse_before_locking(folder: Path, kind: FolderKind, named: str) -> None:
    """Spare a foreign folder our lock; where there is one, the folder is judged under it."""
    for last in _LAST_OF_TRIES:
        try:
            refuse_foreign(folder, kind, named=named)
        except InputError:
            if last and not os.path.lexists(folder / LOCK):
                raise
        else:
            return


def _locked(folder: Path, named: str) -> FileLock:
    lock = FileLock(folder / LOCK, timeout=0)
    for last in _LAST_OF_TRIES:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise FolderBusyError(f"{named}: another process works there") from None
        except OSError as error:
            if last or not isinstance(error, (FileNotFoundError, FileExistsError)):
                raise _unwritable(named, error) from error
        else:
            break
    return lock


def _mark(folder: Path, kind: FolderKind) -> None:
    """Write the marker; the names in it are for people to read."""
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "kind": kind.name,
        "files": list(kind.files.patterns),
    }
    write_object(folder / MARKER, content)


def _check_marker(marker: Path, kind: FolderKind, named: str) -> None:
    found = read_object(marker)
    if found.get("format") != _FORMAT or found.get("version") != _VERSION:
        raise InputError(f"{named}: its {MARKER} is not one that this version of the program wrote")
    if found.get("kind") != kind.name:
        raise InputError(f"{named}: is a folder of a {found.get('kind')}, not of a {kind.name}")


def _is_described(folder: Path, kind: FolderKind) -> bool:
    description = folder / kind.description
    return description.is_file() and kind.describes(description)


def _is_begun(folder: Path) -> bool:
    """Whether a process was killed before it marked the folder."""
    begun = {LOCK, MARKER + PARTIAL}
    found = {path.name: path for path in folder.iterdir()}
    return set(found) <= begun and (LOCK not in found or found[LOCK].stat().st_size == 0)


def _unwritable(named: str, error: OSError) -> InputError:
    return InputError(f"{named}: cannot be written ({error.strerror or error})")
