"""Biomarkers by photograph: one row each, replaced by a rerun, beside what the manifest knows."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tracking import results
from tracking.errors import TrackingError
from tracking.runs import start_run
from tracking.versions import DatasetVersion

ODIR = DatasetVersion("odir", "digest-1", "data/odir", 3)


@pytest.fixture
def run(store):  # noqa: ARG001 (it is recorded there)
    with start_run("measure", {}) as run:
        yield run


def rows(**changed):
    frame = pd.DataFrame(
        {
            "image_id": ["b", "b", "a", "a", "c", "c"],
            "biomarker": ["disc_area", "crae"] * 3,
            "value": [1.1, 0.2, 0.9, np.nan, np.nan, np.nan],
            "reason": ["", "", "", "no vessels", "no disc", "no disc"],
            "measured_by": "1, table",
        }
    )
    return frame.assign(**changed)


def test_one_row_per_photograph_comes_back_also_of_one_without_any_value(run):
    results.record_biomarkers(rows(), run=run, dataset=ODIR)
    back = results.biomarkers()
    assert back.columns.tolist() == ["dataset_digest", "image_id", "disc_area", "crae"]
    back = back.set_index("image_id")
    assert back["disc_area"].to_dict() == pytest.approx(
        {"a": 0.9, "b": 1.1, "c": np.nan}, nan_ok=True
    )
    assert back.loc["b", "crae"] == pytest.approx(0.2)
    why = results.biomarker_reasons()
    assert dict(zip(why["image_id"] + " " + why["biomarker"], why["reason"], strict=True)) == {
        "a crae": "no vessels", "c disc_area": "no disc", "c crae": "no disc"
    }  # fmt: skip


def test_a_rerun_replaces_and_another_dataset_stands_beside(run):
    results.record_biomarkers(rows(), run=run, dataset=ODIR)
    results.record_biomarkers(rows(value=5.0), run=run, dataset=ODIR)
    other = DatasetVersion("odir", "digest-2", "data/odir", 3)
    results.record_biomarkers(rows(value=7.0), run=run, dataset=other)
    back = results.biomarkers(run.run_id)
    assert back.groupby("dataset_digest")["crae"].apply(list).to_dict() == {
        "digest-1": [5.0] * 3, "digest-2": [7.0] * 3
    }  # fmt: skip


def test_the_manifest_joins(run):
    results.record_biomarkers(rows(), run=run, dataset=ODIR)
    manifest = pd.DataFrame({"image_id": ["a", "b", "c"], "age": [50.0, 60.0, 70.0], "label": 1})
    dataset = SimpleNamespace(digest="digest-1", frame=manifest)
    joined = results.biomarkers(dataset=dataset)
    assert joined.set_index("image_id")["age"].to_dict() == {"a": 50.0, "b": 60.0, "c": 70.0}
    assert results.biomarker_reasons(dataset=dataset)["age"].tolist() == [50.0, 70.0, 70.0]
    with pytest.raises(TrackingError, match="these results are of digest-1"):
        results.biomarkers(dataset=SimpleNamespace(digest="other", frame=manifest))


def test_a_row_without_its_key_is_refused(run):
    with pytest.raises(TrackingError, match="biomarkers lack the column biomarker"):
        results.record_biomarkers(rows().drop(columns="biomarker"), run=run, dataset=ODIR)
