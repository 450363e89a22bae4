"""Tables of a release: what is read, and that each wrong cell is named in one line."""

import contextlib
import math
import zipfile

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fundus_ml.errors import InputError
from fundus_ml.sources.tables import TableColumn, read_table
from tests.fundus_ml.sources.tiny_releases import write_excel

COLUMNS = {
    "who": TableColumn(),
    "age": TableColumn(kind="number", low=0, high=120, filled=False),
    "sex": TableColumn(meanings={"f": "female", "m": "male"}, required=False),
    "ill_*": TableColumn(meanings={"0": 0.0, "1": 1.0}, required=False, filled=False),
    "code": TableColumn(pattern=r"#\d+", form="must be # and a number", required=False),
}


def read(tmp_path, text):
    """Read ``text`` (or bytes) as a table of :data:`COLUMNS`."""
    path = tmp_path / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, COLUMNS).rows


def test_numbers_are_floats_and_everything_else_stays_text(tmp_path):
    """Leading zeros and the words NA and nan survive; blanks around a value do not."""
    text = "\ufeffwho, age ,sex,note\n007, 61.5 ,f,NA\n nan ,,m,\n"
    table = read(tmp_path, text)
    assert list(table) == ["who", "age", "sex", "note"]
    assert list(table["who"]) == ["007", "nan"]
    assert table["age"].iloc[0] == 61.5
    assert math.isnan(table["age"].iloc[1])
    assert list(table["sex"]) == ["female", "male"]
    assert table["note"].iloc[0] == "NA"
    assert table["note"].isna().tolist() == [False, True]
    assert list(table.index) == [0, 1]


def test_few_words_are_read_in_any_case_and_as_decimals(tmp_path):
    """A program that knows no missing whole number writes 1.0."""
    table = read(tmp_path, "who,age,sex,ill_a,ill_b\na,1,F,1.0,\nb,2, m ,0,\n")
    assert list(table["sex"]) == ["female", "male"]
    assert list(table["ill_a"]) == [1, 0]
    assert table["ill_b"].isna().all()
    assert table["ill_b"].dtype == "float64"


def test_decimal_commas_of_ones_own_columns_are_read_where_all_of_it_are_numbers(tmp_path):
    """Else only whole numbers would answer ``hba1c>6.4``. A keyword list keeps its commas."""
    text = "who;age;hba1c;visits\na;61,5;6,5;1,2\nb;7;7;3,4\nc;8;n/a;none today\n"
    (tmp_path / "t.csv").write_text(text)
    found = read_table(tmp_path / "t.csv", COLUMNS)
    assert list(found.rows["hba1c"]) == ["6.5", "7", "n/a"]
    assert list(found.rows["visits"]) == ["1,2", "3,4", "none today"]
    assert any("column hba1c: decimal commas" in line for line in found.assumed)


@pytest.mark.parametrize("word", ["nan", "NaN", "NA", "N/A", "None", "null", " "])
def test_words_for_nothing_are_empty_cells(tmp_path, word):
    """Where a number or one of a few words must stand; elsewhere they are text."""
    table = read(tmp_path, f"who,age,ill_a,note\na,{word},{word},{word}\n")
    assert table[["age", "ill_a"]].isna().all(axis=None)
    assert list(table["note"].fillna("")) == [word.strip()]
    with pytest.raises(InputError, match=r"column sex, row 2: (empty|'.*'); allowed in any case"):
        read(tmp_path, f"who,age,sex\na,1,{word}\n")


def test_quoted_cells_may_hold_commas_and_other_scripts(tmp_path):
    """As ODIR's keywords do."""
    table = read(tmp_path, 'who,age\n"a, b",1\nnormal，fundus,2\n')  # noqa: RUF001 (ODIR's comma)
    assert list(table["who"]) == ["a, b", "normal，fundus"]  # noqa: RUF001


def test_a_column_may_have_other_names(tmp_path):
    """It is read under its own, and that is said."""
    (tmp_path / "t.csv").write_text("drusen,who\n1,a\n")
    table = read_table(tmp_path / "t.csv", {"drusens": TableColumn(also=("drusen",))})
    assert list(table.rows) == ["drusens", "who"]
    assert table.assumed == ("t.csv: columns read: drusen as drusens",)


def test_empty_rows_are_no_rows_but_count(tmp_path):
    """As in the spreadsheet where the reader looks for row 5."""
    assert list(read(tmp_path, "who,age\n\na,1\n,\nb,2\n\n")["who"]) == ["a", "b"]
    with pytest.raises(InputError, match="column age, row 5: 'old'"):
        read(tmp_path, "who,age\n\na,1\n,\nb,old\n")


def test_a_spreadsheet_reads_as_the_same_table_in_text(tmp_path):
    """Numbers, blanks and all, and the wrong cell by the row it shows."""
    rows = [["who", "age", "sex", None], ["007", 61.5, "f", "x"], [7, 61, "M", None], [None] * 4]
    write_excel(tmp_path / "table.xlsx", rows)
    from_excel = read_table(tmp_path / "table.xlsx", COLUMNS).rows
    from_text = read(tmp_path, "who,age,sex,\n007,61.5,f,x\n7,61,M,\n,,,\n")
    pd.testing.assert_frame_equal(from_excel, from_text)
    assert list(from_text) == ["who", "age", "sex", "column_4"]
    write_excel(tmp_path / "table.xlsx", [*rows, ["b", "old", "f"]])
    with pytest.raises(InputError, match=r"table\.xlsx: column age, row 5: 'old'; must be a numb"):
        read_table(tmp_path / "table.xlsx", COLUMNS)


