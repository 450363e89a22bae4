"""What the header of an image file says before any pixel is decoded: a photograph, or a reason."""

import struct
import warnings
from io import BytesIO

from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from fundus_ml.errors import Refused
from fundus_ml.imaging.bit_depths import BYTE, ROOM

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "JPEG2000")
"""What photographs are stored as, besides DICOM; Pillow's names."""
OTHER_FORMATS = {
    (0, b"GIF8"): "GIF",
    (0, b"%PDF"): "PDF",
    (0, b"PK\3\4"): "ZIP",
    (0, b"8BPS"): "Photoshop",
    (4, b"ftyp"): "HEIC, AVIF or video",
}
"""Where and how files of formats that are known and not read begin."""
MOST_PIXELS = 100_000_000
"""Pixels of the largest photograph taken; the widest fundus cameras stay below 20 million."""
MOST_PIXELS_PER_BYTE = 10_000
"""A photograph takes more room: black deflates to 333 pixels a byte."""
MOST_PAGES = 100
"""Pages of a TIFF that are looked at."""
ALIKE = 0.5
"""Share of the largest page's pixels from which another page is a second photograph: a thumbnail
and the levels of a pyramid (a quarter) hold less."""
UNREADABLE = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, MemoryError, struct.error,
)  # fmt: skip
"""What Pillow raises on files that are not as their format says; MemoryError on absurd sizes."""

_MAGIC = (
    b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM",
    b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51",
)  # fmt: skip
_CODESTREAM = b"\xff\x4f\xff\x51"
_FIRST_DEPTH = 42
_REASON_OF_MODE = {
    "CMYK": "CMYK",
    **dict.fromkeys(("1", "L", "I", "F", "LA", "La"), "grey"),
    **dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N"), "grey"),
}
_COLOURS = ("RGB", "RGBA", "P", "PA")


def read_header(content: bytes, formats: tuple[str, ...] = FORMATS) -> ImageFile.ImageFile:
    """Open an image file at its one photograph; nothing of it is decoded.

    Args:
        content: The file, not empty.
        formats: Names among :data:`FORMATS`, those it may have.

    Returns:
        Pillow's file, at the largest page of a TIFF, of a mode that has colours.

    Raises:
        Refused: ``not an image``, ``format not read``, ``truncated``, ``damaged``, ``unusual
            JPEG`` (and ``TIFF``, …), ``several frames``, ``several pages``, ``too large``,
            ``CMYK``, ``grey``, ``unusual colours``.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            header = Image.open(BytesIO(content), formats=formats)
            _find_photograph(header)
            _check_size(header, len(content))
            _check_colours(header)
    except Image.DecompressionBombError as error:
        raise Refused("too large", str(error)) from None
    except UnidentifiedImageError:
        raise _unidentified(content, formats) from None
    except Refused:
        raise
    except UNREADABLE as error:
        raise Refused(broken(error, content), f"in the header: {error}") from None
    return header


def bits_per_sample(header: ImageFile.ImageFile, content: bytes) -> int:
    """Bits that the file says each sample has: 16 of a TIFF or PNG, up to 38 of a JPEG 2000."""
    if header.format == "JPEG2000":
        # Its three (or four) components stand three bytes apart; the highest bit tells the sign.
        first = content.find(_CODESTREAM) + _FIRST_DEPTH
        depths = [(depth & 0x7F) + 1 for depth in content[first : first + 9 : 3]]
        return max(depths, default=BYTE)
    if isinstance(header, TiffImagePlugin.TiffImageFile):
        bits = header.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
        return BYTE if header.mode in ("P", "PA") else max(bits)
    if header.format == "BMP":
        return BYTE  # 16 of them hold all three samples
    return ROOM if "16" in _packing(header) else BYTE


def broken(error: Exception, content: bytes) -> str:
    """Name what is wrong with a file: it is ``too large``, ends too early, or is ``damaged``."""
    said = str(error).lower()
    if isinstance(error, MemoryError) or "too large" in said:
        return "too large"
    return "truncated" if "truncated" in said or lacks_end(content) else "damaged"


def lacks_end(content: bytes) -> bool:
    """Whether a file of a format that marks its end lacks the mark."""
    # No marker can occur in a JPEG's coded data: its end comes after the last scan's start.
    if content.startswith(b"\xff\xd8"):
        return content.rfind(b"\xff\xd9") <= content.rfind(b"\xff\xda")
    if content.startswith(b"\x89PNG"):
        return b"IEND" not in content
    if _is_webp(content):
        return len(content) < 8 + int.from_bytes(content[4:8], "little")
    if content.startswith((_CODESTREAM, b"\0\0\0\x0cjP  ")):
        return b"\xff\xd9" not in content[content.find(_CODESTREAM) :]
    return False


def _unidentified(content: bytes, formats: tuple[str, ...]) -> Refused:
    if content.startswith(_MAGIC) or _is_webp(content):
        return _unopened(content, formats)
    for (start, magic), name in OTHER_FORMATS.items():
        if content.startswith(magic, start):
            return Refused("format not read", f"{name}; save it as {', '.join(FORMATS)}")
    return Refused("not an image", f"neither {', '.join(FORMATS)} nor DICOM")


def _unopened(content: bytes, formats: tuple[str, ...]) -> Refused:
    """Ask the format's own plugin what `Image.open` keeps to itself."""
    said = ""
    for name in formats:
        plugin, accepts = Image.OPEN[name]
        if accepts is None or accepts(content[:16]) is not True:
            continue
        try:
            with warnings.catch_warnings(action="ignore"):
                plugin(BytesIO(content), "")
        except UNREADABLE as error:
            said = str(error)
        if not lacks_end(content) and _is_unusual(said):
            return Refused(f"unusual {name}", said)
    reason = "truncated" if lacks_end(content) else "damaged"
    return Refused(reason, f"the header cannot be read: {said}".removesuffix(": "))


