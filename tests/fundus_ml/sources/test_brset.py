"""BRSET in its exact layout, odd spellings and stray cells included."""

import math

import pytest

from fundus_ml.data.photographs import OFFERED_COLUMNS
from fundus_ml.errors import InputError
from fundus_ml.sources.brset import DISEASES, GRADES, STRUCTURES, brset_photographs
from tests.fundus_ml.sources.tiny_releases import BRSET_ROW, refusals, write_brset


def test_rows_are_read_by_the_releases_key(tmp_path):
    """Sex 1 male 2 female, eye 1 right 2 left, a missing age unknown; the first name is whole."""
    root = write_brset(
        tmp_path,
        {},
        {"patient_id": "2", "patient_sex": "2", "exam_eye": "2", "patient_age": ""},
        {"patient_id": "3", "camera": "NIKON NF5050", "quality": "Inadequate"},
    )
    photographs = brset_photographs(root)
    table = photographs.table
    assert tuple(table)[: len(OFFERED_COLUMNS)] == OFFERED_COLUMNS
    assert list(table["image_id"]) == ["brset/img00001", "brset/img00002", "brset/img00003"]
    assert list(table["patient_id"]) == ["brset/1", "brset/2", "brset/3"]
    assert list(table["sex"]) == ["male", "female", "male"]
    assert list(table["eye"]) == ["right", "left", "right"]
    assert list(table["age"].fillna(-1)) == [48, -1, 48]
    assert list(table["camera"]) == ["Canon CR", "Canon CR", "NIKON NF5050"]
    assert list(table["flags"]) == ["", "", "inadequate quality"]
    assert table["healthy"].all()
    assert table["path"].iloc[0] == str(root / "fundus_photos/img00001.jpg")
    assert photographs.rejected.empty


def test_one_sign_is_enough_to_be_not_healthy(tmp_path):
    """Each flag, structure and grade by itself, and an unknown one."""
    signs = [
        *(({disease: "1"}, disease) for disease in DISEASES),
        *(({part: "2"}, part) for part in STRUCTURES),
        *(({grade: "3"}, grade) for grade in GRADES),
        *(({part: "bv"}, f"{part} unknown") for part in STRUCTURES),
        ({"DR_ICDR": ""}, "DR_ICDR unknown"),
        ({"amd": "1", "macula": "2"}, "amd; macula"),
    ]
    root = write_brset(tmp_path, *(change for change, _ in signs), {})
    photographs = brset_photographs(root)
    assert len(photographs.table) == 1
    assert set(photographs.rejected["reason"]) == {"not healthy"}
    assert list(photographs.rejected["detail"]) == [detail for _, detail in signs]
    everyone = brset_photographs(root, healthy_only=False).table
    assert everyone["healthy"].tolist() == [False] * len(signs) + [True]


def test_flags_become_disease_columns_and_a_stray_cell_a_flag(tmp_path):
    """``bv`` is no error and no disease."""
    root = write_brset(tmp_path, {"drusens": "1", "optic_disc": "bv"}, {"scar": ""})
    table = brset_photographs(root, healthy_only=False).table
    assert [name for name in table if name.startswith("disease_")] == [
        f"disease_{name}" for name in DISEASES
    ]
    assert table.loc[0, "disease_drusens"] == 1
    assert table.loc[0, "disease_scar"] == 0
    assert math.isnan(table.loc[1, "disease_scar"])
    assert list(table["flags"]) == ["optic_disc unknown", ""]


def test_ages_that_cannot_be_are_flagged(tmp_path):
    """Placeholders and impossible ones become unknown, a child's and a very old one's stay."""
    ages = ["0", "1", "-4", "121", "999", "5", "120", "nan"]
    root = write_brset(
        tmp_path, *({"patient_id": str(n), "patient_age": age} for n, age in enumerate(ages))
    )
    table = brset_photographs(root).table
    assert list(table["age"].fillna(-1)) == [-1, -1, -1, -1, -1, 5, 120, -1]
    assert list(table["flags"]) == [
        *["placeholder age"] * 2, *["implausible age"] * 3, "", "", "",
    ]  # fmt: skip


