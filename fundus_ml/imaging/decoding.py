"""Bytes of an image file become 8-bit RGB, upright and no larger than needed, or a reason."""

import warnings
from typing import NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ImageFile

from fundus_ml.errors import Refused
from fundus_ml.imaging.bit_depths import BYTE, ROOM, depth_remark, eight_bits, stored_bits
from fundus_ml.imaging.image_headers import (
    UNREADABLE,
    bits_per_sample,
    broken,
    lacks_end,
    read_header,
)
from fundus_ml.imaging.opencv import cv2

ORIENTATION = 0x0112
"""EXIF tag that says how the camera was held."""
WITHOUT_TRANSFORM = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
"""Segment that tells a JPEG decoder that the components are RGB."""


class Decoded(NamedTuple):
    """A photograph's pixels, and how large it was stored.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB, upright, contiguous.
        width: Width of the stored photograph held upright, pixels; ``W`` may be less.
        height: Likewise.
        remarks: What was done to the samples, such as ``scaled from 16 bits``.
    """

    image: NDArray[np.uint8]
    width: int
    height: int
    remarks: tuple[str, ...] = ()


def decode_photograph(content: bytes, *, least_side: int) -> Decoded:
    """Decode an image file once its header has shown that it is a photograph.

    A JPEG is decoded straight to the smallest of the scales its blocks allow (eighths) whose
    shorter side is still ``least_side``: an eighth of the size costs a sixth of the time. Damage
    inside coded data is seen where it breaks the code, not where it only changes colours; BMP and
    uncompressed TIFF and DICOM have no code to break. Samples of more than 8 bits are scaled by
    the range they were stored in (:mod:`~fundus_ml.imaging.bit_depths`). An alpha channel that
    hides nothing is left out. A TIFF's largest page is the photograph.

    Args:
        content: The file: JPEG, PNG, TIFF, BMP, WebP, JPEG 2000, or DICOM that holds one of
            JPEG, JPEG 2000 or uncompressed samples.
        least_side: Pixels the shorter side must keep; 0 is full size.

    Raises:
        Refused: ``empty file``, ``alpha`` (something shines through), and the reasons of
            :func:`~fundus_ml.imaging.image_headers.read_header` and
            :func:`~fundus_ml.imaging.dicom.read_dicom`.
    """
    if not content:
        raise Refused("empty file", "0 bytes")
    if content.startswith(b"DICM", 128):
        return _decode_dicom(content, least_side)
    header = read_header(content)
    image, remarks = _decode(header, content, least_side)
    turn = _orientation(header)
    width, height = header.size
    if turn in range(5, 9):
        width, height = height, width
    return Decoded(_upright(image, turn), width, height, remarks)


def stored_size(content: bytes) -> tuple[int, int]:
    """Read the size of a photograph off its header; of most formats no pixel is decoded.

    Args:
        content: The file, as for :func:`decode_photograph`.

    Returns:
        Width and height as stored, pixels.

    Raises:
        Refused: ``empty file``, ``truncated`` where the end of the file is not there, and the
            reasons of :func:`~fundus_ml.imaging.image_headers.read_header` and
            :func:`~fundus_ml.imaging.dicom.read_dicom`.
    """
    if not content:
        raise Refused("empty file", "0 bytes")
    if content.startswith(b"DICM", 128):
        decoded = _decode_dicom(content, 1)
        return decoded.width, decoded.height
    header = read_header(content)
    if lacks_end(content):
        raise Refused("truncated", "the mark of the file's end is not there")
    return header.width, header.height


