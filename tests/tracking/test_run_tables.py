"""Tables of runs come back by the version they are about."""

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tracking.errors import TrackingError
from tracking.results import run_table
from tracking.runs import start_run

URI = "models:/fundus-sex@robust"
TABLE = pd.DataFrame({"group": ["all", "left"], "auroc": [0.75, np.nan], "eyes": [8, 4]})


def test_the_newest_run_of_a_version_that_keeps_a_table_hands_it_over(version):
    for name in ("scores", "subgroups"):
        MlflowClient().log_table(version.run_id, {"value": [0]}, f"{name}.json")
    for value in (1, 2):
        with start_run("evaluate", {}) as run:
            run.set_tags({"model_version": version.uri})
            run.log_table(TABLE.assign(value=value), "subgroups.json")
            run.log_json({"temperature": 1.0}, "calibration.json")
    with start_run("evaluate", {}) as other:
        other.log_table(TABLE.assign(value=3), "subgroups.json")
    found = run_table("subgroups", model=URI)
    wanted = TABLE.assign(value=2, run_id=run.run_id)
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False)
    assert found["auroc"].dtype == np.float64
    assert set(run_table("subgroups", run_id=other.run_id)["value"]) == {3}
    assert set(run_table("scores", model=version.uri)["run_id"]) == {version.run_id}
    told = f"^table 'controls': {URI} has calibration, scores, subgroups$"
    with pytest.raises(TrackingError, match=told):
        run_table("controls", model=URI)
    with pytest.raises(TrackingError, match=rf"json of run {run.run_id} holds no table$"):
        run_table("calibration", model=URI)


@pytest.mark.usefixtures("version")
def test_mistakes_are_told_in_a_line():
    with pytest.raises(TrackingError, match=r"^table 'scores': .*robust has none yet$"):
        run_table("scores", model=URI)
    for given in ({}, {"model": URI, "run_id": "0" * 32}):
        with pytest.raises(TrackingError, match="give either model or run_id"):
            run_table("scores", **given)
    with pytest.raises(TrackingError, match=r"^run_id is '0+': no such run in this store$"):
        run_table("scores", run_id="0" * 32)
