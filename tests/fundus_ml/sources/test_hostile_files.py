"""A release full of broken and hostile files: each refused for its own reason, the rest kept."""

import io
import tracemalloc

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundus_ml.data.opening import open_dataset
from fundus_ml.parallel import processes
from fundus_ml.preprocessing.dataset import preprocess
from fundus_ml.preprocessing.options import PreprocessingOptions
from fundus_ml.sources.files import without_suffix
from fundus_ml.sources.folder import folder_photographs
from tests.fundus_ml.imaging.tiny_dicom import dicom_of
from tests.fundus_ml.imaging.tiny_files import png_of, tiff_of
from tests.fundus_ml.tiny_eyes import draw_field

SOUND = 6
SEVERAL = ("moving.webp", "moved.png", "gif.gif", "pages.tif")


def eye(seed=0, **place):
    """An eye with a bright disc on its left, so that up can be told."""
    where = {"x": 79.5, "y": 59.5, "radius": 52} | place
    image = draw_field(120, 160, colour=(170 + seed, 90, 50), **where)
    cv2.circle(image, (50, 40), 9, (250, 230, 180), -1)
    return image


def see_through(image):
    """The eye with one pixel that hides half of what lies behind it."""
    alpha = np.full(image.shape[:2], 255, np.uint8)
    alpha[60, 80] = 128
    return Image.fromarray(np.dstack([image, alpha]))


def other_formats(image):
    """The eye as other people keep it: file name → bytes, none of them hostile."""
    deep = (image.astype(np.uint16) * 16)[..., ::-1]
    buffer = io.BytesIO()
    thumbnail, photograph = Image.fromarray(image[::4, ::4]), Image.fromarray(image)
    thumbnail.save(buffer, "TIFF", save_all=True, append_images=[photograph])
    kept = {
        "deep.png": cv2.imencode(".png", deep)[1].tobytes(),
        "thumbnail.tif": buffer.getvalue(),
        "dicom.dcm": dicom_of(image),
        "dicom.jpg.dcm": dicom_of(image),
        "1.2.840.10008": dicom_of(image),
        "deepdicom.dcm": dicom_of(image.astype(np.uint16) * 257),
    }
    options = {"opaque.png": {}, "lossless.webp": {"lossless": True}, "waves.jp2": {}}
    for name, said in options.items():
        buffer = io.BytesIO()
        kind = {".png": "PNG", ".webp": "WEBP", ".jp2": "JPEG2000"}[name[name.index(".") :]]
        photograph.convert("RGBA").save(buffer, kind, **said)
        kept[name] = buffer.getvalue()
    return kept


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
        "tiles.tif": tiff_of(image, {322: 60_000, 323: 60_000}, tiled=True),
        "colours.dcm": dicom_of(image, PhotometricInterpretation="HSV"),
        "frames.dcm": dicom_of(image, NumberOfFrames=2, PixelData=2 * image.tobytes()),
    }
    for name, content in files.items():
        (root / name).write_bytes(content)
    Image.fromarray(image).convert("CMYK").save(root / "cmyk.jpg")
    Image.fromarray(image).convert("L").save(root / "grey.jpg")
    see_through(image).save(root / "alpha.png")
    second = [Image.fromarray(255 - image)]
    for name in SEVERAL:
        Image.fromarray(image).save(root / name, save_all=True, append_images=second)
    for name, content in other_formats(image).items():
        (root / name).write_bytes(content)
    (root.parent / "outside.jpg").write_bytes(whole)
    (root / "link.jpg").symlink_to(root.parent / "outside.jpg")
    (root / "loop").symlink_to(root / "loop")
    for name in ("a.png", "a.jpg", "nosex.png", "f.png", "m.png"):
        Image.fromarray(image).save(root / name)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown upright after a quarter turn clockwise
    rotated = np.rot90(eye(3))
    Image.fromarray(rotated).save(root / "rotated.jpg", exif=exif, quality=95)
    lines = ["file,patient_id,sex"]
    lines += [f"{name},{name},f" for name in (*files, "cmyk.jpg", "grey.jpg", "alpha.png")]
    lines += [f"{name},{name},m" for name in (*SEVERAL, *other_formats(image))]
    lines += ["link.jpg,link,f", "../outside.jpg,up,m", "loop/x.jpg,loop,f"]
    lines += [f"{root.parent / 'outside.jpg'},absolute,m", "gone.jpg,gone,m"]
    lines += ["a.png,a,f", "a.jpg,a,f", "nosex.png,none,", "f.png,two,f", "m.png,two,m"]
    lines += ["rotated.jpg,rotated,m"]
    for person in range(SOUND):
        Image.fromarray(eye(person)).save(root / f"sound{person}.png")
        lines.append(f"sound{person}.png,sound{person},{'fm'[person % 2]}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.usefixtures("undrawn")
def test_each_is_refused_for_its_own_reason_and_the_rest_is_kept(hostile, tmp_path):
    """Kept and refused add up; the bomb is never decoded; the rotated eye is read upright."""
    options = PreprocessingOptions(size=64, permutations=5, same_person=False, regions="no")
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
        "tiles": "too large",
        "colours": "unusual colours",
        "frames": "several frames",
        "moving": "several frames",
        "moved": "several frames",
        "gif.gif": "format not read",
        "pages": "several pages",
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
    others = {str(name) for name in without_suffix(pd.Series([*other_formats(eye())]))}
    assert kept == {"a", "rotated", *others, *(f"sound{person}" for person in range(SOUND))}
    flags = dataset.frame.set_index("image_id")["flags"]
    scaled = flags[flags.str.contains("scaled")]
    assert dict(scaled) == {
        "folder/deep": "scaled from 12 bits",
        "folder/deepdicom": "scaled from 16 bits",
    }
    same = dataset.pixels(
        np.flatnonzero(dataset.frame["image_id"].isin(f"folder/{n}" for n in others))
    )
    assert np.abs(same.astype(int) - same[:1]).max() <= 1
    rotated = dataset.frame[dataset.frame["image_id"] == "folder/rotated"]
    assert (rotated["width"].item(), rotated["height"].item()) == (160, 120)
    seen = dataset.pixels(rotated.index.to_numpy())[0].astype(int)
    assert seen[:32, :32].sum() > seen[32:, 32:].sum() + 32 * 32
