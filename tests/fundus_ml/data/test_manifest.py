"""The table of eyes: what it refuses, and that writing it and reading it change nothing."""

import pandas as pd
import pytest

from fundus_ml.data.manifest import (
    MANIFEST_COLUMNS,
    read_manifest,
    validate_manifest,
    write_manifest,
)
from fundus_ml.errors import InputError
from tests.fundus_ml.tiny_eyes import make_manifest


def changed(name, value, row=2):
    """A manifest with one cell of another value."""
    frame = make_manifest().astype({name: "object"})
    frame.loc[row, name] = value
    return frame


def test_written_manifest_reads_back_as_it_was(tmp_path):
    """Values, types, order and a source's own columns survive the file; NaN stays NaN."""
    frame = validate_manifest(make_manifest().assign(trait=range(7)))
    write_manifest(frame, tmp_path / "manifest.parquet")
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "manifest.parquet"), frame)
    assert frame["age"].isna().sum() == 2


def test_validation_orders_columns_types_them_and_renews_the_index():
    """Columns come in the manifest's order with own ones behind, whole floats become integers."""
    frame = make_manifest().astype({"label": "float64", "healthy": "int64"})
    shuffled = frame.assign(trait="t")[["trait", *reversed(MANIFEST_COLUMNS)]].iloc[[3, 1, 5]]
    valid = validate_manifest(shuffled)
    assert tuple(valid) == (*MANIFEST_COLUMNS, "trait")
    assert list(valid.index) == [0, 1, 2]
    assert list(valid["image_id"]) == ["tiny/3", "tiny/1", "tiny/5"]
    assert valid["label"].dtype == "int64"
    assert valid["healthy"].dtype == "bool"


def test_validation_leaves_the_given_table_alone():
    """The caller's table is not written to."""
    frame = make_manifest()
    before = frame.copy()
    validate_manifest(frame)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("name", MANIFEST_COLUMNS)
def test_every_column_is_needed(name):
    """A table without one of the columns is refused by that name."""
    with pytest.raises(InputError, match=f"columns missing: {name}$"):
        validate_manifest(make_manifest().drop(columns=name))


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("sex", "Female", "sex=Female: allowed: female, male"),
        ("eye", "OD", "eye=OD: allowed: left, right, unknown"),
        ("split", "valid", "split=valid: allowed: train, val, test"),
        ("source", "", "source=: must not be empty"),
        ("person_group", "", "person_group=: must not be empty"),
        ("camera", None, "camera=.*: must be known"),
        ("width", float("nan"), "width=nan: must be known"),
        ("label", 0.5, "label=0.5: must be int64"),
        ("label", "1", "label=1: must be int64"),
        ("healthy", "no", "healthy=no: must be bool"),
        ("age", "old", "'old': Error while type casting for column 'age'"),
        ("row", "first", "'first': Error while type casting for column 'row'"),
        ("image_id", "tiny/0", "tiny/0: image_id=tiny/0: stands twice"),
        ("label", 0, "label=0: must be 0 for female, 1 for male"),
        ("fov_x", float("nan"), "fov_x=nan: must be a number"),
        ("fov_aspect", float("inf"), "fov_aspect=inf: must be a number"),
        ("fov_radius", 0.0, "fov_radius=0.0: must be above 0"),
        ("height", 0, "height=0: must be above 0"),
        ("shard", -1, "shard=-1: must be at least 0"),
        ("patient_id", "tiny/p0", "patient_id=tiny/p0: is in more than one person_group"),
        ("split", "train", "person_group=tiny/p1: is in more than one split"),
    ],
)
def test_one_wrong_cell_is_refused_with_its_eye_and_rule(name, value, rule):
    """The message names eye, column, value and what is allowed."""
    with pytest.raises(InputError, match=f"^manifest: .*{rule}"):
        validate_manifest(changed(name, value))


def test_two_patients_may_be_one_person():
    """One person under two patient numbers is allowed, as long as it stays in one split."""
    frame = make_manifest().assign(split="train", person_group="tiny/p0")
    assert set(validate_manifest(frame)["person_group"]) == {"tiny/p0"}


def test_reading_says_which_file_is_wrong(tmp_path):
    """A missing file, one that is no parquet and one that breaks a rule are named."""
    path = tmp_path / "manifest.parquet"
    with pytest.raises(InputError, match=r"manifest.parquet: no such manifest"):
        read_manifest(path)
    path.write_text("image_id\n")
    with pytest.raises(InputError, match=r"manifest.parquet: not a manifest"):
        read_manifest(path)
    make_manifest().assign(sex="male").to_parquet(path)
    with pytest.raises(InputError, match=r"manifest.parquet: manifest: .*must be 0 for female"):
        read_manifest(path)


def test_a_wrong_manifest_is_never_written(tmp_path):
    """Writing validates first."""
    with pytest.raises(InputError, match="allowed: female, male"):
        write_manifest(changed("sex", "x"), tmp_path / "manifest.parquet")
    assert not list(tmp_path.iterdir())
