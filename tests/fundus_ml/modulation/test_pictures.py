"""Names of pictures, and that nothing is lost on the way to the disk."""

import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import read_png
from fundus_ml.modulation import (
    ORIGINAL,
    file_stem,
    picture_name,
    read_pictures,
    write_pictures,
)
from tests.fundus_ml.modulation.tiny_modulations import make_pixels


def test_pictures_are_written_without_loss(tmp_path):
    """``[budget][eye]`` paths, one file each, the same pixels in it."""
    modulated = np.stack([make_pixels(seed=seed) for seed in range(3)])
    ids = ["odir/0_left", "odir/0/left", "odir_0/left", "x/0 (1)", "x/0_(1)"]
    eyes = make_pixels(seed=9)
    paths = write_pictures(eyes, modulated, ids, (4 / 255, 1.0, 2.5), tmp_path / "pictures")
    assert [len(row) for row in paths] == [5, 5, 5]
    assert len({path for row in paths for path in row}) == 15
    for i, row in enumerate(paths):
        for j, path in enumerate(row):
            assert np.array_equal(read_png(path), modulated[i, j])
            assert path.is_relative_to(tmp_path / "pictures")
            assert np.array_equal(read_png(path.with_name(ORIGINAL)), eyes[j])
    assert np.array_equal(read_pictures(paths), modulated)


def test_a_folder_that_takes_no_files_is_named(tmp_path):
    """One line, whatever the disk says."""
    (tmp_path / "pictures").write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"pictures: cannot be written to .*pictures \("):
        write_pictures(
            make_pixels(), make_pixels()[None], list("abcde"), (1.0,), tmp_path / "pictures"
        )


def test_picture_name_says_eye_and_budget():
    """Plain names stay readable, and none leads out of its folder."""
    assert picture_name("odir/0_left", 4 / 255) == "odir_0_left/eps-0.0156863.png"
    assert picture_name("synthetic/3_left", 2.0) == "synthetic_3_left/eps-2.png"
    assert picture_name("synthetic/3_left", 1e9) == "synthetic_3_left/eps-1000000000.png"
    assert file_stem("x/../../etc").startswith("x_.._.._etc-")


def test_no_two_eyes_share_a_name():
    """Whatever stands for the slash, other characters and other slashes give other names."""
    ids = [
        "a/b_c", "a_b/c", "a/b/c", "a_b_c", "a/b c", "a/b-c", "a/b(c", "a/b.c", "a-b/c", "A/b_c",
        "a/é", "a/è", file_stem("a/b c").replace("_", "/", 1),
    ]  # fmt: skip
    stems = [file_stem(name) for name in ids]
    assert len(set(stems)) == len(ids)
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
    assert set("".join(stems)) <= allowed


def test_a_long_name_still_fits_into_a_file_system():
    """Whatever the letters; names that differ far behind stay apart."""
    for letter in ("x", "é", "/", "王", "<"):
        stems = [file_stem(f"a/{letter * 400}{end}") for end in "12"]
        assert len(set(stems)) == 2
        assert all(len(stem.encode()) < 120 for stem in stems)
    assert file_stem("a/" + "x" * 98) == "a_" + "x" * 98
