"""A photograph is the same photograph as a file, as bytes, as base64 and as pixels."""

import base64
import os
from pathlib import Path

import numpy as np
import pytest

from fundus_ml.errors import Refused
from fundus_ml.imaging.pictures import png_bytes
from fundus_ml.serving.given import photograph_loader

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
CONTENT = png_bytes(PIXELS)
TEXT = base64.b64encode(CONTENT).decode()


@pytest.fixture
def folder(tmp_path):
    """A folder that may be read, beside a file that may not."""
    (tmp_path / "eyes").mkdir()
    (tmp_path / "eyes" / "eye.png").write_bytes(CONTENT)
    (tmp_path / "secret.png").write_bytes(CONTENT)
    (tmp_path / "eyes" / "out.png").symlink_to(tmp_path / "secret.png")
    return tmp_path / "eyes"


def test_every_form_gives_the_same_pixels(folder):
    forms = (
        CONTENT, bytearray(CONTENT), memoryview(CONTENT), PIXELS, folder / "eye.png", TEXT,
        f"data:image/png;base64,{TEXT}", f"{TEXT[:70]}\n{TEXT[70:]}\n",
    )  # fmt: skip
    for given in forms:
        np.testing.assert_array_equal(photograph_loader(given)(0).image, PIXELS)


def test_a_text_names_files_only_below_the_folder_that_may_be_read(folder):
    below = str(folder)
    for named in ("eye.png", "../eyes/eye.png", str(folder / "eye.png")):
        np.testing.assert_array_equal(photograph_loader(named, files_below=below)(0).image, PIXELS)
        with pytest.raises(Refused, match="names no file"):
            photograph_loader(named)(0)
    for outside in ("../secret.png", str(folder.parent / "secret.png"), "out.png", "a\0b", ".", ""):
        with pytest.raises(Refused):
            photograph_loader(outside, files_below=below)(0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "of type NoneType"),
        (3.5, "of type float"),
        (PIXELS.astype(np.float32), r"shape \(40, 60, 3\), float32"),
        (PIXELS[..., 0], r"shape \(40, 60\)"),
        (PIXELS[:0], r"shape \(0, 60, 3\)"),
        (PIXELS[None], r"shape \(1, 40, 60, 3\)"),
        ("no base64!", "is no base64"),
        (b"", "empty file"),
        (b"text", "not an image"),
        (base64.b64encode(b"text").decode(), "not an image"),
        (Path("nowhere.png"), "unreadable"),
        (Path(os.devnull), "no regular file"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_a_reason(given, said):
    with pytest.raises(Refused, match=said):
        photograph_loader(given)(0)