def _is_unusual(said: str) -> bool:
    return any(words in said for words in ("cannot handle", "unknown", "unable to det"))


def _is_webp(content: bytes) -> bool:
    return content.startswith(b"RIFF") and content.startswith(b"WEBP", 8)


def _find_photograph(header: ImageFile.ImageFile) -> None:
    """Go to the largest page of a TIFF; refuse several pages of one size, and animations."""
    if isinstance(header, TiffImagePlugin.TiffImageFile):
        if header.is_animated:
            header.seek(_largest_page(_page_sizes(header)))
        return
    # A second picture behind a JPEG's is a preview that some cameras append.
    if header.format != "MPO" and getattr(header, "n_frames", 1) > 1:
        frames = getattr(header, "n_frames", 1)
        raise Refused("several frames", f"{frames} frames; save the one photograph by itself")


def _page_sizes(header: TiffImagePlugin.TiffImageFile) -> list[tuple[int, int]]:
    sizes: list[tuple[int, int]] = []
    while len(sizes) <= MOST_PAGES:
        try:
            header.seek(len(sizes))
        except EOFError:
            return sizes
        except UNREADABLE as error:
            detail = f"page {len(sizes) + 1}: {error}"
            raise Refused(
                "unusual TIFF" if _is_unusual(str(error)) else "damaged", detail
            ) from None
        sizes.append(header.size)
    raise Refused("several pages", f"more than {MOST_PAGES}")


def _largest_page(sizes: list[tuple[int, int]]) -> int:
    pixels = [width * height for width, height in sizes]
    page = pixels.index(max(pixels))
    alike = [
        size for size, count in zip(sizes, pixels, strict=True) if count >= ALIKE * pixels[page]
    ]
    if len(alike) > 1:
        shapes = " and ".join(f"{width} x {height}" for width, height in alike[:2])
        detail = f"{len(alike)} of {len(sizes)} pages are as large as photographs ({shapes} pixels)"
        raise Refused("several pages", f"{detail}; save the one photograph by itself")
    return page


def _check_size(header: ImageFile.ImageFile, size: int) -> None:
    width, height = header.size
    _refuse_large("", width, height)
    if isinstance(header, TiffImagePlugin.TiffImageFile):
        tile_width = header.tag_v2.get(TiffImagePlugin.TILEWIDTH, 0)
        _refuse_large("tiles of ", tile_width, header.tag_v2.get(TiffImagePlugin.TILELENGTH, 0))
    if width * height > MOST_PIXELS_PER_BYTE * size:
        detail = f"{width} x {height} pixels in {size:,} bytes: no photograph is so small"
        raise Refused("too large", detail)


def _refuse_large(what: str, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        detail = f"{what}{width} x {height} pixels, {MOST_PIXELS:,} are allowed"
        raise Refused("too large", detail)


def _check_colours(header: ImageFile.ImageFile) -> None:
    # Pillow reads PNG's grey with alpha at 16 bits into RGBA.
    mode = "LA" if _packing(header).startswith("LA;") else header.mode
    if mode not in _COLOURS:
        reason = _REASON_OF_MODE.get(mode, "unusual colours")
        raise Refused(reason, f"{header.format} of mode {mode}")


def _packing(header: ImageFile.ImageFile) -> str:
    # Pillow calls 16 bits per channel RGB as well; its decoder is told `RGB;16B`.
    args = header.tile[0].args if header.tile else ""
    return str(args[0] if isinstance(args, tuple) and args else args)
