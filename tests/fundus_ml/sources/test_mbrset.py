"""mBRSET in its exact layout."""

import pytest

from fundus_ml.errors import InputError
from fundus_ml.sources.mbrset import mbrset_photographs
from tests.fundus_ml.sources.tiny_releases import refusals, write_mbrset


def test_rows_are_read_by_the_releases_key(tmp_path):
    """Sex 0 female 1 male; a name with two points loses only its ending."""
    root = write_mbrset(
        tmp_path,
        {},
        {"patient": "2", "sex": "0", "laterality": "left", "final_quality": "no", "age": "1"},
        {"patient": "3", "laterality": "", "age": ""},
    )
    table = mbrset_photographs(root).table
    assert list(table["image_id"]) == ["mbrset/1.1", "mbrset/1.2", "mbrset/1.3"]
    assert list(table["patient_id"]) == ["mbrset/1", "mbrset/2", "mbrset/3"]
    assert list(table["sex"]) == ["male", "female", "male"]
    assert list(table["eye"]) == ["right", "left", "unknown"]
    assert list(table["age"].fillna(-1)) == [68, -1, -1]
    assert list(table["flags"]) == ["", "placeholder age; inadequate quality", ""]
    assert set(table["camera"]) == {"handheld"}
    assert table["path"].iloc[0] == str(root / "images/1.1.jpg")


@pytest.mark.parametrize(
    ("change", "detail", "diseases"),
    [
        ({"final_icdr": "2.0"}, "diabetic retinopathy", [1, 0]),
        ({"final_edema": "Yes"}, "macular edema", [0, 1]),
        ({"final_icdr": "", "final_edema": "yes"}, "macular edema; diabetic .* unknown", [-1, 1]),
        ({"final_edema": ""}, "macular edema unknown", [0, -1]),
    ],
)
def test_healthy_is_neither_retinopathy_nor_edema(tmp_path, change, detail, diseases):
    """And both said; unknown stays unknown in its column."""
    root = write_mbrset(tmp_path, change, {})
    photographs = mbrset_photographs(root)
    assert list(photographs.table["image_id"]) == ["mbrset/1.2"]
    assert refusals(photographs) == {"mbrset/1.1": "not healthy"}
    assert photographs.rejected["detail"].str.fullmatch(detail).all()
    everyone = mbrset_photographs(root, healthy_only=False).table
    assert everyone["healthy"].tolist() == [False, True]
    columns = ["disease_diabetic_retinopathy", "disease_macular_edema"]
    assert everyone.loc[0, columns].fillna(-1).tolist() == diseases


def test_a_row_without_its_file_is_refused(tmp_path):
    """As the release really has one."""
    root = write_mbrset(tmp_path, {}, {})
    (root / "images/1.2.jpg").unlink()
    photographs = mbrset_photographs(root)
    assert photographs.rejected.to_numpy().tolist() == [
        ["mbrset/1.2", "file missing", "images/1.2.jpg"]
    ]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"sex": "2"}, "column sex, row 2: '2'; allowed in any case: 0, 1"),
        ({"laterality": "OD"}, "column laterality, row 2: 'OD'; allowed in any case: left, right"),
        ({"final_icdr": "7"}, "column final_icdr, row 2: '7'; must be a number from 0 to 4"),
        ({"final_quality": "good"}, "column final_quality, row 2: 'good'; allowed in any"),
    ],
)
def test_a_value_outside_the_key_is_refused(tmp_path, change, rule):
    """By file, column, row and value."""
    with pytest.raises(InputError, match=rf"labels_mbrset\.csv: {rule}"):
        mbrset_photographs(write_mbrset(tmp_path, change))
