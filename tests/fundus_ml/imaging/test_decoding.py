"""Decoding against Pillow; every kind of file that is no photograph against its reason."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from fundus_ml.errors import Refused
from fundus_ml.imaging.decoding import MOST_PIXELS, decode_photograph


def smooth(height=120, width=200):
    """A picture ``(height, width, 3)`` without symmetry that JPEG keeps well."""
    coarse = np.random.default_rng(0).integers(256, size=(6, 10, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def file_of(image, kind="JPEG", *, mode="RGB", **options):
    """The file's bytes."""
    buffer = io.BytesIO()
    Image.fromarray(image).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def png_of(width, height):
    """A PNG that claims its size in the header and holds next to nothing."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})],
)
@pytest.mark.parametrize("least_side", [0, 30])
def test_lossless_files_come_back_as_they_were(kind, options, least_side):
    """Channel by channel, at full size whatever is asked."""
    image = smooth()
    decoded = decode_photograph(file_of(image, kind, **options), least_side=least_side)
    np.testing.assert_array_equal(decoded.image, image)
    assert (decoded.width, decoded.height) == (200, 120)


def test_a_palette_is_looked_up():
    """Colours by number are colours."""
    image = smooth()
    content = file_of(image, "PNG", mode="P")
    judge = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(decode_photograph(content, least_side=0).image, judge)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_jpeg_decodes_as_pillow_decodes_it(options):
    """Baseline, progressive, every chroma sample kept; apart by rounding at most."""
    content = file_of(smooth(), quality=95, **options)
    decoded = decode_photograph(content, least_side=0).image
    judge = np.asarray(Image.open(io.BytesIO(content)), int)
    assert np.abs(decoded.astype(int) - judge).max() <= 2
    assert decoded.flags.c_contiguous


@pytest.mark.parametrize(
    ("height", "width", "least_side", "shape"),
    [
        (1600, 2400, 0, (1600, 2400)),
        (1600, 2400, 200, (200, 300)),
        (1600, 2400, 201, (400, 600)),
        (2400, 1600, 500, (900, 600)),
        (1600, 2400, 1300, (1400, 2100)),
        (120, 200, 300, (120, 200)),
        (121, 203, 15, (16, 26)),
    ],
)
def test_the_smallest_scale_that_is_large_enough(height, width, least_side, shape):
    """In eighths of the size, rounded up; never enlarged; the stored size is told."""
    decoded = decode_photograph(file_of(smooth(height, width)), least_side=least_side)
    assert decoded.image.shape == (*shape, 3)
    assert (decoded.width, decoded.height) == (width, height)


def test_a_reduced_jpeg_is_the_photograph_averaged():
    """Pixel for pixel at the place where averaging blocks puts it."""
    content = file_of(smooth(960, 1600), quality=98, subsampling=0)
    reduced = decode_photograph(content, least_side=120).image.astype(int)
    full = decode_photograph(content, least_side=0).image
    averaged = full.reshape(120, 8, 200, 8, 3).mean(axis=(1, 3))
    assert np.abs(reduced - averaged).max() <= 3


@pytest.mark.parametrize("turn", range(10))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_every_way_to_hold_a_camera_comes_back_upright(turn, kind):
    """As Pillow turns it; orientations that mean nothing turn nothing."""
    exif = Image.Exif()
    exif[0x0112] = turn
    options = {"quality": 95} if kind == "JPEG" else {}
    content = file_of(smooth(), kind, exif=exif, **options)
    with Image.open(io.BytesIO(content)) as opened:
        judge = np.asarray(ImageOps.exif_transpose(opened), int)
    decoded = decode_photograph(content, least_side=0)
    assert np.abs(decoded.image - judge).max() <= 2
    assert decoded.image.shape[:2] == (decoded.height, decoded.width)
    assert decoded.image.flags.c_contiguous


def test_a_reduced_sideways_jpeg_tells_its_upright_size():
    """Both sizes are of the upright photograph."""
    exif = Image.Exif()
    exif[0x0112] = 8
    decoded = decode_photograph(file_of(smooth(800, 1600), exif=exif), least_side=100)
    assert decoded.image.shape == (200, 100, 3)
    assert (decoded.width, decoded.height) == (800, 1600)


def test_bytes_after_the_image_do_no_harm():
    """Some cameras append their own, some a second picture."""
    image = smooth()
    for kind in ("JPEG", "PNG"):
        content = file_of(image, kind)
        before = decode_photograph(content, least_side=0).image
        after = decode_photograph(content + b"serial number" * 20, least_side=0).image
        np.testing.assert_array_equal(after, before)
    two = file_of(image, "MPO", save_all=True, append_images=[Image.fromarray(image[::-1])])
    assert np.abs(decode_photograph(two, least_side=0).image.astype(int) - image).mean() < 3


def with_factors(content, factors):
    """The JPEG with the sampling factors of its first component overwritten."""
    start = content.index(b"\xff\xc0")
    return content[: start + 11] + bytes([factors]) + content[start + 12 :]


def middle_overwritten(content, count=40):
    """The file with bytes in its middle replaced."""
    half = len(content) // 2
    return content[:half] + b"\x55" * count + content[half + count :]


def deep(kind):
    """16 bits per channel."""
    return cv2.imencode(kind, smooth().astype(np.uint16) * 257)[1].tobytes()


JPEG = file_of(smooth(), quality=95)
PNG = file_of(smooth(), "PNG")
TIFF = file_of(smooth(), "TIFF", compression="tiff_adobe_deflate")
REFUSED = {
    "empty": (b"", "empty file", "0 bytes"),
    "text": (b"only words about a photograph", "not an image", "neither JPEG, PNG, TIFF, BMP"),
    "gif": (file_of(smooth(), "GIF", mode="P"), "not an image", "neither"),
    "jpeg of nothing": (b"\xff\xd8\xff\xd9", "damaged", "header cannot be read"),
    "jpeg cut in its header": (JPEG[:60], "truncated", "in the header"),
    "jpeg cut": (JPEG[: len(JPEG) // 2], "truncated", "Premature end"),
    "jpeg without end": (JPEG[:-2], "truncated", "Premature end"),
    "progressive cut": (
        file_of(smooth(), progressive=True)[: len(JPEG) // 4],
        "truncated",
        "Premature end",
    ),
    "jpeg damaged": (middle_overwritten(JPEG), "damaged", "Corrupt JPEG data"),
    "jpeg of odd sampling": (with_factors(JPEG, 0x31), "unusual JPEG", "subsampling"),
    "png cut": (PNG[: len(PNG) // 2], "truncated", "truncated"),
    "png damaged": (middle_overwritten(PNG), "damaged", "data stream"),
    "png damaged in its header": (PNG[:17] + b"!" + PNG[18:], "damaged", "header"),
    "tiff cut": (file_of(smooth(), "TIFF")[:-900], "truncated", "truncated"),
    "tiff damaged": (middle_overwritten(TIFF), "damaged", "decoder error"),
    "bomb": (png_of(60_000, 60_000), "too large", "3600000000 pixels"),
    "large": (png_of(MOST_PIXELS // 1000 + 1, 1000), "too large", "100001 x 1000 pixels"),
    "cmyk": (file_of(smooth(), mode="CMYK"), "CMYK", "JPEG of mode CMYK"),
    "grey jpeg": (file_of(smooth(), mode="L"), "grey", "JPEG of mode L"),
    "black or white": (file_of(smooth(), "PNG", mode="1"), "grey", "PNG of mode 1"),
    "alpha": (file_of(smooth(), "PNG", mode="RGBA"), "alpha", "PNG of mode RGBA"),
    "see-through colour": (file_of(smooth(), "PNG", transparency=(1, 2, 3)), "alpha", "transp"),
    "grey with alpha": (file_of(smooth(), "PNG", mode="LA"), "alpha", "mode LA"),
    "deep png": (deep(".png"), "16-bit", "PNG"),
    "deep tiff": (deep(".tiff"), "16-bit", "TIFF"),
    "deep grey": (cv2.imencode(".png", np.ones((9, 9), np.uint16))[1].tobytes(), "16-bit", "I;16"),
    "lab": (file_of(smooth(), "TIFF", mode="LAB"), "unusual colours", "TIFF of mode LAB"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("least_side", [0, 20])
def test_what_is_no_photograph_is_refused_with_its_own_reason(name, least_side):
    """At full size and reduced."""
    content, reason, detail = REFUSED[name]
    with pytest.raises(Refused, match=detail) as caught:
        decode_photograph(content, least_side=least_side)
    assert caught.value.reason == reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("kept", [0.1, 0.3, 0.6, 0.9, 0.99])
def test_a_file_cut_short_is_refused_at_any_place(kind, kept):
    """Half a download would otherwise come out half grey."""
    content = file_of(smooth(), kind)
    with pytest.raises(Refused, match="truncated"):
        decode_photograph(content[: int(len(content) * kept)], least_side=0)


def test_a_bomb_is_told_before_anything_is_decoded(monkeypatch):
    """Also where this process has taken Pillow's own guard away."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(Refused, match="60000 x 60000 pixels, 100,000,000 are allowed"):
        decode_photograph(png_of(60_000, 60_000), least_side=0)


@pytest.mark.parametrize("options", [{}, {"kind": "PNG"}, {"kind": "TIFF"}, {"kind": "BMP"}])
def test_any_bytes_give_a_photograph_or_a_reason(options):
    """Files with a few bytes changed, mostly in the header, raise nothing else."""
    rng = np.random.default_rng(0)
    content = file_of(smooth(30, 40), **options)
    for _ in range(300):
        changed = bytearray(content)
        for place in rng.integers(min(len(content), 300), size=3):
            changed[place] = rng.integers(256)
        try:
            decoded = decode_photograph(bytes(changed), least_side=0)
        except Refused:
            continue
        assert decoded.image.dtype == np.uint8
        assert decoded.image.shape == (decoded.height, decoded.width, 3)
