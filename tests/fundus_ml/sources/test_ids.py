"""One spelling per person, and no two ids that only look different."""

import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.sources.brset import brset_photographs
from fundus_ml.sources.folder import folder_photographs
from fundus_ml.sources.ids import settle_ids
from fundus_ml.sources.mbrset import mbrset_photographs
from fundus_ml.sources.odir import odir_photographs
from tests.fundus_ml.sources.tiny_releases import (
    odir_row,
    place,
    write_brset,
    write_mbrset,
    write_odir,
)


def settled(*ids):
    """The ids as rows 2, 3, … of a table."""
    column = pd.Series(ids, index=range(2, len(ids) + 2), dtype="str")
    found, assumed = settle_ids(column, "t.csv: column who")
    return list(found), assumed


@pytest.mark.parametrize(
    ("written", "read", "said"),
    [
        (["7", "7.0", "12.00"], ["7", "7", "12"], "2 ids written as decimals .*7.0 in row 3 is 7"),
        (["007", "012", "100"], ["007", "012", "100"], None),
        (["007.0", "012"], ["007", "012"], "1 ids written as decimals"),
        (["1.1", "1.0", "2.1"], ["1.1", "1.0", "2.1"], None),
        (["01a1", "1a01", "11a0"], ["01a1", "1a01", "11a0"], None),
        (["Jose\u0301", "Jos\xe9"], ["Jos\xe9"] * 2, "1 ids in another Unicode form are read as o"),
        (["a b", "ab c", "x.0y"], ["a b", "ab c", "x.0y"], None),
        (["P-7", "P-70", "0"], ["P-7", "P-70", "0"], None),
    ],
)
def test_ids_are_written_in_one_way(written, read, said):
    found, assumed = settled(*written)
    assert found == read
    assert len(assumed) == (said is not None)
    if said:
        assert pd.Series(assumed).str.contains(said).all()


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        ("7", "007", "leading zeros"),
        ("P-7", "P-07", "leading zeros"),
        ("7.0", "007", "leading zeros"),
        ("ab1", "AB1", "letter case"),
        ("a b", "ab", "spaces"),
        ("a b", "a\xa0b", "spaces|Unicode form"),
        ("ab", "a\u200bb", "spaces"),
        ("7", "７", "Unicode form"),  # noqa: RUF001 (a digit of full width)
        ("7", "０７", "leading zeros"),  # noqa: RUF001
        ("STRASSE", "straße", "letter case"),
        ("p 07", "P7", "letter case and spaces and leading zeros"),
    ],
)
def test_ids_that_only_look_different_are_refused_with_their_rows(one, other, difference):
    with pytest.raises(
        InputError,
        match=rf"t\.csv: column who: '.+' \(rows 2, 4\) and '.+' \(row 3\) differ only by "
        rf".*({difference})",
    ) as caught:
        settled(one, other, one)
    assert "\n" not in str(caught.value)


def test_a_decimal_that_may_be_part_of_an_id_is_not_cut_off():
    with pytest.raises(InputError, match=r"'1' \(row 2\) and '1.0' \(row 3\) .* a decimal .0"):
        settled("1", "1.0", "1.1")


def test_the_first_is_shown_and_the_others_counted():
    with pytest.raises(
        InputError, match=r"'1' \(row 2\) and '01' \(rows 3, 6, 7 and 2 more\).*; 1 "
    ):
        settled("1", "01", "x", "X", "01", "01", "01", "01")


@pytest.mark.parametrize(
    ("harmed", "rule"),
    [
        ("1.23457E+12", "has shortened: its last digits are lost; format the column as text"),
        ("1,23457E+12", "has shortened"),
        ("5-Mar", "has changed into a date"),
        ("Mar-05", "has changed into a date"),
        ("a\nb", "must not hold line breaks"),
        ("a\x1b[31mb", "must not hold line breaks or the like"),
    ],
)
def test_an_id_that_a_program_has_damaged_is_refused(harmed, rule):
    """Two long numbers that were shortened to one would be one person."""
    with pytest.raises(InputError, match=rf"t\.csv: column who, row 3: '.+'; .*{rule}") as caught:
        settled("a", harmed)
    assert "\n" not in str(caught.value)


def test_a_word_for_an_empty_cell_is_nobody_s_id(tmp_path):
    """R writes NA; the photographs of unknown people would be one person's."""
    place(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    table = tmp_path / "labels.csv"
    table.write_text("file,patient_id,sex\na.jpg,NA,f\nb.jpg,NA,m\nc.jpg,3,f\n")
    line = "column patient_id, row 2: 'NA', as in 1 more rows; it stands for an empty cell"
    with pytest.raises(InputError, match=line):
        folder_photographs(tmp_path)
    assert settled("NA", "AB") == (["NA", "AB"], [])  # somebody's initials


def odir(root, ids):
    rows = [
        odir_row(who, 50, "Male", "normal fundus", "normal fundus", f"{n}_left.jpg")
        for n, who in enumerate(ids)
    ]
    return odir_photographs(write_odir(root, *rows))


def own(root, ids):
    lines = [f"{n}.jpg,{who},f" for n, who in enumerate(ids)]
    place(root, *(f"{n}.jpg" for n in range(len(ids))))
    (root / "labels.csv").write_text("\n".join(["file,patient_id,sex", *lines]))
    return folder_photographs(root)


SOURCES = {
    "odir": odir,
    "folder": own,
    "brset": lambda root, ids: brset_photographs(
        write_brset(root, *({"patient_id": who} for who in ids))
    ),
    "mbrset": lambda root, ids: mbrset_photographs(
        write_mbrset(root, *({"patient": who} for who in ids))
    ),
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_knows_one_person_under_one_id(tmp_path, source):
    for folder, ids in (("float", ["7", "7.0", "12"]), ("zeros", ["7", "12", "007"])):
        (tmp_path / folder).mkdir()
        if folder == "float":
            table = SOURCES[source](tmp_path / folder, ids).table
            assert list(table["patient_id"]) == [f"{source}/{who}" for who in ("7", "7", "12")]
        else:
            with pytest.raises(InputError, match=r"'7' \(row 2\) and '007' \(row 4\) differ only"):
                SOURCES[source](tmp_path / folder, ids)


def test_contradicting_sexes_under_two_spellings_are_seen(tmp_path):
    place(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "labels.csv").write_text("file,patient_id,sex\na.jpg,7,f\nb.jpg,7.0,m\nc.jpg,8,m\n")
    rejected = folder_photographs(tmp_path).rejected
    assert list(rejected["reason"]) == ["sex disagrees"] * 2
    assert list(rejected["detail"]) == ["folder/7: female, male"] * 2