def test_names_may_be_spread_over_rows(tmp_path):
    """The lowest that is filled counts, and values begin below."""
    rows = [[None, "age", "pressure"], [None, None, "one"], ["who"], ["a", 1, 2], ["b", 200, 2]]
    write_excel(tmp_path / "table.xlsx", rows[:4])
    table = read_table(tmp_path / "table.xlsx", COLUMNS, header_rows=3).rows
    assert table.to_dict("list") == {"who": ["a"], "age": [1.0], "one": ["2"]}
    write_excel(tmp_path / "table.xlsx", rows)
    with pytest.raises(InputError, match="column age, row 5: '200'"):
        read_table(tmp_path / "table.xlsx", COLUMNS, header_rows=3)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("age,sex\n1,f\n", "columns missing: who; it has age, sex$"),
        ("who,age\n", "has no rows"),
        ("who,age\n,\n", "has no rows"),
        ("", "holds no table: it is empty"),
        ("who,age\na,1\nb,2,3\n", "not a CSV table: row 3 has 3 cells, the header 2: '3'; a value"),
        ("who,age\na,1,9\nb,2,8\n", "not a CSV table: row 2 has 3 cells, the header 2: '9'; a val"),
        ("who,age, who\na,1,b\n", "column who stands twice"),
        ("who,age\na,1\n,2\n", "column who, row 3: empty; must not be empty"),
        ("who,age\n  ,1\n", "column who, row 2: empty; must not be empty"),
        ("who,age\na,old\n", "column age, row 2: 'old'; must be a number from 0 to 120"),
        ("who,age\na,1\nb,-3\n", "column age, row 3: '-3'; must be a number from 0 to 120"),
        ("who,age\na,inf\n", "column age, row 2: 'inf'; must be a number"),
        ("who,age,sex\na,1,X\n", "column sex, row 2: 'X'; allowed in any case: f, m"),
        ("who,age,sex\na,1,\n", "column sex, row 2: empty; allowed in any case: f, m"),
        ("who,age,sex\na,1,f\n,200,x\n", "column age, row 3: '200'"),
        ("who,age,ill_a\na,1,2\n", "column ill_a, row 2: '2'; allowed in any case: 0, 1"),
        ("who,age,code\na,1,#12b\n", "column code, row 2: '#12b'; must be # and a number"),
    ],
)
def test_a_wrong_table_is_refused_by_file_column_row_and_value(tmp_path, text, rule):
    """One line, the first wrong row counted as an editor shows it."""
    with pytest.raises(InputError, match=rf"table.csv: {rule}"):
        read(tmp_path, text)


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_a_missing_table_and_a_folder_are_refused(tmp_path, suffix):
    """Neither is a table."""
    with pytest.raises(InputError, match=r"labels\.\w+: no such table"):
        read_table(tmp_path / f"labels.{suffix}", COLUMNS)
    (tmp_path / f"table.{suffix}").mkdir()
    with pytest.raises(InputError, match=r"table\.\w+: cannot be read: Is a directory"):
        read_table(tmp_path / f"table.{suffix}", COLUMNS)


def test_what_is_no_spreadsheet_is_refused(tmp_path):
    """Text under its name, another archive, nothing."""
    path = tmp_path / "table.xlsx"
    path.write_text("who,age\na,1\n")
    with pytest.raises(InputError, match=r"table\.xlsx: not an Excel table: .*zip"):
        read_table(path, COLUMNS)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"table\.xlsx: not an Excel table: "):
        read_table(path, COLUMNS)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(InputError, match=r"table\.xlsx: not an Excel table: "):
        read_table(path, COLUMNS)


@pytest.mark.parametrize(("field", "value"), [(6, 1), (8, 99)], ids=["encrypted", "compression"])
def test_a_spreadsheet_that_cannot_be_unpacked_is_refused(tmp_path, field, value):
    """Flags and compression method stand in both headers of every file of the archive."""
    path = tmp_path / "table.xlsx"
    write_excel(path, [["who", "age"], ["a", 1]])
    content = bytearray(path.read_bytes())
    for mark, later in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        place = content.find(mark)
        while place >= 0:
            content[place + field + later] = value
            place = content.find(mark, place + 4)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"table\.xlsx: not an Excel table: "):
        read_table(path, COLUMNS)


@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_damaged_spreadsheet_is_read_or_refused(tmp_path, data):
    """Bytes changed anywhere end in a table or in our own error."""
    path = tmp_path / "table.xlsx"
    write_excel(path, [["who", "age"], ["a", 1]])
    content = bytearray(path.read_bytes())  # holds the time, so its length varies by a few bytes
    for _ in range(3):
        share = data.draw(st.integers(0, 9999)) / 10_000
        content[int(share * len(content))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        read_table(path, COLUMNS)
