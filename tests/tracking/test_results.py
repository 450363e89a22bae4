from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tracking import results
from tracking.errors import TrackingError
from tracking.lineage import attach_pictures
from tracking.runs import start_run
from tracking.versions import DatasetVersion, ModelVersion

ODIR = DatasetVersion("odir", "digest-1", "data/odir", 3)
OTHER = ModelVersion("fundus-sex", 2, "m-other", "r")


@pytest.fixture
def version(registered):
    return registered.version


@pytest.fixture
def run(registered):  # noqa: ARG001 - it is recorded there
    with start_run("evaluate", {}) as run:
        yield run


def prediction_frame(rows=3):
    return pd.DataFrame(
        {
            "image_id": [f"odir/{i}_left" for i in range(rows)],
            "patient_id": [f"odir/{i}" for i in range(rows)],
            "split": "test",
            "label": np.arange(rows) % 2,
            "attack": "pgd",
            "constraint": "linf",
            "eps": np.float32(4 / 255),
            "logit": np.linspace(-1, 1, rows, dtype=np.float32),
            "prob": np.linspace(0.2, 0.8, rows),
            "camera": "left out",
        }
    )


def modulation_frame():
    return pd.DataFrame(
        {
            "image_id": "odir/0_left", "patient_id": "odir/0", "split": "test", "label": 0,
            "mode": "flip", "target": "male", "constraint": "l2", "eps": [0.5, 1.0], "region": "",
            "seed": 0, "prob_target_before": 0.1, "prob_target": [0.4, 0.9],
            "success": [False, True], "l2": [0.5, 1.0], "linf": [0.01, 0.02], "attack_steps": 20,
            "step_size": 0.1, "picture": ["a.png", "b.png"],
        }
    )  # fmt: skip


def share_frame():
    return pd.DataFrame(
        {
            "image_id": "odir/0_left", "mode": "flip", "target": "male", "constraint": "l2",
            "eps": 0.5, "region": "", "seed": 0, "part": ["disc", "vessels"],
            "energy_share": [0.4, np.nan], "area_share": [0.1, 0.0], "enrichment": [4.0, np.nan],
            "baseline": "retina", "sham_energy_share": [0.1, np.nan],
            "sham_area_share": [0.1, np.nan],
        }
    )  # fmt: skip


def score_frame():
    return pd.DataFrame(
        {
            "image_id": "odir/0_left", "patient_id": "odir/0", "method": ["occlusion", "gradient"],
            "score": ["sparseness", "enrichment"], "part": ["", "disc"], "seed": 0,
            "value": [0.4, np.nan],
        }
    )  # fmt: skip


CASES = {
    "explanation_scores": (
        results.record_explanation_scores,
        results.explanation_scores,
        score_frame,
    ),
    "predictions": (results.record_predictions, results.predictions, prediction_frame),
    "modulations": (results.record_modulations, results.modulations, modulation_frame),
    "region_shares": (results.record_region_shares, results.region_shares, share_frame),
}


@pytest.mark.parametrize("table", CASES)
def test_a_frame_comes_back_with_its_identity(run, version, table):
    record, read, make = CASES[table]
    record(make(), run=run, model=version, dataset=ODIR)
    back = read()
    for name in make().columns.drop("camera", errors="ignore"):
        pd.testing.assert_series_equal(back[name], make()[name], check_dtype=False)
    assert "camera" not in back
    assert set(back["run_id"]) == {run.run_id}
    assert set(back["model_id"]) == {version.model_id}
    assert set(back["dataset_digest"]) == {"digest-1"}
    if table != "region_shares":
        assert set(back["model_name"]) == {"fundus-sex"}
        assert set(back["model_version"]) == {1}


@pytest.mark.parametrize("table", CASES)
def test_a_rerun_replaces_and_never_doubles(run, version, table):
    record, read, make = CASES[table]
    record(make(), run=run, model=version, dataset=ODIR)
    with start_run("again", {}) as again:
        record(make(), run=again, model=version, dataset=ODIR)
    assert len(read()) == len(make())
    assert set(read()["run_id"]) == {again.run_id}


