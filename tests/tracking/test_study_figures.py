import io
from pathlib import Path

import matplotlib as mpl
import mlflow
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from mlflow import MlflowClient
from optuna.trial import TrialState

from tests.tracking.study_workers import SPACE, quadratic
from tracking import results
from tracking.errors import TrackingError
from tracking.runs import start_run
from tracking.studies import open_study
from tracking.study_figures import draw_study, log_study
from tracking.trial_claims import claim
from tracking.trial_tables import trials_table

pytestmark = pytest.mark.usefixtures("registered")

ALL = ["history", "importance", "parallel_coordinates", "slice"]
WIDE = SPACE | {f"another_{place}": {"low": 0.0, "high": 1.0} for place in range(4)}


def searched(values, *, space=SPACE, **others):
    """A study whose trials end with ``values`` (or what a function makes of their lr)."""
    study = open_study("lr", space=space, seed=0, **others)
    for number, value in enumerate(values):
        trial = claim(study, number + 1)
        study.optuna.tell(trial, value(trial.params["lr"]) if callable(value) else value)
    return study


def test_every_picture_is_drawn_and_the_style_is_left_alone():
    before = dict(mpl.rcParams)
    pictures = draw_study(searched([quadratic] * 4, space=WIDE, direction="minimize"), metric="a")
    assert list(pictures) == ALL
    for picture in pictures.values():
        height, width, _ = plt.imread(io.BytesIO(picture.content)).shape
        assert width > height > 300
        assert picture.caption
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def test_what_does_not_vary_is_not_drawn():
    assert draw_study(searched([]), metric="a") == {}
    assert list(draw_study(searched([0.5, 0.5]), metric="a")) == ["history"]


def test_a_single_value_of_a_parameter_is_no_axis():
    space = SPACE | {"optimizer": {"choices": ["adamw"]}}
    assert list(draw_study(searched([quadratic] * 3, space=space), metric="a")) == ALL


def test_the_table_tells_how_each_trial_ended():
    study = searched([0.5, 0.7])
    failing = claim(study, 3)
    failing.set_user_attr("failure", "out of memory")
    study.optuna.tell(failing, state=TrialState.FAIL)
    pruned = claim(study, 4)
    pruned.report(0.25, 1)
    study.optuna.tell(pruned, state=TrialState.PRUNED)
    study.optuna.tell(claim(study, 5), state=TrialState.FAIL)
    claim(study, 5)
    table = trials_table(study.rows(), study.space)
    assert list(table["state"]) == ["complete", "complete", "fail", "pruned", "fail", "running"]
    assert list(table["note"]) == [
        "", "", "out of memory", "", "its worker died; begun again", "in place of trial 4",
    ]  # fmt: skip
    assert list(table["value"].round(2))[:4:3] == [0.5, 0.25]
    assert table["value"].isna().tolist() == [False, False, True, False, True, True]
    assert list(table["lr"]) == [row.params["lr"] for row in study.rows()]
    pd.testing.assert_frame_equal(results.trials("lr"), table)


def test_reading_trials_creates_nothing():
    with pytest.raises(TrackingError, match=r"no database of studies at .*optuna.db"):
        results.trials("lr")
    assert not Path("optuna.db").exists()
    searched([])
    with pytest.raises(TrackingError, match=r"^study=other: not there; there is: lr$"):
        results.trials("other")
    assert list(results.trials("lr"))[-3:] == ["lr", "optimizer", "run_id"]


def test_the_study_is_kept_on_the_run():
    study = searched([quadratic] * 4)
    with start_run("tune", {}) as run:
        log_study(study, run, metric="val_auroc")
    paths = {entry.path for entry in MlflowClient().list_artifacts(run.run_id, "study")}
    assert paths == {"study/trials.csv", *(f"study/{name}.png" for name in ALL)}
    text = mlflow.artifacts.load_text(run.artifact_uri("study/trials.csv"))
    assert list(pd.read_csv(io.StringIO(text))["trial"]) == [0, 1, 2, 3]
