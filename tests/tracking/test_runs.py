import json
import time

import mlflow
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from mlflow import MlflowClient
from PIL import Image

from tracking import opening
from tracking.errors import TrackingError
from tracking.runs import DatasetVersion, record_failure, start_run

pytestmark = pytest.mark.usefixtures("registered")

ODIR = DatasetVersion("odir", "d" * 64, "data/odir,data/brset", 120, "training")


def get(run_id):
    return MlflowClient().get_run(run_id)


@pytest.fixture
def opened_by_mlflow_run(registered, monkeypatch):  # noqa: ARG001 - it is recorded there
    """A run as ``mlflow run`` leaves it to the command it starts."""
    client = MlflowClient()
    run = client.create_run("0", run_name="flying-fish-1")
    client.log_param(run.info.run_id, "out", "'data/my eyes'")
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    return run.info.run_id


def test_a_run_keeps_parameters_inputs_commit_and_status(registered, monkeypatch):
    monkeypatch.setattr(opening, "code_version", lambda: "abc123-dirty")
    with start_run("train", {"lr": 0.1, "eps": (0.5, 1.0)}) as r:
        r.log_inputs(datasets=[ODIR], models=[registered.version])
        assert get(r.run_id).info.status == "RUNNING"
    run = get(r.run_id)
    assert run.info.run_name == "train"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"lr": "0.1", "eps": "0.5,1.0"}
    assert run.data.tags["git_commit"] == "abc123-dirty"
    assert run.data.tags["mlflow.source.git.commit"] == "abc123"
    assert MlflowClient().get_experiment(run.info.experiment_id).name == "fundus"
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.name == "odir"
    assert dataset.dataset.digest == "d" * 36
    assert json.loads(dataset.dataset.source) == {"uri": "data/odir,data/brset"}
    assert json.loads(dataset.dataset.profile) == {"num_rows": 120}
    assert {tag.key: tag.value for tag in dataset.tags} == {
        "digest": "d" * 64,
        "mlflow.data.context": "training",
    }
    assert [model.model_id for model in run.inputs.model_inputs] == [registered.version.model_id]


def test_no_commit_is_said_to_be_unknown(monkeypatch):
    monkeypatch.setattr(opening, "code_version", lambda: "unknown")
    with start_run("train", {}) as run:
        pass
    assert get(run.run_id).data.tags["git_commit"] == "unknown"


def test_the_run_mlflow_opened_is_joined(opened_by_mlflow_run):
    with start_run("train", {"out": "data/my eyes", "lr": 0.1}) as run:
        assert run.run_id == opened_by_mlflow_run
        with start_run("epoch", {}) as child:
            pass
    assert get(run.run_id).info.run_name == "train"
    assert get(run.run_id).data.params == {"out": "'data/my eyes'", "lr": "0.1"}
    assert get(child.run_id).data.tags["mlflow.parentRunId"] == run.run_id
    assert get(child.run_id).info.experiment_id == "0"
    with start_run("later", {}) as later:
        pass
    assert later.run_id != opened_by_mlflow_run


def test_a_name_the_user_gave_to_mlflow_run_stays(opened_by_mlflow_run):
    MlflowClient().update_run(opened_by_mlflow_run, name="night-run")
    with start_run("train", {}) as run:
        pass
    assert get(run.run_id).info.run_name == "night-run"


def test_nested_runs_have_their_parent():
    with start_run("main", {}) as parent, start_run("train", {}) as child:
        pass
    assert get(child.run_id).data.tags["mlflow.parentRunId"] == parent.run_id
    assert get(child.run_id).info.experiment_id == get(parent.run_id).info.experiment_id
    assert "mlflow.parentRunId" not in get(parent.run_id).data.tags


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (TrackingError("eps is -1;\n must be positive"), "FAILED", "eps is -1; must be positive"),
        (KeyError("age"), "FAILED", "KeyError: 'age'"),
        (ValueError("shapes differ"), "FAILED", "ValueError: shapes differ"),
        (RuntimeError(), "FAILED", "RuntimeError"),
        (SystemExit(2), "FAILED", "SystemExit: 2"),
        (KeyboardInterrupt(), "KILLED", "interrupted"),
    ],
)
def test_a_failed_run_says_why_and_raises_on(error, status, reason):
    with pytest.raises(type(error)), start_run("train", {}) as run:
        raise error
    assert get(run.run_id).info.status == status
    assert get(run.run_id).data.tags["failure"] == reason
    assert mlflow.active_run() is None


