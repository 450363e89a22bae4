"""A finished run is read as it was given, and two runs differ where their findings do."""

import math

import pytest
from mlflow import MlflowClient

from tracking.errors import TrackingError
from tracking.repeating import compare_metrics, read_repeatable
from tracking.runs import start_run


def finished(monkeypatch, commit="f" * 40, **tags):
    monkeypatch.setattr("tracking.opening.code_version", lambda: commit)
    with start_run("train", {"dataset": "'~/my eyes'", "contrast": "'age>60'"}) as run:
        run.set_tags(tags)
        run.log_metrics({"test/auroc": 0.7})
    return run.run_id


@pytest.mark.usefixtures("store")
def test_flags_are_those_that_were_given(monkeypatch):
    """``mlflow run`` logs them as its shell reads them; the command itself does not."""
    plain = read_repeatable(finished(monkeypatch))
    assert plain.parameters["dataset"] == "'~/my eyes'"
    assert (plain.entry_point, plain.commit, plain.dataset_digest) == ("train", "f" * 40, "")
    tags = {"mlflow.project.entryPoint": "train", "model_version": "models:/eye/3"}
    step = read_repeatable(finished(monkeypatch, stage="robustify"))
    assert step.entry_point == "robustify"
    project = read_repeatable(finished(monkeypatch, **tags))
    assert dict(project.parameters) == {"dataset": "~/my eyes", "contrast": "age>60"}
    assert (project.model, project.start, project.registered) == ("models:/eye/3", "", "")
    assert project.metrics == {"test/auroc": 0.7}


@pytest.mark.usefixtures("store")
def test_what_cannot_run_again_is_refused(monkeypatch):
    with pytest.raises(TrackingError, match="no such run"):
        read_repeatable("0" * 32)
    for commit in ("unknown", "f" * 40 + "-dirty"):
        with pytest.raises(TrackingError, match="only what a commit holds"):
            read_repeatable(finished(monkeypatch, commit=commit))
    killed = finished(monkeypatch)
    MlflowClient().set_terminated(killed, "KILLED")
    with pytest.raises(TrackingError, match="is KILLED; must be FINISHED"):
        read_repeatable(killed)


def test_a_run_whose_version_was_deleted_and_made_again_is_refused(version, monkeypatch):
    """The other version has its name and number, and would be evaluated in its place."""
    run_id = finished(monkeypatch, models_read=f"{version.uri} m-deleted")
    with pytest.raises(TrackingError, match=f"took {version.uri}, which was deleted; another"):
        read_repeatable(run_id)
    own = finished(monkeypatch, models_read=f"{version.uri} {version.model_id}")
    assert read_repeatable(own).run_id == own


def test_metrics_are_compared_but_for_times():
    first = {"a": 1.0, "b": math.nan, "c": 2.0, "d": math.nan, "seconds": 1.0, "gone": 1.0}
    second = {"a": 1.0, "b": math.nan, "c": 1.0, "d": 0.0, "seconds": 9.0, "new": 1.0,
              "system/cpu_utilization_percentage": 9.0}  # fmt: skip
    table = compare_metrics(first, second).set_index("metric")["difference"]
    assert table.to_dict() == {
        "a": 0.0, "b": 0.0, "c": 0.5, "d": math.inf, "gone": math.inf, "new": math.inf,
    }  # fmt: skip
