"""PAPILA in its exact layout: names over three rows, one workbook per side."""

import math

import pytest

from fundus_ml.errors import InputError
from fundus_ml.sources.papila import papila_photographs
from tests.fundus_ml.sources.tiny_releases import refusals, write_excel, write_papila

RIGHT = [("#002", 47, 0, 2), ("#004", 58, 1, 1), ("#005", 1, 1, 0)]
LEFT = [("#002", 47, 0, 0), ("#004", 58, 1, None), ("#005", 1, 1, 0)]


def test_both_tables_are_read_by_the_releases_key(tmp_path):
    """OD right, OS left; gender 0 male 1 female; the person is the same in both."""
    table = papila_photographs(write_papila(tmp_path, RIGHT, LEFT), healthy_only=False).table
    assert list(table["image_id"]) == [
        f"papila/RET{number}{side}" for side in ("OD", "OS") for number in ("002", "004", "005")
    ]
    assert list(table["patient_id"]) == ["papila/002", "papila/004", "papila/005"] * 2
    assert list(table["eye"]) == ["right"] * 3 + ["left"] * 3
    assert list(table["sex"]) == ["male", "female", "female"] * 2
    assert list(table["age"].fillna(-1)) == [47, 58, -1] * 2
    assert list(table["healthy"]) == [False, False, True, True, False, True]
    assert list(table["flags"]) == [
        "glaucoma suspect", "", "placeholder age", "", "", "placeholder age",
    ]  # fmt: skip
    glaucoma = list(table["disease_glaucoma"])
    assert glaucoma[1:4] == [1, 0, 0]
    assert math.isnan(glaucoma[0])
    assert math.isnan(glaucoma[4])
    assert table["path"].iloc[3] == str(tmp_path / "FundusImages/RET002OS.jpg")


def test_only_the_healthy_are_taken_and_the_diagnosis_said(tmp_path):
    """A suspect is not healthy, nor is an eye without a diagnosis."""
    root = write_papila(tmp_path, RIGHT, LEFT)
    (root / "FundusImages/RET005OS.jpg").unlink()
    photographs = papila_photographs(root)
    assert list(photographs.table["image_id"]) == ["papila/RET005OD", "papila/RET002OS"]
    assert photographs.rejected.to_numpy().tolist() == [
        ["papila/RET002OD", "not healthy", "glaucoma suspect"],
        ["papila/RET004OD", "not healthy", "glaucoma"],
        ["papila/RET004OS", "not healthy", "diagnosis unknown"],
        ["papila/RET005OS", "file missing", "FundusImages/RET005OS.jpg"],
    ]


def test_tables_that_disagree_on_a_persons_sex_refuse_the_person(tmp_path):
    """In both."""
    left = [("#002", 47, 1, 0), *LEFT[1:]]
    photographs = papila_photographs(write_papila(tmp_path, RIGHT, left), healthy_only=False)
    assert refusals(photographs) == dict.fromkeys(
        ["papila/RET002OD", "papila/RET002OS"], "sex disagrees"
    )


@pytest.mark.parametrize(
    ("patient", "rule"),
    [
        (("#006", 47, 2, 0), "column Gender, row 5: '2'; allowed in any case: 0, 1"),
        (("#006", 47, 0, 3), "column Diagnosis, row 5: '3'; allowed in any case: 0, 1, 2"),
        (("6", 47, 0, 0), "column ID, row 5: '6'; must be a number such as #002"),
    ],
)
def test_a_value_outside_the_key_is_refused(tmp_path, patient, rule):
    """By the row a spreadsheet shows: three rows of names, then the patients."""
    with pytest.raises(InputError, match=rf"patient_data_os\.xlsx: {rule}"):
        papila_photographs(write_papila(tmp_path, RIGHT, [LEFT[0], patient]))


def test_a_missing_or_rearranged_table_is_refused(tmp_path):
    """One line each."""
    root = write_papila(tmp_path, RIGHT, LEFT)
    table = root / "ClinicalData/patient_data_os.xlsx"
    write_excel(table, [["ID", "Age", "Gender", "Diagnosis"], *LEFT])
    with pytest.raises(InputError, match=r"os\.xlsx: columns missing: ID, Age, Gender, Diagnosis"):
        papila_photographs(root)
    table.unlink()
    with pytest.raises(InputError, match=r"patient_data_os\.xlsx: no such table"):
        papila_photographs(root)
