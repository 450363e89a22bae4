import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fundus_ml.errors import InputError
from fundus_ml.region_training.painted_vessels import paint_marked
from fundus_ml.region_training.vessel_marks import inside, read_chase, read_drive

SHAPE = (90, 100)


def photograph():
    down, across = np.mgrid[: SHAPE[0], : SHAPE[1]]
    lit = np.hypot(across - 50, down - 45) < 40
    image = np.zeros((*SHAPE, 3), np.uint8)
    image[lit] = (170, 90, 40)
    image[lit & (across % 20 < 3)] = (120, 50, 30)
    return image, lit & (across % 20 < 3), lit


def save(pixels, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_drive(folder):
    """Two eyes as DRIVE lays them out."""
    image, marks, lit = photograph()
    for number in (22, 21):
        save(image, folder / f"images/{number}_training.tif")
        save(marks.astype(np.uint8) * 255, folder / f"1st_manual/{number}_manual1.gif")
        save(lit.astype(np.uint8) * 255, folder / f"mask/{number}_training_mask.gif")
    return folder


def write_chase(folder):
    """Three eyes of two people as CHASE_DB1 lays them out."""
    image, marks, _ = photograph()
    for name in ("01L", "01R", "02L"):
        save(image, folder / f"Image_{name}.jpg")
        save(marks, folder / f"Image_{name}_1stHO.png")
        save(np.roll(marks, 1, axis=1), folder / f"Image_{name}_2ndHO.png")
    return folder


@pytest.fixture
def drive(tmp_path):
    return write_drive(tmp_path)


@pytest.fixture
def chase(tmp_path):
    return write_chase(tmp_path)


def test_drives_layout_is_read(drive):
    eyes = read_drive(drive)
    image, marks, lit = photograph()
    assert [(eye.image_id, eye.person) for eye in eyes] == [
        ("21_training", "21"),
        ("22_training", "22"),
    ]
    np.testing.assert_array_equal(eyes[0].image, image)
    np.testing.assert_array_equal(eyes[0].vessels, marks)
    np.testing.assert_array_equal(eyes[0].counted, lit)
    assert eyes[0].second is None
    assert eyes[0].field.radius == pytest.approx(40, abs=1.5)


def test_chases_layout_is_read(chase):
    eyes = read_chase(chase)
    _, marks, lit = photograph()
    assert [(eye.image_id, eye.person) for eye in eyes] == [
        ("Image_01L", "01"),
        ("Image_01R", "01"),
        ("Image_02L", "02"),
    ]
    np.testing.assert_array_equal(eyes[0].vessels, marks)
    np.testing.assert_array_equal(eyes[0].second, np.roll(marks, 1, axis=1))
    assert (eyes[0].counted ^ lit).mean() < 0.02


@pytest.mark.parametrize("read", [read_drive, read_chase])
def test_a_folder_without_photographs_is_one_line(read, tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=r"^.*: holds no photograph of (DRIVE|CHASE_DB1)"):
            read(folder)


def test_marks_that_are_missing_damaged_or_of_another_size_are_one_line(chase):
    marks = chase / "Image_01R_2ndHO.png"
    save(np.zeros((5, 6), np.uint8), marks)
    with pytest.raises(InputError, match=r"^.*2ndHO.png: of \(5, 6\) pixels, .* has \(90, 100\)$"):
        read_chase(chase)
    marks.write_bytes(b"GIF89a no picture")
    with pytest.raises(InputError, match=r"^.*2ndHO.png: not a picture$"):
        read_chase(chase)
    marks.unlink()
    with pytest.raises(InputError, match=r"^.*2ndHO.png: no such file of marks$"):
        read_chase(chase)


def test_painted_eyes_are_marked_but_for_the_thinnest_vessels():
    eyes = paint_marked(1, seed=4)
    assert eyes == eyes[: len(eyes)]
    again = paint_marked(1, seed=4)
    for eye, same in zip(eyes, again, strict=True):
        np.testing.assert_array_equal(eye.image, same.image)
        assert 0.03 < eye.vessels[eye.counted].mean() < 0.25
        left_out = inside(eye.field, eye.counted.shape) & ~eye.counted
        assert left_out.mean() < 0.05
    assert len({eye.person for eye in eyes}) == 1


@pytest.mark.real_data
def test_both_releases_are_read():
    if "FUNDUS_REAL_DATA" not in os.environ:
        pytest.skip("FUNDUS_REAL_DATA names no folder of real photographs")
    folder = Path(os.environ["FUNDUS_REAL_DATA"]) / "anatomy"
    drive, chase = read_drive(folder / "drive"), read_chase(folder / "chase_db1")
    assert len(drive) == len(chase) == 20
    assert len({eye.person for eye in chase}) == 10
    for eye in (*drive, *chase):
        assert 0.05 < eye.vessels[eye.counted].mean() < 0.2
        assert (inside(eye.field, eye.counted.shape) ^ eye.counted).mean() < 0.02
