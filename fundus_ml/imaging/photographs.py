"""One photograph as the camera left it, and the one way a file of it is read."""

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import Refused, printable
from fundus_ml.imaging.decoding import decode_photograph
from fundus_ml.imaging.regions.structures import Regions

MOST_BYTES = 1_000_000_000
"""Bytes of the largest file read: 100 million plain pixels of four 16-bit samples take 0.8 GB."""
UNREADABLE = "unreadable"


class Photograph(NamedTuple):
    """One frame as the camera left it, perhaps decoded smaller.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB, upright.
        regions: ``(H, W)`` uint8 map of ``REGION_FLAGS``, or None where the source has none.
        width: Width of the original photograph, pixels; ``W`` may be less.
        height: Likewise.
        sha256: 64 hexadecimal digits: of the file, or of the pixels where it never was one.
        remarks: Flags the photograph itself gives its eye, such as ``scaled from 16 bits``.
        parts: Where its parts lie, in pixels of ``image``; None where the source does not know.
    """

    image: NDArray[np.uint8]
    regions: NDArray[np.uint8] | None
    width: int
    height: int
    sha256: str
    remarks: tuple[str, ...] = ()
    parts: Regions | None = None


def read_photograph(content: bytes, least_side: int) -> Photograph:
    """Decode the bytes of an image file, upright and as 8-bit RGB.

    Args:
        content: The file.
        least_side: Pixels its shorter side must keep; 0 is full size.

    Raises:
        Refused: As in :func:`~fundus_ml.imaging.decoding.decode_photograph`.
    """
    decoded = decode_photograph(content, least_side=least_side)
    return Photograph(
        image=decoded.image,
        regions=None,
        width=decoded.width,
        height=decoded.height,
        sha256=hashlib.sha256(content).hexdigest(),
        remarks=decoded.remarks,
    )


def shown(path: str | bytes | Path) -> str:
    """Write a path of this system for a reader."""
    return printable(os.fsencode(path).decode("utf-8", "replace"))


def read_file(path: Path) -> bytes:
    """Read a whole regular file that stays as it is meanwhile.

    Raises:
        Refused: It cannot be read or is no regular file (``unreadable``), holds more than
            :data:`MOST_BYTES` (``too large``), or was written to meanwhile (``changed while
            read``).
    """
    try:
        return _read(path)
    except OSError as error:
        raise Refused(UNREADABLE, f"{shown(path)}: {error.strerror}") from None


def _read(path: Path) -> bytes:
    with open(path, "rb", opener=_at_once) as file:
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise Refused(UNREADABLE, f"{shown(path)}: no regular file")
        if before.st_size > MOST_BYTES:
            detail = f"{shown(path)}: {before.st_size:,} bytes, {MOST_BYTES:,} are allowed"
            raise Refused("too large", detail)
        content = file.read(before.st_size + 1)
        after = os.fstat(file.fileno())
    changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
    if changed or len(content) != before.st_size:
        detail = f"{shown(path)}: {before.st_size:,} bytes at first, {after.st_size:,} at the end"
        raise Refused("changed while read", detail)
    return content


def _at_once(path: str, flags: int) -> int:
    # A pipe put in the file's place would be waited on for ever.
    return os.open(path, flags | os.O_NONBLOCK)
