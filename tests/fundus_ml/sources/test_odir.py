"""ODIR-5K as its table really is, invented row by row, and the release itself where it lies."""

import os
from pathlib import Path

import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.sources.odir import FOLDERS, odir_photographs

HEADER = (
    "ID,Patient Age,Patient Sex,Left-Fundus,Right-Fundus,Left-Diagnostic Keywords,"
    "Right-Diagnostic Keywords,N,D,G,C,A,H,M,O,filepath,labels,target,filename"
)
FLAGS = "1,0,0,0,0,0,0,0,/x,['N'],\"[1, 0, 0, 0, 0, 0, 0, 0]\""


def row(patient, age, sex, left, right, filename):  # noqa: PLR0917 (a row, cell by cell)
    """One row of ``full_df.csv``."""
    keywords = f"{patient}_left.jpg,{patient}_right.jpg,{left},{right}"
    return f"{patient},{age},{sex},{keywords},{FLAGS},{filename}"


@pytest.fixture
def release(tmp_path):
    """Write rows as ``full_df.csv``, with an image in ``images/`` for every file name."""

    def write(*rows, missing=()):
        (tmp_path / "full_df.csv").write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
        (tmp_path / "images").mkdir(exist_ok=True)
        for filename in {line.rsplit(",", 1)[1] for line in rows} - set(missing):
            (tmp_path / "images" / filename).touch()
        return tmp_path

    return write


def test_a_row_is_about_the_eye_in_its_file_name(release):
    """Keywords of that eye decide; the patient's flags and the fellow eye do not."""
    root = release(
        row(0, 69, "Female", "cataract", "normal fundus", "0_right.jpg"),
        row(0, 69, "Female", "cataract", "normal fundus", "0_left.jpg"),
        row(7, 1, "Male", "lens dust，Normal Fundus", "glaucoma", "7_left.jpg"),  # noqa: RUF001
    )
    photographs = odir_photographs(root)
    table = photographs.table.set_index("image_id")
    assert list(table.index) == ["odir/0_right", "odir/7_left"]
    assert list(table["patient_id"]) == ["odir/0", "odir/7"]
    assert list(table["sex"]) == ["female", "male"]
    assert list(table["eye"]) == ["right", "left"]
    assert table["age"].isna().tolist() == [False, True]
    assert photographs.rejected.to_numpy().tolist() == [["odir/0_left", "not healthy", "cataract"]]
    everyone = odir_photographs(root, healthy_only=False)
    assert everyone.table["healthy"].tolist() == [True, False, True]
    assert everyone.rejected.empty


def test_rows_without_a_file_or_named_twice_are_refused(release):
    """Each with its reason; offered and refused add up to the table."""
    healthy = ("normal fundus", "normal fundus")
    root = release(
        row(1, 50, "Male", *healthy, "1_left.jpg"),
        row(1, 50, "Male", *healthy, "1_left.jpg"),
        row(1, 50, "Male", *healthy, "1_left.png"),
        row(2, 50, "Male", *healthy, "2_left.jpg"),
        missing=["2_left.jpg"],
    )
    photographs = odir_photographs(root)
    assert list(photographs.table["image_id"]) == ["odir/1_left"]
    assert photographs.rejected[["reason", "detail"]].to_numpy().tolist() == [
        ["same name twice", "1_left.jpg"],
        ["same name twice", "1_left.png"],
        ["file missing", "2_left.jpg"],
    ]


def test_photographs_are_found_where_a_release_keeps_them(tmp_path, release):
    """In any of the folders; the first that has a name wins."""
    healthy = ("normal fundus", "normal fundus")
    filenames = [f"{number}_left.jpg" for number in range(len(FOLDERS))]
    root = release(
        *(row(number, 50, "Male", *healthy, name) for number, name in enumerate(filenames)),
        missing=filenames,
    )
    for number, folder in enumerate(FOLDERS):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for filename in filenames[number:]:
            (root / folder / filename).touch()
    found = [Path(path) for path in odir_photographs(root).table["path"]]
    assert [path.parent for path in found] == [tmp_path / FOLDERS[0]] * len(FOLDERS)
    for filename in filenames[1:]:
        (root / FOLDERS[0] / filename).unlink()
    found = [Path(path) for path in odir_photographs(root).table["path"]]
    expected = [FOLDERS[0], *[FOLDERS[1]] * (len(FOLDERS) - 1)]
    assert [path.parent for path in found] == [tmp_path / folder for folder in expected]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (row(1, 50, "Male", "a", "b", "1.jpg"), "filename, row 2: '1.jpg'; must end in"),
        (row(1, 50, "M", "a", "b", "1_left.jpg"), "Sex, row 2: 'M'; allowed: Female, Male"),
        (row(1, 500, "Male", "a", "b", "1_left.jpg"), "Age, row 2: '500'; must be a number"),
    ],
)
def test_a_value_that_cannot_be_is_refused(release, line, rule):
    """By column, row and value."""
    with pytest.raises(InputError, match=rf"full_df.csv: column .*{rule}"):
        odir_photographs(release(line))


@pytest.mark.real_data
def test_the_release_itself_agrees_with_its_eye_level_labels():
    """Keywords against the release's own ``labels`` column: healthy exactly where it says N."""
    if "FUNDUS_REAL_DATA" not in os.environ:
        pytest.skip("FUNDUS_REAL_DATA names no folder of real photographs")
    root = Path(os.environ["FUNDUS_REAL_DATA"]) / "odir"
    photographs = odir_photographs(root)
    raw = pd.read_csv(root / "full_df.csv")
    healthy = raw["filename"].str.removesuffix(".jpg")[raw["labels"] == "['N']"]
    assert set(photographs.table["image_id"]) == set("odir/" + healthy)
    assert len(photographs.table) + len(photographs.rejected) == len(raw)
    assert photographs.table.groupby("patient_id")["sex"].nunique().max() == 1
    ages = raw.loc[raw["labels"] == "['N']", "Patient Age"]
    assert photographs.table["age"].isna().sum() == (ages == 1).sum()
    assert photographs.load(photographs.table.to_dict("records")[0]).image.shape == (320, 320, 3)
