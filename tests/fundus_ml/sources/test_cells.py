"""Tables as programs write them: read where there is one way to, and the way is said."""

import datetime as dt
import re

import openpyxl
import pytest

from fundus_ml.errors import InputError
from fundus_ml.sources.tables import TableColumn, read_table
from tests.fundus_ml.sources.tiny_releases import write_excel

COLUMNS = {
    "who": TableColumn(kind="id", also=("patient",)),
    "age": TableColumn(kind="number", low=0, high=120, filled=False),
    "ill_*": TableColumn(meanings={"0": 0.0, "1": 1.0}, required=False, filled=False),
}
PLAIN = "who,age,note\nJosé,63.5,a\nb,7,\n"


def read(folder, content, name="table.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, COLUMNS)


def rows_of(table):
    return table.rows.astype("object").where(table.rows.notna(), None).to_dict("list")


EXPECTED = {"who": ["José", "b"], "age": [63.5, 7.0], "note": ["a", None]}
GERMAN = PLAIN.replace(",", ";").replace("63.5", "63,5")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PLAIN, []),
        ("\ufeff" + PLAIN, []),
        (PLAIN.replace("\n", "\r\n"), []),
        (PLAIN.replace("\n", "\r"), []),
        (PLAIN.replace(",", ", "), []),
        (PLAIN.replace(",a\n", ",a,,\n"), []),
        (PLAIN.replace("note", "note,,"), []),
        (GERMAN, ["semicolons", "63,5 is 63.5"]),
        ("sep=;\n" + GERMAN, ["semicolons", "63,5 is 63.5"]),
        ("\ufeffsep=;\r\n" + GERMAN.replace("\n", "\r\n"), ["semicolons", "63,5 is 63.5"]),
        (PLAIN.replace(",", "\t"), ["tabs"]),
        (PLAIN.replace(",", "|"), ["bars"]),
        ("sep=^\n" + PLAIN.replace(",", "^"), [r"'\^'"]),
        (PLAIN.replace("63.5", '"63,5"'), ["63,5 is 63.5"]),
        (PLAIN.encode("cp1252"), ["Windows-1252.*'José'"]),
        (GERMAN.encode("latin-1"), ["Windows-1252.*'José'", "semicolons", "63,5 is 63.5"]),
        (PLAIN.encode("utf-16"), ["UTF-16"]),
        (b"\xfe\xff" + PLAIN.encode("utf-16-be"), ["UTF-16"]),
        (b"\xff\xfe" + PLAIN.replace(",", "\t").encode("utf-16-le"), ["UTF-16", "tabs"]),
        (PLAIN.encode("utf-32"), ["UTF-32"]),
        (PLAIN.replace("who", "WHO "), ["columns read: WHO as who"]),
        (PLAIN.replace("who", "Patient"), ["columns read: Patient as who"]),
        (PLAIN.replace("who", '" w\nho"').replace("age", "AGE"), ["w ho as who, AGE as age"]),
    ],
)
def test_one_table_is_read_from_everything_that_programs_make_of_it(tmp_path, content, said):
    table = read(tmp_path, content)
    assert rows_of(table) == EXPECTED
    assert len(table.assumed) == len(said)
    for line, part in zip(table.assumed, said, strict=True):
        assert re.search(rf"^table\.csv: .*{part}", line.replace(str(tmp_path) + "/", ""))


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("who,age\na,63,5\n", "row 2 has 3 cells, the header 2: '5'; .* must stand in quotes"),
        ('who,age\n"a,1\nb,2\nc,3\n', "not a CSV table: unexpected end of data"),
        ('who,age\n"a"b,1\n', "not a CSV table: .* expected after"),
        ("who;age\na;1.234,5\n", r"column age, row 2: '1\.234,5'; must be a number from 0 to 120"),
        ("who;age\na;1,234\n", "column age, row 2: '1,234'; must be a number from 0 to 120"),
        ("who,age\na,1\n".encode("utf-16-le"), "holds NUL bytes; save it as CSV UTF-8"),
        (
            "who,age\nJosé,1\n".encode() + b"Jos\xe9,1\n",
            "can't decode byte 0xe9 .*; save it as CSV",
        ),
        (b"who,age\n\x81,1\n", "neither UTF-8 nor Windows-1252 .byte 0x81 at 8.; save it as CSV"),
        (b"\xff\xfew\x00h\x00o\x00x", "not a CSV table: .*; save it as CSV UTF-8"),
        (b"PK\x03\x04 and more", "is an Excel workbook, not a CSV; save it as .xlsx"),
        (b"\xd0\xcf\x11\xe0 and more", "is an Excel workbook, not a CSV; save it as .xlsx"),
        ("who,WHO,age\na,b,1\n", "columns 'who' and 'WHO' can both be who; keep one"),
        ("Who,w-ho,age\na,b,1\n", "columns 'Who' and 'w-ho' can both be who; keep one"),
        ("who,age,age\na,1,2\n", "column age stands twice"),
        ("who,age,ill a,Ill_A\na,1,1,0\n", "columns 'ill a' and 'Ill_A' can both be ill_a"),
        ("who,age\n\n\n", "has no rows"),
        ("who,age\n" + "x" * 200_000 + ",1\n", "not a CSV table: field larger than field limit"),
    ],
)
def test_what_can_be_read_in_two_ways_or_none_is_refused(tmp_path, content, rule):
    with pytest.raises(InputError, match=rf"table\.csv: .*{rule}") as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)


