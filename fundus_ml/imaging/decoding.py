"""Bytes of an image file become 8-bit RGB, upright and no larger than needed, or a reason."""

import struct
import warnings
from io import BytesIO
from typing import NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from fundus_ml.errors import Refused

FORMATS = ("JPEG", "PNG", "TIFF", "BMP")
"""What photographs are stored as; Pillow's names."""
MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"BM")
"""How files of these formats begin."""
MOST_PIXELS = 100_000_000
"""Pixels of the largest photograph taken; the widest fundus cameras stay below 20 million."""
ORIENTATION = 0x0112
"""EXIF tag that says how the camera was held."""
UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error)
"""What Pillow raises on files that are not as their format says."""

REASON_OF_MODE = {
    "CMYK": "CMYK",
    **dict.fromkeys(("1", "L", "I", "F"), "grey"),
    **dict.fromkeys(("RGBA", "LA", "PA", "La", "RGBa"), "alpha"),
}
"""Why a file of one of Pillow's modes is refused."""


class Decoded(NamedTuple):
    """A photograph's pixels, and how large it was stored.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB, upright, contiguous.
        width: Of the stored photograph held upright, pixels; ``W`` may be less.
        height: Likewise.
    """

    image: NDArray[np.uint8]
    width: int
    height: int


def decode_photograph(content: bytes, *, least_side: int) -> Decoded:
    """Decode an image file once its header has shown that it is a photograph.

    A JPEG is decoded straight to the smallest of the scales its blocks allow (eighths) whose
    shorter side is still ``least_side``: an eighth of the size costs a sixth of the time. Damage
    inside a JPEG's coded data is seen where it breaks the code, not where it only changes colours;
    BMP and uncompressed TIFF have no code to break.

    Args:
        content: The file: JPEG, PNG, TIFF or BMP.
        least_side: Pixels the shorter side must keep; 0 is full size.

    Raises:
        Refused: ``empty file``, ``not an image``, ``truncated``, ``damaged``, ``too large``
            (:data:`MOST_PIXELS`; nothing is decoded), ``CMYK``, ``16-bit``, ``grey``, ``alpha``,
            ``unusual colours``, ``unusual JPEG``.
    """
    header = _read_header(content)
    _check_header(header)
    jpeg = header.format in ("JPEG", "MPO")
    image = _decode_jpeg(content, least_side) if jpeg else _decode_other(header)
    turn = _orientation(header)
    width, height = header.size
    if turn in range(5, 9):
        width, height = height, width
    return Decoded(_upright(image, turn), width, height)


def _read_header(content: bytes) -> ImageFile.ImageFile:
    if not content:
        raise Refused("empty file", "0 bytes")
    try:
        with warnings.catch_warnings(action="ignore"):
            return Image.open(BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise Refused("too large", str(error)) from None
    except UnidentifiedImageError:
        if content.startswith(MAGIC):
            reason = "truncated" if _lacks_end(content) else "damaged"
            raise Refused(reason, "the header cannot be read") from None
        raise Refused("not an image", f"neither {', '.join(FORMATS)}") from None
    except UNREADABLE as error:
        raise Refused(_kind(error), f"in the header: {error}") from None


def _check_header(header: ImageFile.ImageFile) -> None:
    width, height = header.size
    if width * height > MOST_PIXELS:
        raise Refused("too large", f"{width} x {height} pixels, {MOST_PIXELS:,} are allowed")
    if "16" in header.mode or any("16" in _packing(tile.args) for tile in header.tile):
        raise Refused("16-bit", f"{header.format} of mode {header.mode}")
    if "transparency" in header.info:
        raise Refused("alpha", f"{header.format} of mode {header.mode} with transparency")
    if header.mode not in ("RGB", "P"):
        reason = REASON_OF_MODE.get(header.mode, "unusual colours")
        raise Refused(reason, f"{header.format} of mode {header.mode}")


def _packing(args: object) -> str:
    # Pillow calls 16 bits per channel RGB as well; its decoder is told `RGB;16B`.
    return str(args[0] if isinstance(args, tuple) and args else args)


def _decode_jpeg(content: bytes, least_side: int) -> NDArray[np.uint8]:
    try:
        return np.asarray(
            simplejpeg.decode_jpeg(
                content, "RGB", min_height=least_side, min_width=least_side, strict=True
            )
        )
    except ValueError as error:
        said = str(error)
        if _lacks_end(content) or "Premature end" in said:
            raise Refused("truncated", said) from None
        unusual = "subsampling" in said or "upported" in said
        raise Refused("unusual JPEG" if unusual else "damaged", said) from None


def _decode_other(header: ImageFile.ImageFile) -> NDArray[np.uint8]:
    # OpenCV reads these a third faster, but fills what is damaged in a TIFF and says nothing.
    try:
        with warnings.catch_warnings(action="ignore"):
            return np.array(header.convert("RGB"))
    except UNREADABLE as error:
        raise Refused(_kind(error), str(error)) from None


def _orientation(header: ImageFile.ImageFile) -> int:
    # Pillow decodes a PNG to look for EXIF behind its pixels, and turns a TIFF while decoding it:
    # asked only when either has been decoded already.
    try:
        with warnings.catch_warnings(action="ignore"):
            turn = header.getexif().get(ORIENTATION, 1)
    except UNREADABLE as error:
        raise Refused("damaged", f"in the EXIF block: {error}") from None
    return turn if turn in range(1, 9) else 1


def _kind(error: Exception) -> str:
    return "truncated" if "truncated" in str(error).lower() else "damaged"


def _lacks_end(content: bytes) -> bool:
    # No marker can occur in a JPEG's coded data: its end comes after the last scan's start.
    if content.startswith(b"\xff\xd8"):
        return content.rfind(b"\xff\xd9") <= content.rfind(b"\xff\xda")
    return content.startswith(b"\x89PNG") and b"IEND" not in content


def _upright(image: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    if turn in range(5, 9):
        image = image.transpose(1, 0, 2)
    if turn in (3, 4, 7, 8):
        image = image[::-1]
    if turn in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
