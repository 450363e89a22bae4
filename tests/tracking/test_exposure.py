"""What a version has seen, followed back through trainings and averages."""

import pytest
from mlflow import MlflowClient

from tracking.errors import TrackingError
from tracking.exposure import (
    UNKNOWN,
    Making,
    datasets_seen,
    download_training_eyes,
    made_from,
    making_of,
)
from tracking.registry import resolve, tag_version
from tracking.runs import DatasetVersion, start_run


def add(number, *, run_id=None, **tags):
    """Register version ``number`` with nothing but tags."""
    client = MlflowClient()
    if number == 1:
        client.create_registered_model("eye")
    model = client.create_logged_model("0", name="classifier").model_id
    client.create_model_version("eye", f"models:/{model}", run_id, tags=tags, model_id=model)
    return resolve(f"models:/eye/{number}")


def test_every_forebear_is_found_once(store):  # noqa: ARG001 - it lives there
    add(1, dataset_digest="odir")
    add(2, dataset_digest="brset", parent_version="models:/eye/1")
    add(3, dataset_digest="papila")
    add(4, dataset_digest="both", parents="models:/eye/2,models:/eye/3")
    last = add(5, dataset_digest="robust", parent_version="models:/eye/4")
    assert datasets_seen(last) == {
        "models:/eye/5": "robust",
        "models:/eye/4": "both",
        "models:/eye/2": "brset",
        "models:/eye/3": "papila",
        "models:/eye/1": "odir",
    }


def test_what_is_not_known_is_said(store):  # noqa: ARG001 - it lives there
    add(1)
    child = add(2, dataset_digest="odir", parents="models:/eye/1,models:/eye/9")
    assert datasets_seen(child) == {
        "models:/eye/2": "odir",
        "models:/eye/1": UNKNOWN,
        "models:/eye/9": UNKNOWN,
    }


def test_a_circle_ends(store):  # noqa: ARG001 - it lives there
    only = add(1, dataset_digest="odir", parent_version="models:/eye/1")
    assert datasets_seen(only) == {"models:/eye/1": "odir"}


def test_a_version_that_is_gone_stands_among_those_it_was_made_from(store):  # noqa: ARG001
    first = add(1)
    child = add(2, parents="models:/eye/1,models:/eye/9")
    assert made_from(child) == {
        "models:/eye/2": child,
        "models:/eye/1": first,
        "models:/eye/9": None,
    }


def test_another_version_of_the_parent_s_name_and_number_is_not_the_parent(store):  # noqa: ARG001
    """A name that was deleted counts from 1 again."""
    first = add(1)
    child = add(2, parents="models:/eye/1", parent_model_ids="m-deleted")
    assert made_from(child) == {"models:/eye/2": child, "models:/eye/1": None}
    own = add(3, parents="models:/eye/1", parent_model_ids=first.model_id)
    assert made_from(own)["models:/eye/1"] == first


def test_the_run_that_made_a_version_tells_its_dataset_and_its_metrics(store):  # noqa: ARG001
    """The dataset whose digest the version carries, whole, not another one the run read."""
    trained = DatasetVersion("odir", "d" * 64, "data/a,data/b", 12, "train")
    other = DatasetVersion("brset", "e" * 64, "data/c", 5, "check")
    with start_run("train", {}) as run:
        run.log_inputs(datasets=[other, trained])
        run.log_metrics({"shortcut_baseline": 0.5})
        run.log_metrics({"shortcut_baseline": 0.625})
    making = making_of(add(1, run_id=run.run_id, dataset_digest="d" * 64))
    assert making.dataset == trained
    assert making.metrics == {"shortcut_baseline": 0.625}
    assert making.tags["mlflow.runName"] == "train"
    assert making_of(add(2, run_id=run.run_id, dataset_digest="f")).dataset is None


@pytest.mark.parametrize("run_id", [None, "f" * 32])
def test_a_run_that_is_gone_tells_nothing(store, run_id):  # noqa: ARG001
    assert making_of(add(1, run_id=run_id, dataset_digest="d")) == Making()


def test_the_training_eyes_of_a_version_are_those_it_was_registered_with(registered, tmp_path):
    kept = download_training_eyes(registered.version, tmp_path)
    assert kept.read_bytes() == b"eyes"


def test_training_eyes_that_were_changed_are_refused(registered, tmp_path):
    """By whoever can write to the artifacts alone."""
    digests = registered.version.tags["files_sha256"]
    eyes = digests[digests.index("training_eyes") :].partition(": ")[2][1:9]
    tag_version(registered.version, {"files_sha256": digests.replace(eyes, "0" * 8)})
    try:
        with pytest.raises(TrackingError, match="is not the file that was registered"):
            download_training_eyes(resolve(registered.version.uri), tmp_path)
    finally:
        tag_version(registered.version, {"files_sha256": digests})


def test_a_version_of_before_has_no_training_eyes(store, tmp_path):  # noqa: ARG001
    assert download_training_eyes(add(1), tmp_path) is None
