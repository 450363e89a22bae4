"""Photographs as files: read right side up in RGB, and refused when a part is missing."""

import cv2
import numpy as np
import pytest
from PIL import Image

from fundus_ml.errors import InputError
from fundus_ml.sources.files import load_file, rejected_rows


@pytest.fixture
def picture():
    """Noise ``(20, 31, 3)``, which compresses badly and has no symmetry."""
    return np.random.default_rng(0).integers(256, size=(20, 31, 3), dtype=np.uint8)


def load(path):
    """The pixels alone."""
    return load_file({"path": str(path)}).image


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff"])
def test_lossless_files_read_as_rgb(tmp_path, picture, kind):
    """As Pillow wrote them, channel by channel, without regions."""
    Image.fromarray(picture).save(tmp_path / f"a.{kind}")
    photograph = load_file({"path": tmp_path / f"a.{kind}"})
    np.testing.assert_array_equal(photograph.image, picture)
    assert photograph.image.dtype == np.uint8
    assert photograph.regions is None


def test_jpeg_reads_as_pillow_reads_it(tmp_path, picture):
    """Two decoders of one file, apart by rounding at most."""
    path = tmp_path / "a.jpg"
    Image.fromarray(picture).save(path, quality=95, subsampling=0)
    other = np.asarray(Image.open(path), int)
    assert np.abs(load(path) - other).max() <= 2


def test_a_camera_held_sideways_is_turned_upright(tmp_path, picture):
    """EXIF orientation 6 stands for a quarter turn clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    smooth = cv2.resize(picture[:4, :5], (40, 24), interpolation=cv2.INTER_LINEAR)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    assert np.abs(load(tmp_path / "a.jpg").astype(int) - np.rot90(smooth, -1)).max() <= 4


def test_grey_deep_and_transparent_files_become_8_bit_rgb(tmp_path, picture):
    """Whatever the file holds, the photograph is ``(H, W, 3)`` uint8."""
    grey = picture[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(load(tmp_path / "grey.png"), np.stack([grey] * 3, axis=-1))
    cv2.imwrite(str(tmp_path / "deep.png"), picture[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(load(tmp_path / "deep.png"), picture)
    clear = np.dstack([picture, np.full(grey.shape, 255, np.uint8)])
    Image.fromarray(clear).save(tmp_path / "clear.png")
    np.testing.assert_array_equal(load(tmp_path / "clear.png"), picture)


@pytest.mark.parametrize("kind", ["jpg", "png"])
@pytest.mark.parametrize("kept", [0.3, 0.9, -1])
def test_a_file_cut_short_is_refused_at_any_place(tmp_path, picture, kind, kept):
    """Half a download would otherwise come out half grey."""
    path = tmp_path / f"a.{kind}"
    Image.fromarray(picture).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: kept if kept < 0 else int(len(content) * kept)])
    with pytest.raises(InputError, match=rf"a.{kind}: ends before the image does"):
        load(path)


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_bytes_after_the_image_do_no_harm(tmp_path, picture, kind):
    """Some cameras append their own."""
    path = tmp_path / f"a.{kind}"
    Image.fromarray(picture).save(path)
    before = load(path)
    path.write_bytes(path.read_bytes() + b"serial number" * 20)
    np.testing.assert_array_equal(load(path), before)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xd9"])
def test_what_is_no_image_is_refused(tmp_path, content):
    """Empty, text, and a JPEG of nothing."""
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(InputError, match=r"a.jpg: not an image OpenCV can read"):
        load(tmp_path / "a.jpg")


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    """Gone, or a folder."""
    with pytest.raises(InputError, match=r"a.jpg: No such file"):
        load(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="Is a directory"):
        load(tmp_path)


def test_rejected_rows_have_their_columns_also_when_there_are_none():
    """So that both can be joined and counted."""
    for refused in ([], [("a", "file missing", "a.jpg")]):
        table = rejected_rows(refused)
        assert list(table) == ["image_id", "reason", "detail"]
        assert len(table) == len(refused)
        assert all(kind == "str" for kind in table.dtypes)
