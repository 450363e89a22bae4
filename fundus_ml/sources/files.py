"""Photographs that are image files: found below a release's root, and read once."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd

from fundus_ml.errors import InputError, Refused, listed
from fundus_ml.imaging.photographs import (
    UNREADABLE,
    Photograph,
    read_file,
    read_photograph,
    shown,
)
from fundus_ml.sources.listing import Entry, Folder, Listing, as_path, as_text

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".jp2", ".j2k", ".dcm",
)  # fmt: skip
"""Endings a photograph's file may have, in the order they are looked for."""

FILE_MISSING = "file missing"
LEAVES_RELEASE = "path leaves the release"
AMBIGUOUS = "ambiguous file name"

REJECTED_COLUMNS = ("image_id", "reason", "detail")


def load_file(row: dict[str, object], least_side: int) -> Photograph:
    """Read the photograph at ``row["path"]`` upright, as 8-bit RGB.

    Args:
        row: A row of the release's table.
        least_side: Pixels its shorter side must keep; 0 is full size.

    Raises:
        Refused: As in :func:`~fundus_ml.imaging.photographs.read_file` and
            :func:`~fundus_ml.imaging.decoding.decode_photograph`.
    """
    return read_photograph(read_file(as_path(str(row["path"]))), least_side)


def named_by_id(refused: Refused, row: Mapping[str, object]) -> Refused:
    """Say what is wrong with a row's photograph without the path of its file."""
    path = shown(as_path(str(row["path"])))
    return Refused(refused.reason, refused.detail.replace(path, str(row["image_id"])))


def image_files(root: Path) -> list[str]:
    """List every image file below a folder, by its path there, in order; hidden ones are left out.

    Returns:
        What :func:`~fundus_ml.sources.listing.as_path` turns back into a path.

    Raises:
        InputError: ``root`` is no folder, or one below it cannot be read.
    """
    if not root.is_dir():
        raise InputError(f"photographs={root}: no such folder")
    try:
        below = [path.relative_to(root) for path in files_below(root)]
    except OSError as error:
        raise InputError(
            f"photographs={error.filename}: cannot be read ({error.strerror})"
        ) from error
    return sorted(
        as_text(path)
        for path in below
        if path.name.lower().endswith(IMAGE_SUFFIXES)
        and not any(part.startswith(".") for part in path.parts)
    )


def files_below(folder: Path, around: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Every file, through linked folders too, but for links back to a folder around them.

    Args:
        folder: Where to look.
        around: Real paths of the folders it lies in.

    Raises:
        OSError: A folder cannot be read.
    """
    here = os.path.realpath(folder)
    if here in around:
        return
    for path in folder.iterdir():
        if path.is_dir():
            yield from files_below(path, around | {here})
        elif path.is_file():
            yield path


def find_files(root: Path, named: Sequence[Sequence[str]]) -> list[Path | Refused]:
    r"""Find each photograph below the root of its release.

    A file of exactly the name goes first. A photograph that has none may be a file that no other
    one is exactly named for and that differs in what people and systems change: capitals, the
    Unicode form, ``\`` for ``/``, ``.jpeg`` for ``.jpg``, or the ending where the name has none.

    Args:
        root: Folder of the release.
        named: For each photograph the paths below ``root`` at which it may lie; the first that is
            a file counts.

    Returns:
        For each photograph its file, or why there is none: a path that is absolute, goes up, or
        is a link to a place outside ``root`` (``path leaves the release``), ``file missing``, a
        folder that may not be looked into (``unreadable``), or several files or photographs that
        may be meant (``ambiguous file name``).
    """
    listing = Listing(root, IMAGE_SUFFIXES)
    found = [_exactly(listing, names) for names in named]
    taken = {file for file in found if isinstance(file, Path)}
    lost = [
        place
        for place, file in enumerate(found)
        if isinstance(file, Refused) and file.reason == FILE_MISSING
    ]
    guesses = {place: _loosely(listing, named[place], taken) for place in lost}
    claims: defaultdict[Path, set[str]] = defaultdict(set)
    for place, file in guesses.items():
        if isinstance(file, Path):
            claims[file].add(named[place][0])
    for place, file in guesses.items():
        rivals = sorted(claims[file]) if isinstance(file, Path) else []
        clash = len(rivals) > 1
        found[place] = Refused(AMBIGUOUS, _either(rivals, "can mean one file")) if clash else file
    return found


def without_suffix(files: pd.Series) -> pd.Series:
    """Cut the ending of an image file off each name; ``1.2.jpg`` becomes ``1.2``, and stays."""
    endings = "|".join(re.escape(suffix) for suffix in IMAGE_SUFFIXES)
    return files.str.replace(rf"(?i)(?:{endings})$", "", regex=True)


def rejected_rows(refused: list[tuple[str, str, str]]) -> pd.DataFrame:
    """Table of (image_id, reason, detail), also when nothing was refused."""
    return pd.DataFrame(refused, columns=list(REJECTED_COLUMNS), dtype="str")


def _exactly(listing: Listing, names: Sequence[str]) -> Path | Refused:
    refused = Refused(FILE_MISSING, names[0])
    for name in names:
        if _goes_up(name):
            return Refused(LEAVES_RELEASE, name)
        for spelled in dict.fromkeys((name, _with_slashes(name))):
            try:
                found = listing.exactly(spelled)
                if found is not None and found[1].is_file():
                    return _inside(listing, name, *found)
            except OSError as error:
                refused = Refused(UNREADABLE, f"{name}: {error.strerror}")
    return refused


def _loosely(listing: Listing, names: Sequence[str], taken: set[Path]) -> Path | Refused:
    for name in names:
        files = [
            (folder, entry)
            for folder, entry in listing.loosely(_with_slashes(name))
            if _path(entry) not in taken and _is_file(entry)
        ]
        if len(files) > 1:
            rivals = sorted(shown(entry.name) for _, entry in files)
            return Refused(AMBIGUOUS, f"{name}: {_either(rivals, 'can be meant')}")
        if files:
            return _inside(listing, name, *files[0])
    return Refused(FILE_MISSING, names[0])


def _inside(listing: Listing, name: str, folder: Folder, entry: Entry) -> Path | Refused:
    real = os.path.realpath(entry.path) if entry.is_symlink() else folder.real + b"/" + entry.name
    if os.path.commonpath([real, listing.home]) != listing.home:
        return Refused(LEAVES_RELEASE, f"{name} is a link to {shown(real)}")
    return _path(entry)


def _is_file(entry: Entry) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _path(entry: Entry) -> Path:
    return Path(os.fsdecode(entry.path))


def _with_slashes(name: str) -> str:
    return name.replace("\\", "/")


def _either(names: Sequence[str], what: str) -> str:
    return f"{listed([repr(name) for name in names])} {what}"


def _goes_up(name: str) -> bool:
    # Tables are written on either kind of system.
    return any(
        path.anchor or ".." in path.parts for path in (PurePosixPath(name), PureWindowsPath(name))
    )
