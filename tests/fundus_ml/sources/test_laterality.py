"""Left and right in the names of files: read, counted, and never against the table."""

import pytest

from fundus_ml.sources.folder import folder_photographs
from tests.fundus_ml.sources.tiny_releases import place


def read(root, header, *rows):
    place(root, *(row.split(",")[0] for row in rows))
    (root / "labels.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder_photographs(root)


@pytest.mark.parametrize(
    ("name", "eye"),
    [
        ("12_left.jpg", "left"),
        ("12_RIGHT.jpg", "right"),
        ("a-OD-2.png", "right"),
        ("a os 2.png", "left"),
        ("7_L.jpg", "left"),
        ("R_7.tif", "right"),
        ("right/7_l.jpg", "left"),
        ("left/7.jpg", "unknown"),
        ("retinal.jpg", "unknown"),
        ("l2_r2.jpg", "unknown"),
        ("rl.jpg", "unknown"),
        ("a_left_right.jpg", "unknown"),
        ("a_L_left.jpg", "left"),
        ("\u00fcl.jpg", "unknown"),
    ],
)
def test_a_word_of_its_own_says_the_eye(tmp_path, name, eye):
    photographs = read(tmp_path, "file,patient_id,sex", f"{name},1,f")
    assert photographs.table["eye"].tolist() == [eye]
    assert len(photographs.assumed) == (eye != "unknown")


def test_what_names_say_is_counted(tmp_path):
    rows = ["1_OD.jpg,1,f", "1_OS.jpg,1,f", "2_R.jpg,2,m", "3.jpg,3,m", "l_r.jpg,4,m"]
    photographs = read(tmp_path, "file,patient_id,sex", *rows)
    assert list(photographs.table["eye"]) == ["right", "left", "right", "unknown", "unknown"]
    (line,) = photographs.assumed
    assert line == (
        "labels.csv: eye read off the names of 3 files, 1 left and 2 right; 2 names say neither or "
        "both and stay unknown, such as 1_OD.jpg for right"
    )


def test_the_table_goes_before_the_names_and_contradictions_are_counted(tmp_path):
    """An empty cell is filled by the name; one that says unknown is not."""
    rows = ["1_OD.jpg,1,f,left", "1_OS.jpg,1,f,left", "2_R.jpg,2,m,", "3_L.jpg,3,m,unknown"]
    photographs = read(tmp_path, "file,patient_id,sex,eye", *rows)
    assert list(photographs.table["eye"]) == ["left", "left", "right", "unknown"]
    filled, contradicted = photographs.assumed
    assert filled == (
        "labels.csv: eye read off the names of 1 files, 0 left and 1 right, such as 2_R.jpg for "
        "right"
    )
    assert contradicted == (
        "labels.csv: 1 of 4 files are named for the other eye than the table says, and the table "
        "is taken, such as 1_OD.jpg for right"
    )


def test_a_row_per_patient_contradicted_by_its_names_is_counted(tmp_path):
    place(tmp_path, "1_L.jpg", "1_R.jpg")
    table = tmp_path / "labels.csv"
    table.write_text("left_file,right_file,patient_id,sex\n1_R.jpg,1_L.jpg,1,f\n")
    photographs = folder_photographs(tmp_path)
    assert list(photographs.table["eye"]) == ["left", "right"]
    assert photographs.assumed[-1].startswith("labels.csv: 2 of 2 files are named for the other")
