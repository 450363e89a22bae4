"""Tables of a release: what is read, and that each wrong cell is named in one line."""

import math

import pytest

from fundus_ml.errors import InputError
from fundus_ml.sources.tables import TableColumn, read_table

COLUMNS = {
    "who": TableColumn(),
    "age": TableColumn(kind="number", low=0, high=120, filled=False),
    "sex": TableColumn(allowed=("f", "m"), required=False),
}


def read(tmp_path, text):
    """Read ``text`` (or bytes) as a table of :data:`COLUMNS`."""
    path = tmp_path / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, COLUMNS)


def test_numbers_are_floats_and_everything_else_stays_text(tmp_path):
    """Leading zeros and the words NA and nan survive; blanks around a value do not."""
    text = "\ufeffwho, age ,sex,note\n007, 61.5 ,f,NA\n nan ,,m,\n"
    table = read(tmp_path, text)
    assert list(table) == ["who", "age", "sex", "note"]
    assert list(table["who"]) == ["007", "nan"]
    assert table["age"].iloc[0] == 61.5
    assert math.isnan(table["age"].iloc[1])
    assert table["note"].iloc[0] == "NA"
    assert table["note"].isna().tolist() == [False, True]
    assert list(table.index) == [0, 1]


def test_quoted_cells_may_hold_commas_and_other_scripts(tmp_path):
    """As ODIR's keywords do."""
    table = read(tmp_path, 'who,age\n"a, b",1\nnormal，fundus,2\n')  # noqa: RUF001 (ODIR's comma)
    assert list(table["who"]) == ["a, b", "normal，fundus"]  # noqa: RUF001


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("age,sex\n1,f\n", "columns missing: who; it has age, sex$"),
        ("who,age\n", "has no rows"),
        ("", "not a CSV table: No columns"),
        (b"who,age\n\xe9,1\n", "not a CSV table: .*utf-8"),
        ("who,age\na,1\nb,2,3\n", "not a CSV table: .*Expected 2 fields in line 3, saw 3"),
        ("who,age\na,1,9\nb,2,8\n", "not a CSV table: .*Expected 2 fields in line 2, saw 3"),
        ("who,age, who\na,1,b\n", "column who stands twice"),
        ("who,age\na,1\n,2\n", "column who, row 3: empty; must not be empty"),
        ("who,age\n  ,1\n", "column who, row 2: empty; must not be empty"),
        ("who,age\na,old\n", "column age, row 2: 'old'; must be a number from 0 to 120"),
        ("who,age\na,1\nb,-3\n", "column age, row 3: '-3'; must be a number from 0 to 120"),
        ("who,age\na,inf\n", "column age, row 2: 'inf'; must be a number"),
        ("who,age,sex\na,1,F\n", "column sex, row 2: 'F'; allowed: f, m"),
        ("who,age,sex\na,1,\n", "column sex, row 2: empty; allowed: f, m"),
        ("who,age,sex\na,1,f\n,200,x\n", "column age, row 3: '200'"),
    ],
)
def test_a_wrong_table_is_refused_by_file_column_row_and_value(tmp_path, text, rule):
    """One line, the first wrong row counted as an editor shows it."""
    with pytest.raises(InputError, match=rf"table.csv: {rule}"):
        read(tmp_path, text)


def test_a_missing_table_and_a_folder_are_refused(tmp_path):
    """Neither is a table."""
    with pytest.raises(InputError, match=r"labels.csv: no such table"):
        read_table(tmp_path / "labels.csv", COLUMNS)
    with pytest.raises(InputError, match="not a CSV table: "):
        read_table(tmp_path, COLUMNS)
