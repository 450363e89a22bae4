"""Decoding against Pillow; every kind of file that is no photograph against its reason."""

import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from fundus_ml.errors import Refused
from fundus_ml.imaging.decoding import decode_photograph
from fundus_ml.imaging.image_headers import MOST_PIXELS
from tests.fundus_ml.imaging.tiny_files import chunk, png_of, tiff_of


def smooth(height=120, width=200):
    """A picture ``(height, width, 3)`` without symmetry that JPEG keeps well."""
    coarse = np.random.default_rng(0).integers(256, size=(6, 10, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def file_of(image, kind="JPEG", *, mode="RGB", **options):
    """The file's bytes."""
    buffer = io.BytesIO()
    Image.fromarray(image).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
        ("JPEG2000", {}),
        ("JPEG2000", {"no_jp2": True}),
    ],
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
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_way_to_hold_a_camera_comes_back_upright(turn, kind):
    """As Pillow turns it; orientations that mean nothing turn nothing."""
    exif = Image.Exif()
    exif[0x0112] = turn
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(kind, {})
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


def with_precision(content, bits):
    """The JPEG that says its samples have so many bits."""
    start = content.index(b"\xff\xc0")
    return content[: start + 4] + bytes([bits]) + content[start + 5 :]


def middle_overwritten(content, count=40):
    """The file with bytes in its middle replaced."""
    half = len(content) // 2
    return content[:half] + b"\x55" * count + content[half + count :]


def pages_of(*images, kind="TIFF"):
    """A file of several pages or frames."""
    first, *others = [Image.fromarray(image) for image in images]
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=others)
    return buffer.getvalue()


def deep_of(kind, samples):
    """A file of 16 bits per channel; RGB, or RGB and alpha."""
    order = [2, 1, 0, 3][: samples.shape[2]]
    lossless = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000] if kind == ".jp2" else []
    return cv2.imencode(kind, samples[..., order], lossless)[1].tobytes()


def bits_of(bits):
    """The picture in samples that use so many bits, whole range, and no image file."""
    return np.round(smooth() / 255 * (2**bits - 1)).astype(np.uint16)


DEEP = [".png", ".tiff", ".jp2"]


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_deep_files_are_scaled_by_the_range_they_use_and_say_so(kind, bits):
    """However many of 16 bits the camera fills, the picture is the same."""
    decoded = decode_photograph(deep_of(kind, bits_of(bits)), least_side=0)
    np.testing.assert_array_equal(decoded.image, smooth())
    assert decoded.remarks == (f"scaled from {bits} bits",)
    assert (decoded.width, decoded.height) == (200, 120)


