"""A folder of one's own photographs and the table beside them."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from fundus_ml.data.manifest import MANIFEST_COLUMNS
from fundus_ml.data.photographs import OFFERED_COLUMNS
from fundus_ml.errors import InputError, Refused
from fundus_ml.sources.folder import TEMPLATE, folder_photographs
from tests.fundus_ml.sources.tiny_releases import place, write_excel

FULL = """file,patient_id,sex,eye,age,camera,healthy
a.jpg,1,F,Left,61,Topcon,yes
sub/b.png,2,Male,right,,,0
c.jpg,042,m,,40.5,,
gone.jpg,3,f,,,,
d.jpg,4,,,,,
c.png,5,f,,,,
e.jpg,6,nan,,1,,
"""


@pytest.fixture
def root(tmp_path):
    """The folder of :data:`FULL`, with one file missing."""
    place(tmp_path, "a.jpg", "sub/b.png", "c.jpg", "c.png", "d.jpg", "e.jpg")
    (tmp_path / "labels.csv").write_text(FULL)
    return tmp_path


def test_rows_are_read_in_every_spelling(root):
    """Sex and eye in any case, unknown where empty; an eye not said to be ill is healthy."""
    table = folder_photographs(root, name="mine").table
    assert tuple(table) == (*OFFERED_COLUMNS, "path")
    assert list(table["image_id"]) == ["mine/a", "mine/sub/b", "mine/c"]
    assert list(table["patient_id"]) == ["mine/1", "mine/2", "mine/042"]
    assert list(table["sex"]) == ["female", "male", "male"]
    assert list(table["eye"]) == ["left", "right", "unknown"]
    assert list(table["age"].fillna(-1)) == [61, -1, 40.5]
    assert list(table["camera"]) == ["Topcon", "unknown", "unknown"]
    assert list(table["healthy"]) == [True, False, True]
    assert table["healthy"].dtype == "bool"
    assert table["path"].iloc[1] == str(root / "sub/b.png")


def test_an_eye_with_a_finding_is_not_healthy_unless_the_table_says_so(tmp_path):
    """A table with findings and no word of health: eyes with AMD are no controls of glaucoma."""
    place(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    rows = ["file,patient_id,sex,finding_glaucoma,finding_amd",
            "a.jpg,1,f,1,0", "b.jpg,2,m,0,1", "c.jpg,3,f,0,0"]  # fmt: skip
    for said, wanted, line in (
        (("", "", "", ""), [False, False, True], "2 eyes with a finding of 1, of which it says"),
        (
            (",healthy", ",no", ",yes", ","),
            [False, True, True],
            "1 eyes with a finding of 1, which",
        ),
    ):
        lines = [row + end for row, end in zip(rows, said, strict=True)]
        (tmp_path / "labels.csv").write_text("\n".join(lines))
        found = folder_photographs(tmp_path)
        assert list(found.table["healthy"]) == wanted
        (told,) = [each for each in found.assumed if "column healthy" in each]
        assert line in told


def test_refused_rows_carry_their_reason(root):
    """Every row of the table is either offered or refused."""
    photographs = folder_photographs(root)
    assert dict(
        zip(photographs.rejected["detail"], photographs.rejected["reason"], strict=True)
    ) == {
        "gone.jpg": "file missing",
        "d.jpg": "no sex",
        "c.png": "same name twice",
        "e.jpg": "no sex",
    }
    assert len(photographs.table) + len(photographs.rejected) == FULL.count("\n") - 1


def test_ids_that_differ_by_their_ending_alone_do_not_collide_unseen(tmp_path):
    """The second of two files with one id is refused by name; one ending is cut off, not two."""
    files = ["a", "a.dcm", "a.jpg.dcm", "a.jpg.png", "a.jp2", "1.2.840", "1.2.840.dcm", "b.webp"]
    place(tmp_path, *files)
    lines = [f"{file},{number},f" for number, file in enumerate(files)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,patient_id,sex", *lines]))
    photographs = folder_photographs(tmp_path, name="x")
    assert list(photographs.table["image_id"]) == ["x/a", "x/a.jpg", "x/1.2.840", "x/b"]
    assert list(photographs.rejected["detail"]) == ["a.dcm", "a.jpg.png", "a.jp2", "1.2.840.dcm"]
    assert set(photographs.rejected["reason"]) == {"same name twice"}


def test_the_needed_columns_are_enough(root):
    """Everything else is unknown then."""
    (root / "own.csv").write_text("file,patient_id,sex\na.jpg,1,female\n")
    row = folder_photographs(root, table="own.csv").table.iloc[0]
    assert row[["image_id", "eye", "camera"]].tolist() == ["folder/a", "unknown", "unknown"]
    assert np.isnan(row["age"])
    assert row["healthy"]
    assert row["flags"] == ""


def test_a_spreadsheet_does_as_well(root):
    """The same rows from either."""
    rows = [line.split(",") for line in FULL.splitlines()]
    write_excel(root / "labels.xlsx", [[cell or None for cell in row] for row in rows])
    from_excel = folder_photographs(root, table="labels.xlsx")
    from_csv = folder_photographs(root)
    assert from_excel.table.equals(from_csv.table)
    assert from_excel.rejected.equals(from_csv.rejected)


def test_columns_of_ones_own_are_kept(root):
    """Diseases as numbers, anything else as it is written, also a column without a name."""
    (root / "own.csv").write_text(
        "file,patient_id,sex,disease_amd,iop,,note\n"
        "a.jpg,1,f,1,17.50,x,left eye first\n"
        "c.jpg,2,m,,,,\n"
        "d.jpg,3,m,0.0,012,,\n"
    )
    table = folder_photographs(root, table="own.csv").table
    assert list(table)[len(OFFERED_COLUMNS) :] == ["disease_amd", "iop", "column_6", "note", "path"]
    assert list(table["disease_amd"].fillna(-1)) == [1, -1, 0]
    assert list(table["iop"].fillna("")) == ["17.50", "", "012"]
    assert list(table["column_6"].fillna("")) == ["x", "", ""]
    assert table["note"].iloc[0] == "left eye first"


@pytest.mark.parametrize("name", ["quality", "label", "image_id", "flags", "path"])
def test_a_name_the_manifest_needs_is_refused(root, name):
    """Rather than overwritten or dropped."""
    assert name in {*MANIFEST_COLUMNS, "path"}
    (root / "own.csv").write_text(f"file,patient_id,sex,{name}\na.jpg,1,f,0\n")
    with pytest.raises(InputError, match=rf"own\.csv: column {name}: the manifest has a column"):
        folder_photographs(root, table="own.csv")


def test_one_file_under_two_spellings_is_named_twice(root):
    """``./a.jpg`` is ``a.jpg``."""
    (root / "own.csv").write_text("file,patient_id,sex\na.jpg,1,f\n./a.jpg,1,f\nsub//b.png,2,m\n")
    photographs = folder_photographs(root, table="own.csv")
    assert list(photographs.table["image_id"]) == ["folder/a", "folder/sub/b"]
    assert photographs.rejected.to_numpy().tolist() == [["folder/a", "same name twice", "./a.jpg"]]


def test_photographs_load_in_another_process(root):
    """What is handed to workers pickles, and a file that is no image says so there."""
    (root / "c.jpg").write_text("not an image")
    photographs = pickle.loads(pickle.dumps(folder_photographs(root)))  # noqa: S301 (ours)
    rows = photographs.table.to_dict("records")
    assert photographs.load(rows[0], 0).image.shape == (30, 40, 3)
    with pytest.raises(Refused, match="not an image"):
        photographs.load(rows[2], 0)


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("a.jpg,1,diverse,,,,", r"column sex, row 2: 'diverse'; allowed in any case: f, m, w, wom"),
        ("a.jpg,1,f,OU,,,", "column eye, row 2: 'OU'; allowed in any case: left, right, unknown"),
        ("a.jpg,1,f,,,,maybe", "column healthy, row 2: 'maybe'; allowed in any case: yes, true"),
        ("a.jpg,1,f,,130,,", "column age, row 2: '130'; must be a number from 0 to 120"),
        ("a.jpg,,f,,,,", "column patient_id, row 2: empty"),
    ],
)
def test_a_wrong_value_is_refused(root, row, rule):
    """By column, row and what is allowed."""
    (root / "labels.csv").write_text(FULL.splitlines()[0] + f"\n{row}\n")
    with pytest.raises(InputError, match=rule):
        folder_photographs(root)


def test_the_template_is_read_and_shows_every_kind_of_cell(tmp_path):
    """Both eyes of a patient, and a row with the needed cells alone."""
    template = Path(__file__).parents[3] / TEMPLATE
    docs = template.with_name("data.md").read_text(encoding="utf-8")
    assert f"```\n{template.read_text(encoding='utf-8')}```" in docs
    shutil.copy(template, tmp_path / "labels.csv")
    place(tmp_path, "photos/001_left.jpg", "photos/001_right.jpg", "photos/002.jpg")
    photographs = folder_photographs(tmp_path, name="x")
    assert photographs.rejected.empty
    assert photographs.assumed == ()
    table = photographs.table
    assert list(table["patient_id"]) == ["x/P001", "x/P001", "x/P002"]
    assert list(table["eye"]) == ["left", "right", "unknown"]
    assert list(table["finding_glaucoma"].fillna(-1)) == [0, 1, -1]


@pytest.mark.parametrize(
    ("word", "sex"),
    [("W", "female"), ("Woman", "female"), ("MAN", "male"), ("Female", "female"), ("M", "male")],
)
def test_the_sexes_in_common_spellings(tmp_path, word, sex):
    place(tmp_path, "a.jpg")
    (tmp_path / "labels.csv").write_text(f"file,patient_id,gender\na.jpg,1,{word}\n")
    assert folder_photographs(tmp_path).table["sex"].tolist() == [sex]


def test_a_missing_table_names_those_there_and_what_it_needs(root):
    with pytest.raises(InputError) as caught:
        folder_photographs(root, table="eyes.csv")
    assert str(caught.value) == (
        f"{root}/eyes.csv: no such table; name one with table=: labels.csv; it needs the columns "
        "file, patient_id and sex, as in docs/labels_template.csv"
    )


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("id,img,gender", "patient_id; it has id, file, sex; nearest to patient_id: id; rename"),
        ("Case ID,file,Sexx", ".*; nearest to patient_id: Case ID; nearest to sex: Sexx; rename"),
        ("Pat Code,file,sex", "patient_id; .*; nearest to patient_id: Pat Code; rename"),
        ("patient,gender,fundus_image", "file, or left_file .*; nearest to file: fundus_image; "),
        ("a,b", "patient_id, sex; it has a, b; docs/labels_template.csv is a table to start from$"),
    ],
)
def test_a_missing_column_is_said_with_the_nearest_ones(tmp_path, header, said):
    (tmp_path / "labels.csv").write_text(f"{header}\n" + ",".join("f" * len(header.split(","))))
    with pytest.raises(InputError, match=f"columns missing: {said}"):
        folder_photographs(tmp_path)


def test_a_disease_is_yes_or_no(root):
    """As 0 and 1."""
    (root / "own.csv").write_text("file,patient_id,sex,disease_amd\na.jpg,1,f,2\n")
    with pytest.raises(InputError, match=r"column disease_amd, row 2: '2'; allowed in any case: 0"):
        folder_photographs(root, table="own.csv")