@pytest.mark.parametrize("table", CASES)
def test_rows_are_filtered_by_version_and_run(run, version, table):
    record, read, make = CASES[table]
    record(make(), run=run, model=OTHER, dataset=ODIR)
    with start_run("again", {}) as again:
        record(make(), run=again, model=version, dataset=ODIR)
    assert set(read(model="models:/fundus-sex@robust")["model_id"]) == {version.model_id}
    assert set(read(run_id=run.run_id)["model_id"]) == {"m-other"}
    assert read(model="models:/fundus-sex/1", run_id=run.run_id).empty
    assert len(read()) == 2 * len(make())


def test_a_step_of_a_chain_stands_while_its_rows_do(run, version):
    """A later run may have replaced them; another database, or another version's rows, will not."""
    results.record_predictions(prediction_frame(), run=run, model=version, dataset=ODIR)
    asked = {"model_ids": [version.model_id], "dataset_digest": ODIR.digest}
    assert results.has_rows("evaluate", run_id=run.run_id, model_ids=[], dataset_digest="")
    assert results.has_rows("evaluate", run_id="replaced", **asked)
    assert not results.has_rows("evaluate", run_id="gone", **asked | {"model_ids": ["m-other"]})
    assert not results.has_rows("evaluate", run_id="gone", **asked | {"dataset_digest": "other"})
    assert not results.has_rows("modulate", run_id=run.run_id, **asked)
    assert results.has_rows("train", run_id="writes none", **asked)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("table", CASES)
def test_an_empty_table_has_its_columns(table):
    _, read, make = CASES[table]
    frame = read()
    assert frame.empty
    assert set(make().columns.drop("camera", errors="ignore")) <= set(frame.columns)


def test_types_survive(run, version):
    results.record_modulations(modulation_frame(), run=run, model=version, dataset=ODIR)
    back = results.modulations()
    assert back["success"].dtype == bool
    assert back["eps"].dtype == np.float64
    assert back["attack_steps"].dtype == np.int64


def test_missing_columns_are_named(run, version):
    frame = prediction_frame().drop(columns=["prob", "split"])
    with pytest.raises(TrackingError, match=r"predictions lack the column split, prob"):
        results.record_predictions(frame, run=run, model=version, dataset=ODIR)
    with pytest.raises(TrackingError, match="lack the column model_name, model_version, run_id"):
        results.record_predictions(prediction_frame())


def test_missing_values_are_named_and_nothing_is_written(run, version):
    frame = prediction_frame().assign(logit=[0.1, np.nan, 0.2])
    with pytest.raises(TrackingError, match="predictions have rows without logit"):
        results.record_predictions(frame, run=run, model=version, dataset=ODIR)
    assert results.predictions().empty


@pytest.mark.usefixtures("version")
def test_a_version_that_does_not_exist_is_told():
    with pytest.raises(TrackingError, match="no such alias, there is: robust"):
        results.predictions(model="models:/fundus-sex@champion")


def test_a_picture_can_be_opened(run, version, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "eye.png").write_bytes(b"picture")
    address = attach_pictures(run, version, tmp_path / "pictures", thumbnails=(), caption="c")
    frame = modulation_frame().assign(picture=f"{address}/eye.png")
    results.record_modulations(frame, run=run, model=version, dataset=ODIR)
    stored = results.modulations()["picture"][0]
    assert results.picture_path(stored).read_bytes() == b"picture"
    assert results.picture_path(str(tmp_path / "pictures" / "eye.png")).is_file()


def test_results_are_kept_where_the_variable_says(run, version, tmp_path, monkeypatch):
    monkeypatch.setenv("FUNDUS_RESULTS_URI", f"sqlite:///{tmp_path / 'other.db'}")
    results.record_predictions(prediction_frame(), run=run, model=version, dataset=ODIR)
    assert Path("other.db").is_file()
    assert not Path("results.db").exists()
    assert MlflowClient().get_run(run.run_id)