def test_a_dim_deep_photograph_stays_dim():
    """No stretch: its brightest sample at a third of the range stays at a third."""
    dim = (smooth() // 3).astype(np.uint16) * 257
    decoded = decode_photograph(deep_of(".png", dim), least_side=0)
    np.testing.assert_array_equal(decoded.image, smooth() // 3)
    assert decoded.remarks == ("scaled from 16 bits",)


def test_the_depth_a_jpeg_2000_declares_goes_first():
    """Also where the picture would fit fewer bits; and white stays white."""
    dim = (smooth() // 5).astype(np.uint16) * 16 + 32768 - 2048
    content = bytearray(deep_of(".jp2", dim))
    depths = content.index(b"\xff\x4f\xff\x51") + 42
    content[depths : depths + 9 : 3] = bytes([11] * 3)  # says 12 bits, centred on 2,048
    decoded = decode_photograph(bytes(content), least_side=0)
    assert decoded.remarks == ("scaled from 12 bits",)
    assert np.abs(decoded.image.astype(int) - smooth() // 5).max() <= 1
    white = np.full((64, 64, 3), 65535, np.uint16)
    assert decode_photograph(deep_of(".jp2", white), least_side=0).image.min() == 255


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_deep_files_come_back_upright(turn, kind):
    """The tag turns them as it turns shallow ones."""
    raw = np.ascontiguousarray(bits_of(16))
    if kind == "tiff":
        content = tiff_of(raw, {274: turn})
    else:
        content = deep_of(".png", raw)
        exif = Image.Exif()
        exif[0x0112] = turn
        block = exif.tobytes().removeprefix(b"Exif\0\0")
        content = content[:33] + chunk(b"eXIf", block) + content[33:]
    exif = Image.Exif()
    exif[0x0112] = turn
    shallow = decode_photograph(file_of(smooth(), "PNG", exif=exif), least_side=0)
    decoded = decode_photograph(content, least_side=0)
    np.testing.assert_array_equal(decoded.image, shallow.image)
    assert (decoded.width, decoded.height) == (shallow.width, shallow.height)


OPAQUE = {
    "png": lambda image: file_of(image, "PNG", mode="RGBA"),
    "tiff": lambda image: file_of(image, "TIFF", mode="RGBA"),
    "tiff lzw": lambda image: file_of(image, "TIFF", mode="RGBA", compression="tiff_lzw"),
    "webp": lambda image: file_of(image, "WEBP", mode="RGBA", lossless=True),
    "jpeg 2000": lambda image: file_of(image, "JPEG2000", mode="RGBA"),
    "png of a colour not there": lambda image: file_of(image, "PNG", transparency=(1, 2, 3)),
    "deep png": lambda image: deep_of(".png", with_alpha(image, 255).astype(np.uint16) * 257),
    "deep tiff": lambda image: deep_of(".tiff", with_alpha(image, 255).astype(np.uint16) * 257),
}


def with_alpha(image, alpha):
    """The picture and the alpha of its one different pixel."""
    channel = np.full(image.shape[:2], 255, np.uint8)
    channel[7, 9] = alpha
    return np.dstack([image, channel])


@pytest.mark.parametrize("name", OPAQUE)
def test_alpha_that_hides_nothing_is_left_out(name):
    """Byte for byte what it is without."""
    image = np.maximum(smooth(), 4)
    decoded = decode_photograph(OPAQUE[name](image), least_side=0)
    np.testing.assert_array_equal(decoded.image, image)


@pytest.mark.parametrize("alpha", [0, 254])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG2000", ".png", ".tiff"])
def test_one_pixel_that_shines_through_is_enough_to_refuse(kind, alpha):
    """Nobody knows what would lie behind it."""
    image = with_alpha(smooth(), alpha)
    if kind.startswith("."):
        content = deep_of(kind, image.astype(np.uint16) * 257)
    else:
        buffer = io.BytesIO()
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        Image.fromarray(image).save(buffer, kind, **options)
        content = buffer.getvalue()
    with pytest.raises(Refused, match=r"0\.00417 % of the pixels are see-through") as caught:
        decode_photograph(content, least_side=0)
    assert caught.value.reason == "alpha"


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_largest_page_of_a_tiff_is_the_photograph(depth, place):
    """Thumbnail first, last or in between."""
    image = smooth()
    pages = [np.ascontiguousarray(image[::4, ::4]), np.ascontiguousarray(image[::2, ::2])]
    pages.insert(place, image)
    if depth == 16:
        deep = [page[..., ::-1].astype(np.uint16) * 257 for page in pages]
        content = cv2.imencodemulti(".tiff", deep)[1].tobytes()
    else:
        content = pages_of(*pages)
    decoded = decode_photograph(content, least_side=0)
    np.testing.assert_array_equal(decoded.image, image)
    assert (decoded.width, decoded.height) == (200, 120)
    assert bool(decoded.remarks) == (depth == 16)


JPEG = file_of(smooth(), quality=95)
PNG = file_of(smooth(), "PNG")
TIFF = file_of(smooth(), "TIFF", compression="tiff_adobe_deflate")
REFUSED = {
    "empty": (b"", "empty file", "0 bytes"),
    "text": (b"only words about a photograph", "not an image", "neither JPEG, .* nor DICOM"),
    "gif": (file_of(smooth(), "GIF", mode="P"), "format not read", "GIF; save it as JPEG, PNG"),
    "moving gif": (pages_of(smooth(), 255 - smooth(), kind="GIF"), "format not read", "GIF"),
    "pdf": (file_of(smooth(), "PDF"), "format not read", "PDF"),
    "zip": (b"PK\3\4" + bytes(40), "format not read", "ZIP"),
    "avif": (b"\0\0\0\x1cftypavif" + bytes(40), "format not read", "AVIF"),
    "a sound": (b"RIFF" + bytes(4) + b"WAVE" + bytes(40), "not an image", "neither"),
    "moving png": (pages_of(smooth(), 255 - smooth(), kind="PNG"), "several frames", "2 frames"),
    "moving webp": (pages_of(smooth(), 255 - smooth(), kind="WEBP"), "several frames", "2 frames"),
    "two pages": (pages_of(smooth(), 255 - smooth()), "several pages", "2 of 2 pages .*200 x 120"),
    "nearly equal pages": (
        pages_of(smooth(90, 150), smooth(), smooth(30, 40)),
        "several pages",
        "2 of 3 pages .*150 x 90 and 200 x 120",
    ),
    "many pages": (pages_of(*[smooth(2, 2)] * 101), "several pages", "more than 100"),
    "webp cut": (file_of(smooth(), "WEBP")[:-40], "truncated", "in the header"),
    "webp damaged": (middle_overwritten(file_of(smooth(), "WEBP")), "damaged", "next frame"),
    "jpeg 2000 cut": (file_of(smooth(), "JPEG2000")[:-40], "truncated", "broken data stream"),
    "jpeg 2000 of a header": (
        file_of(smooth(), "JPEG2000").partition(b"jp2c")[0],
        "truncated",
        "broken data stream",
    ),
    "jpeg of 12 bits": (with_precision(JPEG, 12), "unusual JPEG", "cannot handle 12-bit layers"),
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
    "text bomb": (
        png_of(9, 9, extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2_000_000)))),
        "too large",
        "Decompressed data too large",
    ),
    "tile bomb": (
        tiff_of(smooth(), {322: 23_000, 323: 23_000}, tiled=True),
        "too large",
        "tiles of 23000 x 23000 pixels",
    ),
    "nothing much": (png_of(9000, 9000), "too large", "9000 x 9000 pixels in 65 bytes"),
    "large": (png_of(MOST_PIXELS // 1000 + 1, 1000), "too large", "100001 x 1000 pixels"),
    "cmyk": (file_of(smooth(), mode="CMYK"), "CMYK", "JPEG of mode CMYK"),
    "grey jpeg": (file_of(smooth(), mode="L"), "grey", "JPEG of mode L"),
    "black or white": (file_of(smooth(), "PNG", mode="1"), "grey", "PNG of mode 1"),
    "see-through colour": (
        file_of(smooth(), "PNG", transparency=tuple(int(v) for v in smooth()[3, 4])),
        "alpha",
        "see-through",
    ),
    "see-through palette": (
        file_of(smooth() // 64 * 64, "PNG", mode="P", transparency=bytes(256)),
        "alpha",
        "100 % of the pixels are see-through",
    ),
    "grey with alpha": (file_of(smooth(), "PNG", mode="LA"), "grey", "mode LA"),
    "deep grey": (cv2.imencode(".png", np.ones((9, 9), np.uint16))[1].tobytes(), "grey", "I;16"),
    "deep grey with alpha": (png_of(2, 1, depth=16, colour=4, rows=[bytes(8)]), "grey", "LA"),
    "deep png cut": (deep_of(".png", bits_of(16))[:-900], "truncated", "truncated"),
    "deep png damaged": (middle_overwritten(deep_of(".png", bits_of(16))), "damaged", "stream"),
    "deep tiff in planes": (
        tiff_of(bits_of(16), planes=True),
        "unusual TIFF",
        "readings of its 16 bits differ",
    ),
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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "JPEG2000"])
@pytest.mark.parametrize("kept", [0.1, 0.3, 0.6, 0.9, 0.99])
def test_a_file_cut_short_is_refused_at_any_place(kind, kept):
    """Half a download would otherwise come out half grey."""
    content = file_of(smooth(), kind)
    with pytest.raises(Refused) as caught:
        decode_photograph(content[: int(len(content) * kept)], least_side=0)
    assert caught.value.reason == "truncated"


def test_a_bomb_is_told_before_anything_is_decoded(monkeypatch):
    """Also where this process has taken Pillow's own guard away."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(Refused, match="60000 x 60000 pixels, 100,000,000 are allowed"):
        decode_photograph(png_of(60_000, 60_000), least_side=0)


@pytest.mark.parametrize(
    "options", [{"kind": kind} for kind in ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "JPEG2000")]
)
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
