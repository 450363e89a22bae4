"""Rows and the manifest of their dataset are one table, or one line says why not."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from tracking.dataset_eyes import with_eyes
from tracking.errors import TrackingError

ROWS = pd.DataFrame(
    {
        "image_id": ["a/1", "a/0", "a/1", "b/9"], "dataset_digest": ["d" * 64] * 3 + ["e" * 64],
        "patient_id": ["1", "0", "1", "9"], "split": "test", "label": [1, 0, 1, 0],
        "eps": [0.0, 0.0, 1.0, 0.0],
    }
)  # fmt: skip
MANIFEST = pd.DataFrame(
    {
        "image_id": ["a/0", "a/1", "a/2"], "patient_id": ["0", "1", "2"], "label": [1, 0, 1],
        "sex": ["male", "female", "male"], "split": ["test", "train", "val"],
        "person_group": ["p0", "p1", "p1"], "age": [40.0, np.nan, 50.0],
    }
)  # fmt: skip


@dataclass(frozen=True)
class Opened:
    digest: str
    frame: pd.DataFrame


OPENED = Opened("d" * 64, MANIFEST)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps({"digest": OPENED.digest}))
    MANIFEST.to_parquet(tmp_path / "manifest.parquet")
    return tmp_path


def test_rows_of_the_dataset_gain_what_its_manifest_knows(folder):
    for dataset in (folder, str(folder), OPENED):
        found = with_eyes(ROWS, dataset)
        pd.testing.assert_frame_equal(found[list(ROWS)], ROWS[:3], check_dtype=False)
        assert found["person_group"].tolist() == ["p1", "p0", "p1"]
        assert found["sex"].tolist() == ["female", "male", "female"]
        assert found["age"].isna().tolist() == [True, False, True]
        assert list(found) == [*ROWS, "sex", "person_group", "age"]


def test_rows_without_a_label_take_none_over():
    """The manifest's is the sex, and the rows may be about glaucoma."""
    found = with_eyes(ROWS.drop(columns=["label", "split"]), OPENED)
    assert "label" not in found
    assert found["split"].tolist() == ["train", "test", "train"]


def test_no_rows_stay_none_and_have_the_columns():
    found = with_eyes(ROWS[:0], OPENED)
    assert list(found) == [*ROWS, "sex", "person_group", "age"]
    assert found.empty


def test_another_dataset_is_told():
    told = f"dataset=f{{12}}: has digest f{{12}}, these results are of {'d' * 12}, {'e' * 12}"
    with pytest.raises(TrackingError, match=f"^{told}$"):
        with_eyes(ROWS, replace(OPENED, digest="f" * 64))


def test_a_missing_photograph_is_told():
    told = "lacks 1 of 2 photographs of these results, the first is a/1; give the whole dataset$"
    with pytest.raises(TrackingError, match=told):
        with_eyes(ROWS, replace(OPENED, frame=MANIFEST.drop(index=1)))


def test_what_is_no_dataset_folder_is_told(folder, tmp_path):
    with pytest.raises(TrackingError, match=r"^dataset=.*nowhere: no dataset folder \(.*No such"):
        with_eyes(ROWS, tmp_path / "nowhere")
    (folder / "manifest.parquet").write_bytes(b"cut")
    with pytest.raises(TrackingError, match=r"no dataset folder \(.*Parquet.*\)$"):
        with_eyes(ROWS, folder)
    (folder / "dataset.json").write_text("[]")
    with pytest.raises(TrackingError, match="no dataset folder"):
        with_eyes(ROWS, folder)


def test_several_folders_are_to_be_opened_together():
    with pytest.raises(TrackingError, match=r"share people; give open_dataset\('a,b'\)$"):
        with_eyes(ROWS, "a,b")
