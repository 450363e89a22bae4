"""The photograph in a DICOM file: the one place that imports pydicom (the extra ``dicom``).

Only the elements that describe the pixels are read, and no text of the file is repeated in a
reason: where the file is damaged, it may be the patient's name.
"""

import struct
import warnings
import zlib
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_fragments, parse_basic_offsets
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.pixels.processing import apply_color_lut, convert_color_space
from pydicom.pixels.utils import pixel_array
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    JPEG2000,
    UID,
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
)

from fundus_ml.errors import Refused
from fundus_ml.imaging.bit_depths import BYTE, stored_bits
from fundus_ml.imaging.image_headers import MOST_PIXELS

MOST_INFLATED = 3 * MOST_PIXELS
"""Bytes that a deflated data set may become."""
META_STARTS = 132
"""Bytes of the preamble and of ``DICM`` before the file's own group of elements."""
BAND = 256
"""Rows converted between colour spaces at a time: pydicom does so in 32-bit floats."""

_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_FORMATS = {
    JPEGBaseline8Bit: "JPEG",
    JPEGExtended12Bit: "JPEG",
    JPEG2000Lossless: "JPEG2000",
    JPEG2000: "JPEG2000",
}
_SAMPLES = {"RGB": 3, "YBR_FULL": 3, "YBR_FULL_422": 3, "PALETTE COLOR": 1}
_INSIDE_JPEG_2000 = ("YBR_ICT", "YBR_RCT")
_READ: list[BaseTag | int] = [
    Tag(keyword)
    for keyword in (
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "PlanarConfiguration",
        "NumberOfFrames",
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "RedPaletteColorLookupTableDescriptor",
        "GreenPaletteColorLookupTableDescriptor",
        "BluePaletteColorLookupTableDescriptor",
        "RedPaletteColorLookupTableData",
        "GreenPaletteColorLookupTableData",
        "BluePaletteColorLookupTableData",
        "PixelData",
    )
]
_BROKEN = (
    ArithmeticError, AttributeError, EOFError, InvalidDicomError, LookupError, OSError,
    RuntimeError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip


class Samples(NamedTuple):
    """A photograph stored as it is, or by a palette.

    Attributes:
        image: ``(H, W, 3)`` uint8 or uint16 RGB.
        bits: Bits of each sample: those that the file says are stored; a palette's, as found.
    """

    image: NDArray[np.uint8] | NDArray[np.uint16]
    bits: int


class Frame(NamedTuple):
    """A photograph stored as an image file inside the DICOM file.

    Attributes:
        content: The inner file.
        format: ``JPEG`` or ``JPEG2000``.
        colours: Photometric interpretation: what its components are, where it does not say so.
        width: That it has to have, pixels.
        height: Likewise.
    """

    content: bytes
    format: str
    colours: str
    width: int
    height: int


def read_dicom(content: bytes) -> Samples | Frame:
    """Read the one colour photograph of a DICOM file.

    Args:
        content: The file, with its preamble.

    Raises:
        Refused: ``damaged``, ``truncated``, ``not an image`` (no pixels), ``too large``, ``several
            frames``, ``grey``, ``unusual colours``, ``unusual DICOM``.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            dataset = _read(content)
            colours = _check(dataset)
            syntax = dataset.file_meta.TransferSyntaxUID
            if syntax not in _NATIVE:
                return _frame(dataset, _FORMATS[syntax], colours)
            _check_samples(dataset, colours)
            return _samples(dataset, colours)
    except Refused:
        raise
    except _BROKEN as error:
        detail = f"pydicom cannot read its elements ({type(error).__name__})"
        raise Refused("damaged", detail) from None


def _read(content: bytes) -> Dataset:
    """Read the elements that describe the pixels, inflated where the file is deflated."""
    stream = BytesIO(content)
    stream.seek(META_STARTS)
    meta = read_dataset(
        stream,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag.group != 2,  # noqa: PLR2004 (the file's own)
    )
    syntax = UID(str(meta.get("TransferSyntaxUID", "")))
    if syntax == DeflatedExplicitVRLittleEndian:
        stream = BytesIO(_inflated(content[stream.tell() :]))
        syntax = ExplicitVRLittleEndian
    if syntax not in (*_NATIVE, *_FORMATS):
        said = syntax.name if syntax in AllTransferSyntaxes else "unknown"
        allowed = "uncompressed, JPEG and JPEG 2000 are read"
        raise Refused("unusual DICOM", f"transfer syntax {said}; {allowed}")
    dataset = read_dataset(
        stream,
        is_implicit_VR=syntax == ImplicitVRLittleEndian,
        is_little_endian=syntax != ExplicitVRBigEndian,
        specific_tags=_READ,
    )
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def _inflated(deflated: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(deflated, MOST_INFLATED + 1)
    if len(inflated) > MOST_INFLATED:
        raise Refused("too large", f"inflates to more than {MOST_INFLATED:,} bytes")
    if not inflater.eof:
        raise Refused("truncated", "the deflated elements end too early")
    return inflated


def _check(dataset: Dataset) -> str:
    """Refuse what is no single colour photograph; tell its photometric interpretation."""
    if not dataset.get("PixelData"):
        raise Refused("not an image", "a DICOM file without PixelData")
    width, height = _number(dataset, "Columns"), _number(dataset, "Rows")
    if width * height > MOST_PIXELS:
        raise Refused("too large", f"{width} x {height} pixels, {MOST_PIXELS:,} are allowed")
    frames = _number(dataset, "NumberOfFrames", missing=1)
    if frames > 1:
        raise Refused("several frames", f"{frames} frames; save the one photograph by itself")
    colours = str(dataset.get("PhotometricInterpretation"))
    if colours in ("MONOCHROME1", "MONOCHROME2"):
        raise Refused("grey", f"DICOM of {colours}")
    if colours not in (*_SAMPLES, *_INSIDE_JPEG_2000):
        allowed = ", ".join((*_SAMPLES, *_INSIDE_JPEG_2000))
        raise Refused("unusual colours", f"a photometric interpretation other than {allowed}")
    return colours


def _number(dataset: Dataset, keyword: str, *, missing: int | None = None) -> int:
    value = dataset.get(keyword)
    if value in (None, "") and missing is not None:
        return missing
    if not isinstance(value, int) or value < 0:
        raise Refused("damaged", f"{keyword} is missing, or no whole number")
    return int(value)


def _frame(dataset: Dataset, inner: str, colours: str) -> Frame:
    stream = BytesIO(dataset.PixelData)
    parse_basic_offsets(stream)
    fragments = list(generate_fragments(stream))
    frames = sum(part.startswith((b"\xff\xd8\xff", b"\xff\x4f\xff\x51")) for part in fragments)
    if frames > 1:
        raise Refused("several frames", f"{frames} frames; save the one photograph by itself")
    if inner == "JPEG2000" and colours.startswith("YBR_FULL"):
        raise Refused("unusual DICOM", f"JPEG 2000 of {colours}; allowed: RGB, YBR_ICT, YBR_RCT")
    width, height = _number(dataset, "Columns"), _number(dataset, "Rows")
    return Frame(b"".join(fragments), inner, colours, width, height)


def _check_samples(dataset: Dataset, colours: str) -> None:
    """Refuse samples that are not as pydicom takes them for granted, and too few or many bytes."""
    allocated, stored = _number(dataset, "BitsAllocated"), _number(dataset, "BitsStored")
    samples = _number(dataset, "SamplesPerPixel")
    rules = {
        f"{colours} uncompressed": colours in _SAMPLES,
        f"{samples} samples of {colours}": samples == _SAMPLES.get(colours),
        "signed samples": _number(dataset, "PixelRepresentation") == 0,
        "samples neither by pixel nor by plane": samples == 1
        or _number(dataset, "PlanarConfiguration") in (0, 1),
        f"{allocated} bits allocated": allocated in (8, 16),
        f"{stored} of {allocated} bits": 0 < stored <= allocated,
        "samples that do not fill the lowest bits": _number(dataset, "HighBit") == stored - 1,
        f"{colours} of {stored} bits in {allocated}": colours == "RGB"
        or stored == allocated == BYTE,
    }
    broken = [what for what, holds in rules.items() if not holds]
    if broken:
        raise Refused("unusual DICOM", broken[0])
    expected = _number(dataset, "Rows") * _number(dataset, "Columns") * samples * allocated // 8
    if colours == "YBR_FULL_422":
        expected = expected // 3 * 2
    held = len(dataset.PixelData)
    if held - expected not in (0, 1) or not expected:
        reason = "truncated" if held < expected else "damaged"
        raise Refused(reason, f"PixelData holds {held:,} bytes, {expected:,} are expected")


def _samples(dataset: Dataset, colours: str) -> Samples:
    # By itself pydicom cuts off bits above those that are said to be stored, and says nothing.
    raw = pixel_array(dataset, raw=True, bits_stored=_number(dataset, "BitsAllocated"))
    bits = _number(dataset, "BitsStored")
    if colours == "PALETTE COLOR":
        image = apply_color_lut(raw, dataset)
        return Samples(image, BYTE if image.itemsize == 1 else stored_bits(image))
    if colours.startswith("YBR"):
        for top in range(0, len(raw), BAND):
            band = raw[top : top + BAND]
            raw[top : top + BAND] = convert_color_space(band, colours, "RGB")
    if int(raw.max()) >= 2**bits:
        raise Refused("damaged", f"a sample of {raw.max()}, {bits} bits are stored")
    return Samples(raw, bits)
