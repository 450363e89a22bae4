"""One row per patient with two photographs, and the columns of one's own under other names."""

import pytest

from fundus_ml.errors import InputError
from fundus_ml.sources.folder import folder_photographs
from tests.fundus_ml.sources.tiny_releases import place, write_excel


def read(root, *lines):
    (root / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder_photographs(root)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_file", "right_file"),
        ("file_left", "file_right"),
        ("Left-Fundus", "Right-Fundus"),
        ("OS image", "OD image"),
        ("file_os", "file_od"),
        ("Photo L", "Photo R"),
        ("filenameLeft", "filenameRight"),
    ],
)
def test_a_row_per_patient_becomes_a_row_per_eye(tmp_path, left, right):
    """An empty cell is an eye without a photograph; what else a row says holds for both eyes."""
    place(tmp_path, "1l.jpg", "1r.jpg", "2r.jpg")
    rows = ["x,1,1l.jpg,1r.jpg,f,17", "y,2,,2r.jpg,m,"]
    photographs = read(tmp_path, f"ID no,patient_id,{left},{right},sex,iop", *rows)
    table = photographs.table
    assert table[["image_id", "patient_id", "eye", "sex"]].to_numpy().tolist() == [
        ["folder/1l", "folder/1", "left", "female"],
        ["folder/1r", "folder/1", "right", "female"],
        ["folder/2r", "folder/2", "right", "male"],
    ]
    assert list(table["iop"].fillna("")) == ["17", "17", ""]
    assert list(table["ID no"]) == ["x", "x", "y"]
    assert photographs.rejected.empty
    assert photographs.assumed[-1] == (
        "labels.csv: a row is a patient, whose eyes are in left_file and right_file; 1 empty cells "
        "there are eyes without a photograph"
    )


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        (["left_file,patient_id,sex", "a.jpg,1,f"], "columns missing: file, or left_file"),
        (["left,right,patient_id,sex", "a.jpg,b.jpg,1,f"], "columns missing: file, or left_fil"),
        (["left_file,right_file,eye,patient_id,sex", "a.jpg,b.jpg,left,1,f"], "column eye: with l"),
        (["left_file,right_file,patient_id,sex", ",,1,f"], "patient_id=1: names no photograph "),
        (["image,photo,patient_id,sex", "a.jpg,a.jpg,1,f"], "columns 'image' and 'photo' can both"),
        (["os_file,left_file,right_file,patient_id,sex", "a,b,c,1,f"], None),
        (["file,patient_id,sex", '"a\nb.jpg",1,f'], r"column file, row 2: 'a\\nb.jpg'; must be"),
    ],
)  # fmt: skip
def test_what_can_be_meant_in_two_ways_is_refused(tmp_path, lines, rule):
    place(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    if rule is None:  # the column's own name goes first
        photographs = read(tmp_path, *lines)
        assert set(photographs.table["image_id"]) == {"folder/b", "folder/c"}
        assert list(photographs.table["os_file"]) == ["a", "a"]
        return
    with pytest.raises(InputError, match=rf"labels\.csv: {rule}") as caught:
        read(tmp_path, *lines)
    assert "\n" not in str(caught.value)


def test_a_table_with_a_row_per_eye_keeps_columns_about_both(tmp_path):
    """As ODIR's own table has them."""
    place(tmp_path, "a.jpg")
    photographs = read(
        tmp_path, "ID,Left-Fundus,Right-Fundus,Patient ID,Sex,filename", "0,l.jpg,r.jpg,7,F,a.jpg"
    )
    row = photographs.table.iloc[0]
    assert row[["ID", "left_file", "right_file", "path"]].tolist() == [
        "0", "l.jpg", "r.jpg", str(tmp_path / "a.jpg"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("File name,Patient ID,SEX,Age,Eye,Healthy,Disease AMD", "File name as file, Patient ID"),
        ("IMAGE,Subject-ID,Gender,AGE,Laterality,healthy,disease_amd", "IMAGE as file, Subject-ID"),
        ("image_path,patientId,patient_sex,patient age,eye,healthy,disease_amd", "image_path as "),
    ],
)  # fmt: skip
def test_columns_are_known_under_other_names_and_that_is_said(tmp_path, header, said):
    place(tmp_path, "a.jpg")
    photographs = read(tmp_path, header, "a.jpg,7,F,63,OD,no,1")
    row = photographs.table.iloc[0]
    assert row[["patient_id", "sex", "age", "eye", "healthy", "disease_amd"]].tolist() == [
        "folder/7", "female", 63, "right", False, 1,
    ]  # fmt: skip
    (line,) = photographs.assumed
    assert line.startswith(f"labels.csv: columns read: {said}")


def test_numbers_for_the_sexes_are_never_guessed(tmp_path):
    """Male is 1 in two releases and 0 in a third."""
    for word in ("0", "1", "2", "1.0"):
        with pytest.raises(
            InputError, match=rf"column sex, row 2: '{word}'; .*; a number is not gu"
        ):
            read(tmp_path, "file,patient_id,sex", f"a.jpg,1,{word}")


def test_a_spreadsheet_with_numbers_for_ids_and_files_reads_as_its_text(tmp_path):
    place(tmp_path, "1.jpg", "2.JPG")
    write_excel(tmp_path / "labels.xlsx", [["File", "Patient", "Sex"], [1, 7.0, "f"], [2, 8, "m"]])
    table = folder_photographs(tmp_path, table="labels.xlsx").table
    assert list(table["image_id"]) == ["folder/1", "folder/2"]
    assert list(table["patient_id"]) == ["folder/7", "folder/8"]
    assert [path.rpartition("/")[2] for path in table["path"]] == ["1.jpg", "2.JPG"]


def test_a_photograph_under_another_spelling_is_said(tmp_path):
    """And its id is written as the table has it, in one Unicode form and with slashes."""
    place(tmp_path, "sub/Jos\xe9.JPG", "b.jpg")
    photographs = read(tmp_path, "file,patient_id,sex", "sub\\Jose\u0301.jpg,1,f", "b.jpg,2,m")
    assert list(photographs.table["image_id"]) == ["folder/sub/Jos\xe9", "folder/b"]
    (line,) = photographs.assumed
    assert line.startswith(
        "1 of 2 photographs lie under another spelling, such as sub/Jos\xe9.JPG f"
    )
