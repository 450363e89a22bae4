"""A release full of broken and hostile files: each refused for its own reason, the rest kept."""

import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundus_ml.dataset import open_dataset
from fundus_ml.parallel import processes
from fundus_ml.preprocessing import PreprocessingOptions, preprocess
from fundus_ml.sources.folder import folder_photographs
from tests.fundus_ml.tiny_eyes import draw_field

EIGHT_BIT_RGB = (8, 2)
SOUND = 6


def eye(seed=0, **place):
    """An eye with a bright disc on its left, so that up can be told."""
    where = {"x": 79.5, "y": 59.5, "radius": 52} | place
    image = draw_field(120, 160, colour=(170 + seed, 90, 50), **where)
    cv2.circle(image, (50, 40), 9, (250, 230, 180), -1)
    return image


def png_of(width, height):
    """A PNG that claims its size in the header and holds next to nothing."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, *EIGHT_BIT_RGB, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The release: file name → reason, and the rows of its table."""
    root = tmp_path_factory.mktemp("hostile") / "release"
    root.mkdir()
    image = eye()
    Image.fromarray(image).save(root / "whole.jpg", quality=95)
    whole = (root / "whole.jpg").read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2 : len(whole) // 2 + 40] = b"\x55" * 40
    files = {
        "empty.jpg": b"",
        "truncated.jpg": whole[: len(whole) // 2],
        "damaged.jpg": bytes(damaged),
        "text.jpg": b"no photograph, only words about one",
        "bomb.png": png_of(60_000, 60_000),
    }
    for name, content in files.items():
        (root / name).write_bytes(content)
    Image.fromarray(image).convert("CMYK").save(root / "cmyk.jpg")
    Image.fromarray(image).convert("L").save(root / "grey.jpg")
    Image.fromarray(image).convert("RGBA").save(root / "alpha.png")
    cv2.imwrite(str(root / "deep.png"), image.astype(np.uint16) * 257)
    (root.parent / "outside.jpg").write_bytes(whole)
    (root / "link.jpg").symlink_to(root.parent / "outside.jpg")
    (root / "loop").symlink_to(root / "loop")
    for name in ("a.png", "a.jpg", "nosex.png", "f.png", "m.png"):
        Image.fromarray(image).save(root / name)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown upright after a quarter turn clockwise
    turned = np.rot90(eye(3))
    Image.fromarray(turned).save(root / "turned.jpg", exif=exif, quality=95)
    lines = ["file,patient_id,sex"]
    lines += [f"{name},{name},f" for name in (*files, "cmyk.jpg", "grey.jpg", "alpha.png")]
    lines += ["deep.png,deep,m", "link.jpg,link,f", "../outside.jpg,up,m", "loop/x.jpg,loop,f"]
    lines += [f"{root.parent / 'outside.jpg'},absolute,m", "gone.jpg,gone,m"]
    lines += ["a.png,a,f", "a.jpg,a,f", "nosex.png,none,", "f.png,two,f", "m.png,two,m"]
    lines += ["turned.jpg,turned,m"]
    for person in range(SOUND):
        Image.fromarray(eye(person)).save(root / f"sound{person}.png")
        lines.append(f"sound{person}.png,sound{person},{'fm'[person % 2]}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def test_each_is_refused_for_its_own_reason_and_the_rest_is_kept(hostile, tmp_path):
    """Kept and refused add up; the bomb is never decoded; the turned eye is read upright."""
    options = PreprocessingOptions(size=64, permutations=5, same_person=False)
    release = folder_photographs(hostile)
    tracemalloc.start()
    with processes(workers=1):
        written = preprocess(release, tmp_path / "data", options, recipe={})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 500e6
    rejected = pd.read_csv(written.path / "rejected.csv").set_index("image_id")["reason"]
    found = {name.removeprefix("folder/"): reason for name, reason in rejected.items()}
    expected = {
        "empty": "empty file",
        "truncated": "truncated",
        "damaged": "damaged",
        "text": "not an image",
        "bomb": "too large",
        "cmyk": "CMYK",
        "grey": "grey",
        "alpha": "alpha",
        "deep": "16-bit",
        "link": "path leaves the release",
        "../outside": "path leaves the release",
        str(hostile.parent / "outside"): "path leaves the release",
        "loop/x": "unreadable",
        "gone": "file missing",
        "a": "same name twice",
        "nosex": "no sex",
        "f": "sex disagrees",
        "m": "sex disagrees",
    }
    assert found == expected
    dataset = open_dataset(str(written.path))
    kept = {name.removeprefix("folder/") for name in dataset.frame["image_id"]}
    assert kept == {"a", "turned", *(f"sound{person}" for person in range(SOUND))}
    turned = dataset.frame[dataset.frame["image_id"] == "folder/turned"]
    assert (turned["width"].item(), turned["height"].item()) == (160, 120)
    seen = dataset.pixels(turned.index.to_numpy())[0].astype(int)
    assert seen[:32, :32].sum() > seen[32:, 32:].sum() + 32 * 32
