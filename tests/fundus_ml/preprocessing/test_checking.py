"""What would be kept and refused, from the table and the headers: every source, nothing written."""

import cv2
import numpy as np
import pytest

from fundus_ml.imaging.decoding import decode_photograph, stored_size
from fundus_ml.preprocessing.checking import check_photographs
from fundus_ml.sources.brset import brset_photographs
from fundus_ml.sources.folder import folder_photographs
from fundus_ml.sources.mbrset import mbrset_photographs
from fundus_ml.sources.odir import odir_photographs
from fundus_ml.sources.papila import papila_photographs
from tests.fundus_ml.sources.tiny_releases import (
    drawn_jpeg,
    odir_row,
    place,
    write_brset,
    write_mbrset,
    write_odir,
    write_papila,
)

HEADER = "file,patient_id,sex,age,finding_amd,treated,note"
ROWS = (
    "a_L.jpg,1,f,61,0,no,x",
    "a_R.jpg,1,f,61,1,no,y",
    "b_R.jpg,2,m,40,0,yes,z",
    "wide.png,3,m,,,yes,",
    "cut.jpg,4,m,50,0,no,",
    "text.jpg,5,f,50,0,no,",
    "gone.jpg,6,f,50,0,no,",
    "grey.png,7,f,50,0,no,",
)


@pytest.fixture
def root(tmp_path):
    """Four good photographs, two of which are one file, and one bad one of each kind."""
    folder = tmp_path / "own"
    place(folder, "a_L.jpg", "a_R.jpg", "b_R.jpg")
    (folder / "a_R.jpg").write_bytes(drawn_jpeg() + b"\0")
    cv2.imwrite(str(folder / "wide.png"), np.full((20, 90, 3), (10, 20, 30), np.uint8))
    cv2.imwrite(str(folder / "grey.png"), np.zeros((20, 90), np.uint8))
    (folder / "cut.jpg").write_bytes(drawn_jpeg()[:-20])
    (folder / "text.jpg").write_text("no picture")
    (folder / "labels.csv").write_text("\n".join([HEADER, *ROWS]) + "\n")
    return folder


def listing(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_row_is_kept_or_refused_and_nothing_is_written(root):
    before = listing(root.parent)
    seen = []
    found = check_photographs(
        folder_photographs(root), size=25, on_progress=lambda *counts: seen.append(counts)
    )
    assert listing(root.parent) == before
    assert seen == [(done, 7) for done in range(1, 8)]
    assert list(found.kept["image_id"]) == [f"folder/{n}" for n in ("a_L", "a_R", "b_R", "wide")]
    assert found.kept[["width", "height"]].to_numpy().tolist() == [[40, 30]] * 3 + [[90, 20]]
    assert dict(zip(found.refused["image_id"], found.refused["reason"], strict=True)) == {
        "folder/gone": "file missing",
        "folder/cut": "truncated",
        "folder/text": "not an image",
        "folder/grey": "grey",
    }


def test_the_words_say_what_is_there(root):
    words = check_photographs(folder_photographs(root), size=25).words
    assert words[0] == "8 rows: 4 would be read, 4 refused"
    assert "refused: 1 file missing, such as folder/gone (gone.jpg)" in words
    few = "too few: 30 people of each are needed"
    equal = "2 photographs, 1 different, such as folder/a_L, folder/b_R; 1 under several patients"
    unsaid = "1 amd not said or only suspected"
    assert words[5:] == (
        "pixels: 3 of 4 are 40 x 30, 2 sizes in all; shorter sides 20 to 30; 1 are below size=25",
        f"equal files: {equal}, 1 under both sexes",
        "people: 3, with 1 to 2 photographs each",
        "eyes: 1 left, 2 right, 1 unknown",
        "age: 3 of 4 known (40 to 61, median 61)",
        "columns kept as they are written: treated, note",
        "contrast=sex: 2 female of 1 people, 2 male of 2 people",
        f"contrast=amd: 2 healthy of 2 people, 1 amd of 1 people; left out: {unsaid}; {few}",
        f"contrast=eye: 1 left of 1 people, 2 right of 2 people; left out: 1 eye unknown; {few}",
        f"contrast=treated: 2 no of 1 people, 2 yes of 2 people; {few}",
    )


def test_a_question_with_one_answer_says_so(tmp_path):
    place(tmp_path, "a.jpg")
    (tmp_path / "labels.csv").write_text("file,patient_id,sex,finding_amd\na.jpg,1,f,0\n")
    words = check_photographs(folder_photographs(tmp_path), size=8).words
    assert "contrast=amd: every eye is healthy; two classes are needed" in words


def write_all(root):
    rows = [
        odir_row(n, 50, sex, "normal fundus", "drusen", f"{n}_{side}.jpg")
        for n, sex in enumerate(("Male", "Female"))
        for side in ("left", "right")
    ]
    for source in ("odir", "brset", "mbrset", "papila"):
        (root / source).mkdir()
    yield odir_photographs(write_odir(root / "odir", *rows, missing=["0_left.jpg"]))
    yield brset_photographs(write_brset(root / "brset", {}, {"patient_id": "2", "amd": "1"}))
    yield mbrset_photographs(write_mbrset(root / "mbrset", {}, {"final_icdr": "2"}))
    yield papila_photographs(
        write_papila(root / "papila", [("#001", 50, 0, 0)], [("#002", 60, 1, 1)])
    )


def test_every_release_is_checked_alike(tmp_path):
    for photographs in write_all(tmp_path):
        found = check_photographs(photographs, size=8)
        assert len(found.kept) == len(photographs.table) == 1, photographs.name
        assert "not healthy" in set(found.refused["reason"])
        assert len(found.refused) == len(photographs.rejected)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tiff", ".bmp", ".webp", ".jp2"])
def test_a_header_says_the_size_that_decoding_finds(ending):
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    content = cv2.imencode(ending, image)[1].tobytes()
    decoded = decode_photograph(content, least_side=0)
    assert stored_size(content) == (decoded.width, decoded.height) == (128, 96)