def test_people_whose_rows_disagree_on_sex_are_refused(tmp_path):
    """All their rows, also the ones that are not healthy; nobody else's."""
    root = write_brset(
        tmp_path,
        {"patient_id": "7"},
        {"patient_id": "8"},
        {"patient_id": "7", "patient_sex": "2", "amd": "1"},
        {"patient_id": "9", "patient_sex": ""},
        {"patient_id": "9"},
    )
    photographs = brset_photographs(root)
    assert refusals(photographs) == {
        "brset/img00001": "sex disagrees",
        "brset/img00003": "sex disagrees",
        "brset/img00004": "no sex",
    }
    assert set(photographs.rejected["detail"].iloc[:2]) == {"brset/7: female, male"}
    assert list(photographs.table["patient_id"]) == ["brset/8", "brset/9"]


@pytest.mark.parametrize(
    ("table", "renamed", "suffix"),
    [
        ("labels.csv", {}, ".jpg"),
        ("labels_brset.csv", {"drusens": "drusen", "insuline": "insulin"}, ".jpeg"),
        ("labels_brset.csv", {"iluminaton": "Illuminaton"}, ".png"),
    ],
)
def test_every_release_of_it_is_read(tmp_path, table, renamed, suffix):
    """Under either name, with the spellings corrected later, and other endings."""
    root = write_brset(tmp_path, {"drusens": "1"}, table=table, renamed=renamed, suffix=suffix)
    row = brset_photographs(root, healthy_only=False).table.iloc[0]
    assert row["disease_drusens"] == 1
    assert row["path"].endswith(f"fundus_photos/img00001{suffix}")


def test_the_newer_table_goes_before_the_older(tmp_path):
    """Where both stand."""
    write_brset(tmp_path, {"patient_id": "new"})
    write_brset(tmp_path, {"patient_id": "old"}, table="labels.csv")
    assert list(brset_photographs(tmp_path).table["patient_id"]) == ["brset/new"]


def test_a_release_without_the_quality_column_has_no_such_flag(tmp_path):
    """Some do not carry it."""
    root = write_brset(tmp_path, {}, renamed={"quality": "verdict"})
    assert list(brset_photographs(root).table["flags"]) == [""]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"patient_sex": "3"}, "column patient_sex, row 3: '3'; allowed in any case: 1, 2"),
        ({"macula": "bw"}, "column macula, row 3: 'bw'; allowed in any case: 1, 2, bv"),
        ({"DR_ICDR": "5"}, "column DR_ICDR, row 3: '5'; must be a number from 0 to 4"),
        ({"drusens": "2"}, "column drusens, row 3: '2'; allowed in any case: 0, 1"),
        ({"patient_id": ""}, "column patient_id, row 3: empty; must not be empty"),
    ],
)
def test_a_value_outside_the_key_is_refused(tmp_path, change, rule):
    """By file, column, row and value."""
    with pytest.raises(InputError, match=rf"labels_brset\.csv: {rule}"):
        brset_photographs(write_brset(tmp_path, {}, change))


def test_a_root_without_a_table_is_refused(tmp_path):
    """Naming both."""
    with pytest.raises(InputError, match=r"holds neither labels_brset\.csv nor labels\.csv"):
        brset_photographs(tmp_path)


@pytest.mark.parametrize("column", ["patient_sex", "optic_disc", "other", "DR_SDRG"])
def test_a_table_that_lacks_a_column_is_refused(tmp_path, column):
    """By the name the release gives it."""
    assert column in BRSET_ROW
    root = write_brset(tmp_path, {}, renamed={column: "gone"})
    with pytest.raises(InputError, match=rf"columns missing: {column}; it has image_id, "):
        brset_photographs(root)
