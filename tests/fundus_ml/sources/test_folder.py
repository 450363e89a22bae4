"""A folder of one's own photographs and the table beside them."""

import pickle

import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.sources.folder import folder_photographs
from fundus_ml.sources.photographs import OFFERED_COLUMNS

FULL = """file,patient_id,sex,eye,age,camera,healthy
a.jpg,1,F,Left,61,Topcon,yes
sub/b.png,1,Male,right,,,0
c.jpg,02,m,,40.5,,
gone.jpg,3,f,,,,
d.jpg,4,,,,,
c.png,5,f,,,,
"""


@pytest.fixture
def root(tmp_path):
    """The folder of :data:`FULL`, with one file missing."""
    (tmp_path / "sub").mkdir()
    for name in ("a.jpg", "sub/b.png", "c.jpg", "c.png", "d.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "labels.csv").write_text(FULL)
    return tmp_path


def test_rows_are_read_in_every_spelling(root):
    """Sex and eye in any case, unknown where empty; an eye not said to be ill is healthy."""
    table = folder_photographs(root, name="mine").table
    assert tuple(table) == (*OFFERED_COLUMNS, "path")
    assert list(table["image_id"]) == ["mine/a", "mine/sub/b", "mine/c"]
    assert list(table["patient_id"]) == ["mine/1", "mine/1", "mine/02"]
    assert list(table["sex"]) == ["female", "male", "male"]
    assert list(table["eye"]) == ["left", "right", "unknown"]
    assert list(table["age"].fillna(-1)) == [61, -1, 40.5]
    assert list(table["camera"]) == ["Topcon", "unknown", "unknown"]
    assert list(table["healthy"]) == [True, False, True]
    assert table["healthy"].dtype == "bool"
    assert table["path"].iloc[1] == str(root / "sub/b.png")


def test_refused_rows_carry_their_reason(root):
    """Every row of the table is either offered or refused."""
    photographs = folder_photographs(root)
    assert dict(
        zip(photographs.rejected["detail"], photographs.rejected["reason"], strict=True)
    ) == {
        "gone.jpg": "file missing",
        "d.jpg": "no sex",
        "c.png": "same name twice",
    }
    assert len(photographs.table) + len(photographs.rejected) == FULL.count("\n") - 1


def test_the_needed_columns_are_enough(root):
    """Everything else is unknown then."""
    (root / "own.csv").write_text("file,patient_id,sex\na.jpg,1,female\n")
    row = folder_photographs(root, table="own.csv").table.iloc[0]
    assert row[["image_id", "eye", "camera"]].tolist() == ["folder/a", "unknown", "unknown"]
    assert np.isnan(row["age"])
    assert row["healthy"]


def test_photographs_load_in_another_process(root):
    """What is handed to workers pickles, and a file that is no image says so there."""
    photographs = pickle.loads(pickle.dumps(folder_photographs(root)))  # noqa: S301 (ours)
    with pytest.raises(InputError, match=r"a.jpg: not an image"):
        photographs.load(photographs.table.to_dict("records")[0])


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("a.jpg,1,woman,,,,", r"column sex, row 2: 'woman'; allowed in any case: f, m, female"),
        ("a.jpg,1,f,OD,,,", "column eye, row 2: 'OD'; allowed in any case: left, right, unknown"),
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
