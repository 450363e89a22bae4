"""What people have of a photograph (a file, its bytes, base64 of them, pixels), made readable."""

import base64
import binascii
import hashlib
import re
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import Refused
from fundus_ml.imaging.cropping import LoadPhotograph
from fundus_ml.imaging.photographs import Photograph, read_file, read_photograph

NOT_A_PHOTOGRAPH = "not a photograph"
"""Reason of what is neither a file, nor bytes of one, nor pixels."""
LONGEST_PATH = 4096
_DATA_ADDRESS = re.compile(r"data:[\w.+/-]*;base64,", re.ASCII)
_RGB = 3


def photograph_loader(given: object, *, files_below: str = "") -> LoadPhotograph:
    """Make one thing that a caller hands over readable as a photograph.

    A text is base64 of an image file. It is the path of a file only where ``files_below`` says
    which folder may be read, so that nobody can ask a server for the files of its machine.

    Args:
        given: ``bytes`` of an image file; a :class:`~pathlib.Path`; ``(H, W, 3)`` uint8 RGB pixels
            of a whole photograph; or a text: base64 of an image file, with or without ``data:…;
            base64,`` before it, or a path.
        files_below: Folder below which texts may name files; empty for none.

    Returns:
        Its loader, which raises ``Refused`` where it cannot be read.
    """
    if isinstance(given, Path):
        return from_file(given)
    if isinstance(given, bytes | bytearray | memoryview):
        return from_bytes(bytes(given))
    if isinstance(given, np.ndarray):
        return partial(_from_pixels, given)
    if isinstance(given, str):
        return partial(_from_text, given, files_below)
    return partial(_refuse, type(given).__name__)


def from_file(path: Path) -> LoadPhotograph:
    """Read the image file at ``path`` when it is asked for."""
    return partial(_read_file, path)


def from_bytes(content: bytes) -> LoadPhotograph:
    """Decode ``content`` when it is asked for."""
    return partial(read_photograph, content)


def _read_file(path: Path, least_side: int) -> Photograph:
    return read_photograph(read_file(path), least_side)


def _from_text(text: str, files_below: str, least_side: int) -> Photograph:
    if files_below and len(text) <= LONGEST_PATH:
        path = _file_below(text, Path(files_below))
        if path is not None:
            return _read_file(path, least_side)
    prefix = _DATA_ADDRESS.match(text[:LONGEST_PATH])
    encoded = "".join((text[prefix.end() :] if prefix else text).split())  # tools break its lines
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(
            NOT_A_PHOTOGRAPH,
            f"the text {text[:40]!r} is no base64 of an image file, "
            + (f"and no file below {files_below}" if files_below else _HOW_TO_NAME_FILES),
        ) from None
    return read_photograph(content, least_side)


_HOW_TO_NAME_FILES = (
    'and names no file: give pathlib.Path(...), or load with model_config={"files_below": FOLDER}'
)


def _file_below(text: str, folder: Path) -> Path | None:
    """The file that ``text`` names below ``folder``, links followed; None where there is none."""
    if "\0" in text:
        return None
    try:
        path = (folder / text).resolve()
        inside = path.is_relative_to(folder.resolve()) and path.is_file()
    except (OSError, RuntimeError):
        return None
    return path if inside else None


def _from_pixels(pixels: NDArray[np.generic], least_side: int) -> Photograph:
    del least_side  # nothing to decode
    shaped = pixels.ndim == _RGB and pixels.shape[2] == _RGB and pixels.size > 0
    if pixels.dtype != np.uint8 or not shaped:
        raise Refused(
            NOT_A_PHOTOGRAPH,
            f"an array of shape {pixels.shape}, {pixels.dtype}: must be (H, W, 3) of uint8 RGB",
        )
    image = np.ascontiguousarray(pixels, np.uint8)
    height, width = image.shape[:2]
    return Photograph(image, None, width, height, hashlib.sha256(image.tobytes()).hexdigest())


def _refuse(what: str, least_side: int) -> Photograph:
    del least_side
    raise Refused(
        NOT_A_PHOTOGRAPH, f"of type {what}; must be bytes, a path, base64 or (H, W, 3) uint8"
    )
