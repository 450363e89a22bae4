"""What a version has seen, followed back through trainings and averages."""

from mlflow import MlflowClient

from tracking.exposure import UNKNOWN, datasets_seen
from tracking.registry import resolve


def add(number, **tags):
    """Register version ``number`` with nothing but tags."""
    client = MlflowClient()
    if number == 1:
        client.create_registered_model("eye")
    model = client.create_logged_model("0", name="classifier").model_id
    client.create_model_version("eye", f"models:/{model}", tags=tags, model_id=model)
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
