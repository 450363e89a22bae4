"""Photographs that are image files: found below a release's root, and read once."""

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd

from fundus_ml.errors import Refused
from fundus_ml.imaging.decoding import decode_photograph
from fundus_ml.sources.photographs import Photograph

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".jp2", ".j2k", ".dcm",
)  # fmt: skip
"""Endings a photograph's file may have, in the order they are looked for."""
MOST_BYTES = 1_000_000_000
"""Of the largest file read: 100 million uncompressed pixels of four 16-bit samples take 0.8 GB."""

FILE_MISSING = "file missing"
LEAVES_RELEASE = "path leaves the release"
UNREADABLE = "unreadable"

REJECTED_COLUMNS = ("image_id", "reason", "detail")


def load_file(row: dict[str, object], least_side: int) -> Photograph:
    """Read the photograph at ``row["path"]`` upright, as 8-bit RGB.

    Args:
        row: A row of the release's table.
        least_side: Pixels its shorter side must keep; 0 is full size.

    Raises:
        Refused: The file cannot be read (``unreadable``), holds more than :data:`MOST_BYTES`
            (``too large``), was written to meanwhile (``changed while read``), or one of the
            reasons of :func:`~fundus_ml.imaging.decoding.decode_photograph`.
    """
    path = Path(str(row["path"]))
    try:
        content = _read(path)
    except OSError as error:
        raise Refused(UNREADABLE, f"{path}: {error.strerror}") from None
    decoded = decode_photograph(content, least_side=least_side)
    return Photograph(
        image=decoded.image,
        regions=None,
        width=decoded.width,
        height=decoded.height,
        sha256=hashlib.sha256(content).hexdigest(),
        remarks=decoded.remarks,
    )


def find_files(root: Path, named: Sequence[Sequence[str]]) -> list[Path | Refused]:
    """Find each photograph below the root of its release.

    Args:
        root: Folder of the release.
        named: For each photograph the paths below ``root`` at which it may lie; the first that is
            a file counts.

    Returns:
        For each photograph its file, or why there is none: a path that is absolute, goes up, or
        is a link to a place outside ``root`` (``path leaves the release``), ``file missing``, or
        a folder that may not be looked into (``unreadable``).
    """
    home = Path(os.path.realpath(root))
    return [_find(root, home, names) for names in named]


def without_suffix(files: pd.Series) -> pd.Series:
    """Cut the ending of an image file off each name; ``1.2.jpg`` becomes ``1.2``, and stays."""
    endings = "|".join(re.escape(suffix) for suffix in IMAGE_SUFFIXES)
    return files.str.replace(rf"(?i)(?:{endings})$", "", regex=True)


def rejected_rows(refused: list[tuple[str, str, str]]) -> pd.DataFrame:
    """Table of (image_id, reason, detail), also when nothing was refused."""
    return pd.DataFrame(refused, columns=list(REJECTED_COLUMNS), dtype="str")


def _read(path: Path) -> bytes:
    """Read a whole regular file that stays as it is meanwhile."""
    with open(path, "rb", opener=_at_once) as file:
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise Refused(UNREADABLE, f"{path}: no regular file")
        if before.st_size > MOST_BYTES:
            detail = f"{path}: {before.st_size:,} bytes, {MOST_BYTES:,} are allowed"
            raise Refused("too large", detail)
        content = file.read(before.st_size + 1)
        after = os.fstat(file.fileno())
    changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
    if changed or len(content) != before.st_size:
        detail = f"{path}: {before.st_size:,} bytes at first, {after.st_size:,} at the end"
        raise Refused("changed while read", detail)
    return content


def _at_once(path: str, flags: int) -> int:
    # A pipe put in the file's place would be waited on for ever.
    return os.open(path, flags | os.O_NONBLOCK)


def _find(root: Path, home: Path, names: Sequence[str]) -> Path | Refused:
    refused = Refused(FILE_MISSING, names[0])
    for name in names:
        if _goes_up(name):
            return Refused(LEAVES_RELEASE, name)
        path = root / name
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                continue
        except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in it
            continue
        except OSError as error:
            refused = Refused(UNREADABLE, f"{name}: {error.strerror}")
            continue
        lies = Path(os.path.realpath(path))
        if not lies.is_relative_to(home):
            return Refused(LEAVES_RELEASE, f"{name} is a link to {lies}")
        return path
    return refused


def _goes_up(name: str) -> bool:
    # Tables are written on either kind of system.
    return any(
        path.anchor or ".." in path.parts for path in (PurePosixPath(name), PureWindowsPath(name))
    )