def _decode(
    header: ImageFile.ImageFile, content: bytes, least_side: int
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    if header.format in ("JPEG", "MPO"):
        return _decode_jpeg(content, least_side), ()
    bits = bits_per_sample(header, content)
    shallow = _decode_other(header, content, opaque=bits <= BYTE)
    if bits <= BYTE:
        return shallow, ()
    deep = _decode_deep(header, content, shallow, bits)
    bits = stored_bits(deep) if bits == ROOM else bits
    return eight_bits(deep, bits), (depth_remark(bits),)


def _decode_dicom(content: bytes, least_side: int) -> Decoded:
    try:
        from fundus_ml.imaging.dicom import Samples, read_dicom  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pydicom":
            raise
        detail = "`pip install pydicom` (the extra `dicom`), and run again"
        raise Refused("DICOM without pydicom", detail) from None
    stored = read_dicom(content)
    if isinstance(stored, Samples):
        height, width = stored.image.shape[:2]
        if stored.bits == BYTE:
            return Decoded(np.ascontiguousarray(stored.image, np.uint8), width, height)
        scaled = eight_bits(stored.image, stored.bits)
        return Decoded(scaled, width, height, (depth_remark(stored.bits),))
    inner = stored.content
    header = read_header(inner, (stored.format,))
    if header.size != (stored.width, stored.height):
        said = f"Columns and Rows say {stored.width} x {stored.height}"
        raise Refused("damaged", f"its {stored.format} is {header.width} x {header.height}, {said}")
    if stored.colours == "RGB" and _may_be_rgb(header):
        inner = inner[:2] + WITHOUT_TRANSFORM + inner[2:]
    image, remarks = _decode(header, inner, least_side)
    return Decoded(image, stored.width, stored.height, remarks)


def _may_be_rgb(header: ImageFile.ImageFile) -> bool:
    """Whether a JPEG neither says what its components are nor halves those of colour."""
    said = {"jfif", "adobe"} & set(header.info)
    layers = getattr(header, "layer", [])
    return not said and len({layer[1:3] for layer in layers}) == 1


def _decode_jpeg(content: bytes, least_side: int) -> NDArray[np.uint8]:
    try:
        return np.asarray(
            simplejpeg.decode_jpeg(
                content, "RGB", min_height=least_side, min_width=least_side, strict=True
            )
        )
    except ValueError as error:
        said = str(error)
        if lacks_end(content) or "Premature end" in said:
            raise Refused("truncated", said) from None
        unusual = "subsampling" in said or "upported" in said
        raise Refused("unusual JPEG" if unusual else "damaged", said) from None


def _decode_other(
    header: ImageFile.ImageFile, content: bytes, *, opaque: bool
) -> NDArray[np.uint8]:
    # OpenCV reads these a third faster, but fills what is damaged in a TIFF and says nothing.
    try:
        with warnings.catch_warnings(action="ignore"):
            header.load()
            if opaque and (header.mode in ("RGBA", "PA") or "transparency" in header.info):
                image = header if header.mode == "RGBA" else header.convert("RGBA")
                _refuse_transparency(np.asarray(image.getchannel("A")), 255)
                return np.array(image.convert("RGB"))
            return np.array(header.convert("RGB"))
    except UNREADABLE as error:
        if isinstance(error, Refused):
            raise
        said = str(error) or f"no memory for {header.width} x {header.height} pixels"
        raise Refused(broken(error, content), said) from None


def _decode_deep(
    header: ImageFile.ImageFile, content: bytes, shallow: NDArray[np.uint8], bits: int
) -> NDArray[np.uint16]:
    """Decode every bit with OpenCV; what Pillow made of the upper 8 tells whether it is right."""
    page = header.tell()
    try:
        _, pages = cv2.imdecodemulti(
            np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED, range=(page, page + 1)
        )
    except cv2.error:
        pages = ()
    deep = pages[0] if pages else np.zeros(0)
    if deep.dtype != np.uint16 or deep.shape[2:] not in ((3,), (4,)):
        raise Refused(f"unusual {header.format}", f"OpenCV finds no colours of {bits} bits")
    colours = np.asarray(deep[..., 2::-1], np.uint16)
    if not _agree(colours, shallow, bits):
        detail = f"the two readings of its {bits} bits differ"
        raise Refused(f"unusual {header.format}", detail)
    if deep.shape[2:] == (4,):
        _refuse_transparency(np.asarray(deep[..., 3], np.uint16), 2**bits - 1)
    return colours


def _agree(deep: NDArray[np.uint16], shallow: NDArray[np.uint8], bits: int) -> bool:
    """Whether the upper 8 bits are the same but for rounding, and past white for beginning at 0."""
    if deep.shape != shallow.shape:
        return False
    apart = (deep >> (bits - BYTE)).astype(np.uint8) - shallow
    return bool(np.isin(apart, (0, 1, 255)).all())


def _refuse_transparency(alpha: NDArray[np.uint8] | NDArray[np.uint16], opaque: int) -> None:
    through = np.count_nonzero(alpha < opaque)
    if through:
        raise Refused("alpha", f"{100 * through / alpha.size:.3g} % of the pixels are see-through")


def _orientation(header: ImageFile.ImageFile) -> int:
    # Pillow decodes a PNG to look for EXIF behind its pixels, and turns a TIFF while decoding it:
    # asked only when either has been decoded already.
    try:
        with warnings.catch_warnings(action="ignore"):
            turn = header.getexif().get(ORIENTATION, 1)
    except UNREADABLE as error:
        raise Refused("damaged", f"in the EXIF block: {error}") from None
    return turn if turn in range(1, 9) else 1


def _upright(image: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    if turn in range(5, 9):
        image = image.transpose(1, 0, 2)
    if turn in (3, 4, 7, 8):
        image = image[::-1]
    if turn in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