def test_a_failing_child_fails_its_parent():
    with pytest.raises(TrackingError), start_run("main", {}) as parent, start_run("t", {}) as child:
        raise TrackingError("no eyes")
    assert {get(r.run_id).info.status for r in (parent, child)} == {"FAILED"}


def test_a_mistake_before_the_start_leaves_a_failed_run():
    run = get(record_failure("train", "eps is 'abc';\nmust be a number", {"eps": "abc"}))
    assert run.info.status == "FAILED"
    assert run.info.run_name == "train"
    assert run.data.params == {"eps": "abc"}
    assert run.data.tags["failure"] == "eps is 'abc'; must be a number"


def test_a_mistake_before_the_start_fails_the_run_mlflow_opened(opened_by_mlflow_run):
    assert record_failure("train", "eps is 'abc'") == opened_by_mlflow_run
    assert get(opened_by_mlflow_run).info.status == "FAILED"


def test_the_experiment_can_be_named(monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "pilot")
    with start_run("train", {}) as by_environment:
        pass
    with start_run("train", {}, experiment="ward") as by_argument:
        pass
    names = [
        MlflowClient().get_experiment(get(run.run_id).info.experiment_id).name
        for run in (by_environment, by_argument)
    ]
    assert names == ["pilot", "ward"]


def test_the_machine_is_watched_unless_mlflow_is_told_not_to(monkeypatch):
    monkeypatch.delenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.01")
    with start_run("train", {}) as run:
        until = time.monotonic() + 30
        while "system/cpu_utilization_percentage" not in get(run.run_id).data.metrics:
            assert time.monotonic() < until
            time.sleep(0.02)
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    with start_run("train", {}) as run:
        time.sleep(0.1)
    assert not get(run.run_id).data.metrics


def test_what_is_logged_comes_back(tmp_path):
    (tmp_path / "note.txt").write_text("one")
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "two.txt").write_text("two")
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    figure = Figure()
    figure.subplots().plot([0, 1])
    with start_run("train", {}) as run:
        run.log_metrics({"loss": 2, "auroc": np.float32(0.5)}, step=3)
        run.log_epoch({"epoch": 4.0, "loss": 1.0, "lr": 0.1, "robust_val_auroc": 0.7})
        run.log_parameters({"depth": 18})
        run.log_image(image, "odir/0_left", step=2)
        run.log_figure(figure, "curves/loss.png")
        run.log_text("hello", "hello.txt")
        run.log_json({"a": [1, 2]}, "best.json")
        run.log_table(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), "table.json")
        run.log_artifact(tmp_path / "note.txt", "notes")
        run.log_artifacts(tmp_path / "folder", "all")
        run.set_tags({"state": "done"})
    client = MlflowClient()
    history = [(m.step, m.value) for m in client.get_metric_history(run.run_id, "loss")]
    assert history == [(3, 2.0), (4, 1.0)]
    metrics = get(run.run_id).data.metrics
    assert (metrics["auroc"], metrics["learning_rate"], metrics["val/robust_auroc"]) == (
        0.5,
        0.1,
        0.7,
    )
    assert get(run.run_id).data.params == {"depth": "18"}
    assert get(run.run_id).data.tags["state"] == "done"

    def fetch(path):
        return mlflow.artifacts.download_artifacts(run.artifact_uri(path))

    (picture,) = [f.path for f in client.list_artifacts(run.run_id, "images") if "png" in f.path]
    with Image.open(fetch(picture)) as stored:
        assert np.array_equal(np.asarray(stored), image)
    assert mlflow.artifacts.load_dict(run.artifact_uri("best.json")) == {"a": [1, 2]}
    experiment = get(run.run_id).info.experiment_id
    table = client.load_table(experiment, "table.json")
    assert (table["a"].tolist(), table["b"].tolist()) == ([1, 2], ["x", "y"])
    for path, text in {
        "hello.txt": "hello",
        "notes/note.txt": "one",
        "all/deep/two.txt": "two",
    }.items():
        assert mlflow.artifacts.load_text(run.artifact_uri(path)) == text
    assert fetch("curves/loss.png").endswith("loss.png")


def test_the_addresses_of_its_pages():
    with start_run("train", {}) as run:
        place = f"/#/experiments/{get(run.run_id).info.experiment_id}/runs/{run.run_id}"
        assert run.page() == f"{place}?workflowType=machine_learning"
        assert run.page("artifacts/modulation").startswith(f"{place}/artifacts/modulation?")
