"""Logits are read as their version reads them."""

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tracking import results
from tracking.calibrated import with_calibration
from tracking.errors import TrackingError
from tracking.registry import resolve, tag_version

pytestmark = pytest.mark.usefixtures("version")
LOGITS = [-3.0, 0.4, 0.6, 2.0]


def rows(version, model_id=None):
    return pd.DataFrame(
        {
            "model_name": version.name, "model_version": version.version,
            "model_id": model_id or version.model_id, "logit": LOGITS,
        }
    )  # fmt: skip


@pytest.fixture
def calibrated(version):
    tag_version(version, {"temperature": "2.0", "threshold": "0.5"})
    return resolve(version.uri)


def test_each_version_reads_its_own_logits(calibrated):
    client = MlflowClient()
    other = client.create_logged_model("0", name="classifier").model_id
    tags = {"temperature": "0.5", "threshold": "-4"}
    client.create_model_version("fundus-sex", f"models:/{other}", tags=tags, model_id=other)
    second = resolve("models:/fundus-sex/2")
    mixed = pd.concat([rows(second), rows(calibrated)]).sample(frac=1, random_state=0)
    found = with_calibration(mixed)
    pd.testing.assert_frame_equal(found[mixed.columns], mixed)
    temperature = mixed["model_version"].map({1: 2.0, 2: 0.5})
    np.testing.assert_allclose(
        found["prob_calibrated"], 1 / (1 + np.exp(-mixed["logit"] / temperature))
    )
    assert found.query("model_version == 1").sort_values("logit")["called"].tolist() == [0, 0, 1, 1]
    assert (found.query("model_version == 2")["called"] == 1).all()


def test_a_version_without_calibration_says_nothing(version):
    found = with_calibration(rows(version))
    assert found[["prob_calibrated", "called"]].isna().all(axis=None)


def test_another_version_of_the_same_number_says_nothing(calibrated):
    """A model that was deleted and registered anew counts from 1 again."""
    found = with_calibration(rows(calibrated, model_id="m-former"))
    assert found[["prob_calibrated", "called"]].isna().all(axis=None)


def test_a_deleted_version_says_nothing(calibrated):
    MlflowClient().delete_model_version("fundus-sex", "1")
    assert with_calibration(rows(calibrated))["called"].isna().all()


def test_a_damaged_calibration_is_told(version):
    tag_version(version, {"temperature": "warm"})
    with pytest.raises(TrackingError, match=r"^models:/fundus-sex/1: its calibration is damaged"):
        with_calibration(rows(version))


def test_no_prediction_has_both_columns():
    assert {"prob_calibrated", "called"} <= set(results.predictions().columns)