def test_a_name_of_its_own_goes_before_another_name(tmp_path):
    """What is not needed under another name stays what it is."""
    table = read(tmp_path, "who,patient,age\na,x,1\n")
    assert rows_of(table) == {"who": ["a"], "patient": ["x"], "age": [1.0]}
    assert table.assumed == ()


def test_a_pattern_is_told_in_every_spelling(tmp_path):
    table = read(tmp_path, "who,age,Ill A,ill-b,ill_c\na,1,1,0,1\n")
    assert rows_of(table) == {"who": ["a"], "age": [1], "ill_a": [1], "ill_b": [0], "ill_c": [1]}
    assert table.assumed == ("table.csv: columns read: Ill A as ill_a, ill-b as ill_b",)


def test_cells_may_hold_line_breaks_and_rows_are_counted_as_a_spreadsheet_does(tmp_path):
    with pytest.raises(InputError, match="column age, row 3: 'old'"):
        read(tmp_path, 'who,age,note\na,1,"one\ntwo\nthree"\nb,old,\n')


def test_a_workbook_of_several_sheets_says_which_one_is_read(tmp_path):
    """Numbers are ids as they are shown; a formula's value and a date are what they are."""
    book = openpyxl.Workbook()
    book.active.title = "Patients"
    for row in (["who", "age", "seen"], [7, 63.5, dt.date(2024, 3, 5)], [12.0, 7, "x"]):
        book.active.append(row)
    book.create_sheet("Codes").append(["who", "age"])
    book.save(tmp_path / "table.xlsx")
    table = read_table(tmp_path / "table.xlsx", COLUMNS)
    assert rows_of(table) == {
        "who": ["7", "12"], "age": [63.5, 7], "seen": ["2024-03-05 00:00:00", "x"],
    }  # fmt: skip
    assert table.assumed == ("table.xlsx: sheet 'Patients' is read, the first of 2",)


def test_an_id_that_excel_made_a_date_is_refused(tmp_path):
    write_excel(tmp_path / "table.xlsx", [["who", "age"], ["a", 1], [dt.date(2024, 3, 5), 2]])
    with pytest.raises(InputError, match=r"who, row 3: '2024-03-05 00:00:00'; looks like an id .*"):
        read_table(tmp_path / "table.xlsx", COLUMNS)
