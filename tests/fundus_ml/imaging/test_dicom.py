"""DICOM files that pydicom writes: pixels as they went in, or a reason without the patient."""

import io
import struct
import sys
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from fundus_ml.errors import Refused
from fundus_ml.imaging.decoding import decode_photograph
from tests.fundus_ml.imaging.test_decoding import file_of, smooth
from tests.fundus_ml.imaging.tiny_dicom import PATIENT, dicom_around, dicom_of

NATIVE = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
]
SIDES = {"width": 200, "height": 120}
JPEG = file_of(smooth(), quality=95)


def decoded(content, least_side=0):
    return decode_photograph(content, least_side=least_side)


def components(image):
    """Y, Cb, Cr of the full range, by OpenCV."""
    return np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]])


def palette_of(luts):
    """Elements of a palette of 256 colours."""
    described = [256, 0, 8 * luts[0].itemsize]
    elements = {}
    for name, lut in zip(("Red", "Green", "Blue"), luts, strict=True):
        elements[f"{name}PaletteColorLookupTableDescriptor"] = described
        elements[f"{name}PaletteColorLookupTableData"] = lut.tobytes()
    return elements | {"PhotometricInterpretation": "PALETTE COLOR"}


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("deep", [False, True])
def test_uncompressed_samples_come_back_as_they_were(syntax, planar, deep):
    """Either order of bytes, by pixel or by plane, in 8 or in 16 bits."""
    samples = smooth().astype(np.uint16) * 257 if deep else smooth()
    if syntax is ExplicitVRBigEndian:
        samples = samples.astype(samples.dtype.newbyteorder(">"))
    stored = samples.transpose(2, 0, 1) if planar else samples
    content = dicom_of(
        samples, syntax=syntax, PlanarConfiguration=planar, PixelData=stored.tobytes()
    )
    found = decoded(content)
    np.testing.assert_array_equal(found.image, smooth())
    assert (found.width, found.height) == (200, 120)
    assert found.remarks == (("scaled from 16 bits",) if deep else ())
    assert found.image.flags.c_contiguous


def test_samples_are_scaled_by_the_bits_that_are_stored():
    """Also where the picture is dim: the file says how many."""
    dim = (smooth() // 5).astype(np.uint16) * 16
    found = decoded(dicom_of(dim, BitsStored=12, HighBit=11))
    assert np.abs(found.image.astype(int) - smooth() // 5).max() <= 1
    assert found.remarks == ("scaled from 12 bits",)


def test_luminance_and_colour_differences_become_rgb():
    """All samples of colour, or half of them in each row; more rows than one band."""
    image = np.repeat(smooth(300, 100), 2, axis=1)
    stored = components(image)
    full = decoded(dicom_of(stored, PhotometricInterpretation="YBR_FULL"))
    assert np.abs(full.image.astype(int) - image).max() <= 2
    half = np.stack([stored[:, ::2, 0], stored[:, 1::2, 0], *stored[:, ::2, 1:].transpose(2, 0, 1)])
    content = dicom_of(
        stored,
        PhotometricInterpretation="YBR_FULL_422",
        PixelData=half.transpose(1, 2, 0).tobytes(),
    )
    np.testing.assert_array_equal(decoded(content).image, full.image)


@pytest.mark.parametrize("deep", [False, True])
def test_a_palette_is_looked_up(deep):
    """With entries of 8 and of 16 bits."""
    rng = np.random.default_rng(0)
    luts = rng.permuted(np.tile(np.arange(256), (3, 1)), axis=1)
    luts = luts.astype(np.uint16) * 257 if deep else luts.astype(np.uint8)
    numbers = smooth()[..., 0]
    found = decoded(dicom_of(numbers, **palette_of(luts)))
    judge = np.stack([lut[numbers] for lut in luts], axis=-1)
    np.testing.assert_array_equal(found.image, judge // 257 if deep else judge)
    assert bool(found.remarks) == deep


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit])
def test_a_jpeg_inside_is_decoded_as_that_jpeg(parts, syntax):
    """Reduced likewise; in one fragment or several."""
    content = dicom_around(JPEG, syntax=syntax, parts=parts, **SIDES)
    for least_side in (0, 30):
        found, alone = decoded(content, least_side), decoded(JPEG, least_side)
        np.testing.assert_array_equal(found.image, alone.image)
        assert (found.width, found.height) == (200, 120)


def test_a_jpeg_2000_inside_is_decoded():
    """Without loss."""
    inner = file_of(smooth(), "JPEG2000", no_jp2=True)
    content = dicom_around(inner, syntax=JPEG2000, colours="YBR_RCT", **SIDES)
    np.testing.assert_array_equal(decoded(content).image, smooth())


def without_names(jpeg):
    """A JPEG of RGB that does not say so: no application segment, components numbered 1 to 3."""
    bare, place = bytearray(jpeg[:2]), 2
    while jpeg[place + 1] != 0xDA:
        size = 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
        if not 0xE0 <= jpeg[place + 1] <= 0xEF:
            bare += jpeg[place : place + size]
        place += size
    bare += jpeg[place:]
    frame, scan = bare.index(b"\xff\xc0") + 10, bare.index(b"\xff\xda") + 5
    for number in range(3):
        bare[frame + 3 * number] = bare[scan + 2 * number] = number + 1
    return bytes(bare)


def test_a_jpeg_that_is_silent_about_its_colours_has_those_of_the_dicom():
    """RGB where the DICOM says so and no colour is halved; luminance and differences otherwise."""
    red_green_blue = without_names(file_of(smooth(), quality=98, subsampling=0, keep_rgb=True))
    content = dicom_around(red_green_blue, syntax=JPEGBaseline8Bit, colours="RGB", **SIDES)
    assert np.abs(decoded(content).image.astype(int) - smooth()).max() <= 3
    for subsampling, colours in ((0, "YBR_FULL"), (2, "YBR_FULL_422"), (2, "RGB")):
        inner = without_names(file_of(smooth(), quality=98, subsampling=subsampling))
        content = dicom_around(inner, syntax=JPEGBaseline8Bit, colours=colours, **SIDES)
        np.testing.assert_array_equal(decoded(content).image, decoded(inner).image)


def nested(count):
    """A DICOM file of sequences within sequences."""
    content = dicom_of(smooth())
    start = content.index(struct.pack("<HH", 0x0010, 0x0010))
    sequence = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    return content[:start] + (sequence + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)) * count


RAW = smooth().tobytes()
DEFLATED = dicom_of(smooth(), syntax=DeflatedExplicitVRLittleEndian)
NUMBERED = ("Rows", "Columns", "SamplesPerPixel", "PlanarConfiguration", "BitsAllocated")
REFUSED = {
    "grey": (dicom_of(smooth()[..., 0]), "grey", "MONOCHROME2"),
    "inverted grey": (
        dicom_of(smooth()[..., 0], PhotometricInterpretation="MONOCHROME1"),
        "grey",
        "MONOCHROME1",
    ),
    "other colours": (
        dicom_of(smooth(), PhotometricInterpretation="HSV"),
        "unusual colours",
        "other than RGB, YBR_FULL",
    ),
    "no colours": (
        dicom_of(smooth(), without=["PhotometricInterpretation"]),
        "unusual colours",
        "other than",
    ),
    "no pixels": (dicom_of(smooth(), without=["PixelData"]), "not an image", "without PixelData"),
    "too few bytes": (
        dicom_of(smooth(), PixelData=RAW[:-2]),
        "truncated",
        "holds 71,998 bytes, 72,000 are",
    ),
    "too many bytes": (dicom_of(smooth(), PixelData=RAW * 2), "damaged", "holds 144,000 bytes"),
    "no bytes": (dicom_of(smooth(), PixelData=b""), "not an image", "without PixelData"),
    "no rows": (dicom_of(smooth(), Rows=0), "damaged", "72,000 bytes, 0 are expected"),
    "cut": (dicom_of(smooth())[:-9000], "truncated", "PixelData holds"),
    "cut in its header": (dicom_of(smooth())[:400], "not an image", "without PixelData"),
    "deflated and cut": (DEFLATED[: len(DEFLATED) // 2], "truncated", "end too early"),
    "several frames": (
        dicom_of(smooth(), PixelData=RAW * 3, NumberOfFrames=3),
        "several frames",
        "3 frames; save the one",
    ),
    "several frames that it does not count": (
        dicom_around([JPEG, JPEG], syntax=JPEGBaseline8Bit, **SIDES),
        "several frames",
        "2 frames",
    ),
    "claims much": (dicom_of(smooth(), Rows=60_000, Columns=60_000), "too large", "60000 x 60000"),
    "signed": (dicom_of(smooth(), PixelRepresentation=1), "unusual DICOM", "signed samples"),
    "32 bits": (dicom_of(smooth(), BitsAllocated=32), "unusual DICOM", "32 bits allocated"),
    "more bits than room": (dicom_of(smooth(), BitsStored=9), "unusual DICOM", "9 of 8 bits"),
    "bits elsewhere": (
        dicom_of(smooth().astype(np.uint16), BitsStored=12, HighBit=15),
        "unusual DICOM",
        "lowest bits",
    ),
    "samples above their bits": (
        dicom_of(smooth().astype(np.uint16) * 257, BitsStored=12, HighBit=11),
        "damaged",
        "12 bits are stored",
    ),
    "four samples": (dicom_of(smooth(), SamplesPerPixel=4), "unusual DICOM", "4 samples of RGB"),
    "deep differences": (
        dicom_of(smooth().astype(np.uint16), PhotometricInterpretation="YBR_FULL"),
        "unusual DICOM",
        "YBR_FULL of 16 bits",
    ),
    "a palette without colours": (
        dicom_of(smooth()[..., 0], PhotometricInterpretation="PALETTE COLOR"),
        "damaged",
        r"cannot read its elements \(ValueError\)",
    ),
    "another compression": (
        dicom_around(JPEG, syntax=RLELossless, **SIDES),
        "unusual DICOM",
        "RLE Lossless; uncompressed, JPEG and JPEG 2000 are read",
    ),
    "a lossless jpeg": (
        dicom_around(JPEG, syntax=JPEGLosslessSV1, **SIDES),
        "unusual DICOM",
        "JPEG Lossless",
    ),
    "a jpeg of another size": (
        dicom_around(JPEG, syntax=JPEGBaseline8Bit, width=100, height=120),
        "damaged",
        "its JPEG is 200 x 120, Columns and Rows say 100 x 120",
    ),
    "a jpeg cut": (
        dicom_around(JPEG[: len(JPEG) // 2], syntax=JPEGBaseline8Bit, **SIDES),
        "truncated",
        "Premature end",
    ),
    "a grey jpeg": (
        dicom_around(file_of(smooth(), mode="L"), syntax=JPEGBaseline8Bit, **SIDES),
        "grey",
        "JPEG of mode L",
    ),
    "a png": (
        dicom_around(file_of(smooth(), "PNG"), syntax=JPEGBaseline8Bit, **SIDES),
        "damaged",
        "cannot be read",
    ),
    "a dicom": (
        dicom_around(dicom_of(smooth()), syntax=JPEGBaseline8Bit, **SIDES),
        "not an image",
        "neither",
    ),
    "jpeg 2000 of differences": (
        dicom_around(file_of(smooth(), "JPEG2000", no_jp2=True), syntax=JPEG2000, **SIDES),
        "unusual DICOM",
        "JPEG 2000 of YBR_FULL_422",
    ),
    "sequences without end": (nested(3000), "damaged", "RecursionError"),
} | {
    f"no {keyword}": (
        dicom_of(smooth(), without=[keyword]),
        "damaged",
        f"{keyword} is missing, or no whole number",
    )
    for keyword in NUMBERED
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_no_photograph_is_refused_with_its_own_reason(name):
    """In one line, and without the patient's name."""
    content, reason, detail = REFUSED[name]
    with pytest.raises(Refused, match=detail) as caught:
        decoded(content)
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)
    assert PATIENT not in str(caught.value)


def reason_of(content):
    """Why it is refused; empty where it is a photograph."""
    try:
        found = decoded(content)
    except Refused as refused:
        return str(refused)
    assert found.image.dtype == np.uint8
    assert found.image.shape == (found.height, found.width, 3)
    return ""


def test_a_bomb_is_inflated_no_further_than_allowed(monkeypatch):
    """What inflates to a thousand times its size is told at the limit."""
    monkeypatch.setattr("fundus_ml.imaging.dicom.MOST_INFLATED", 1_000_000)
    start = 144 + int.from_bytes(DEFLATED[140:144], "little")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    content = DEFLATED[:start] + deflater.compress(bytes(40_000_000)) + deflater.flush()
    tracemalloc.start()
    with pytest.raises(Refused, match="too large: inflates to more than 1,000,000 bytes"):
        decoded(content)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10e6


def test_any_bytes_give_a_photograph_or_a_reason_without_the_patient():
    """Files with a few bytes changed, which may move names to where they do not belong."""
    rng = np.random.default_rng(0)
    image = smooth(8, 12)
    jpeg = dicom_around(file_of(image), syntax=JPEGBaseline8Bit, width=12, height=8)
    luts = np.tile(np.arange(256, dtype=np.uint8), (3, 1))
    kinds = [dicom_of(image, syntax=syntax) for syntax in NATIVE]
    for content in (*kinds, jpeg, dicom_of(image[..., 0], **palette_of(luts))):
        for _ in range(100):
            changed = bytearray(content)
            for place in rng.integers(132, min(len(content), 900), size=3):
                changed[place] = rng.integers(256)
            said = reason_of(bytes(changed))
            assert "Tulip" not in said
            assert len(said) < 200


def test_without_pydicom_the_line_says_what_to_install(monkeypatch):
    """And only files that need it are refused."""
    monkeypatch.delitem(sys.modules, "fundus_ml.imaging.dicom", raising=False)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    monkeypatch.delitem(sys.modules, "pydicom.dataset", raising=False)
    with pytest.raises(Refused, match=r"`pip install pydicom` .*the extra `dicom`") as caught:
        decoded(dicom_of(smooth()))
    assert caught.value.reason == "DICOM without pydicom"
    assert decoded(JPEG).image.shape == (120, 200, 3)


def test_a_tiff_in_the_preamble_is_not_taken_for_the_photograph():
    """The 128 bytes before a DICOM file may begin another format."""
    thumbnail = io.BytesIO()
    Image.fromarray(smooth(4, 4)).save(thumbnail, "TIFF")
    content = dicom_of(smooth())
    both = thumbnail.getvalue()[:128].ljust(128, b"\0") + content[128:]
    np.testing.assert_array_equal(decoded(both).image, smooth())
