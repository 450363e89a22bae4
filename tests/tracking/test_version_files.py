"""What is loaded is what was registered, whatever else somebody put into the artifact folder."""

import json
import os
import pickle
import shutil
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlparse

import mlflow
import pytest
import torch
from mlflow import MlflowClient

from tracking import lineage, registry, version_files
from tracking.errors import TrackingError
from tracking.runs import start_run

LOADERS = [
    registry.load_program,
    registry.load_classifier,
    lambda uri: registry.download_files(uri, Path("files")),
]


class Marks:
    """Unpickling it leaves a folder behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def artifacts(registered, tmp_path):
    """The artifact folder of the registered version, put back after the test."""
    location = MlflowClient().get_logged_model(registered.version.model_id).artifact_location
    folder = Path(urlparse(location).path)
    shutil.copytree(folder, tmp_path / "before")
    yield folder
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "before", folder)


@pytest.fixture
def without_digests(registered):
    """The version as one that was registered before digests were kept."""
    client, version = MlflowClient(), registered.version
    client.delete_model_version_tag(version.name, str(version.version), "files_sha256")
    version_files._told.clear()
    yield version
    registry.tag_version(version, {"files_sha256": version.tags["files_sha256"]})


def put_pickle(folder, proof):
    """What the issue's attacker adds: MLflow's loader prefers it to the program."""
    (folder / "data" / "model.pth").write_bytes(pickle.dumps(Marks(proof)))
    (folder / "data" / "pickle_module_info.txt").write_text("pickle")


def test_the_digests_cover_every_file_that_is_written(registered, artifacts):
    digests = json.loads(registered.version.tags["files_sha256"])
    assert digests.keys() == version_files.WRITTEN
    written = {p.relative_to(artifacts).as_posix() for p in artifacts.rglob("*") if p.is_file()}
    pictures = {name for name in written if name.startswith("modulation/")}
    assert written - {"registered_model_meta"} - pictures == version_files.WRITTEN
    stored = registry.resolve(registered.version.uri)
    assert stored.tags["files_sha256"] == registered.version.tags["files_sha256"]


@pytest.mark.parametrize("load", LOADERS)
def test_a_pickle_put_beside_the_program_is_refused_and_not_run(
    registered, artifacts, tmp_path, load
):
    put_pickle(artifacts, tmp_path / "proof")
    with pytest.raises(TrackingError, match=r"artifacts hold data/\S+, which was not registered"):
        load(registered.version.uri)
    assert not (tmp_path / "proof").exists()


@pytest.mark.usefixtures("artifacts")
def test_mlflow_itself_runs_it(registered, artifacts, tmp_path):
    """Why docs/serving.md names another call."""
    put_pickle(artifacts, tmp_path / "proof")
    with suppress(Exception):  # what it does after running the code is its own affair
        mlflow.pytorch.load_model(registered.version.uri, weights_only=False)
    assert (tmp_path / "proof").exists()


@pytest.mark.parametrize(
    "path",
    [
        "model.pkl", "code/torch.py", "data/model.pt", "data/deeper/model.pt2", "extra_files/x",
        "extra_files/weights.safetensors.bak", "modulation/eye.png", "modulation/not-a-run/eye.png",
        "modulation/" + "a" * 31 + "/eye.png", "weights.safetensors", ".hidden",
    ],
)  # fmt: skip
def test_a_file_that_was_not_registered_is_named(registered, artifacts, path):
    (artifacts / path).parent.mkdir(parents=True, exist_ok=True)
    (artifacts / path).write_bytes(b"x")
    with pytest.raises(TrackingError, match="which was not registered with it") as refusal:
        registry.load_classifier(registered.version.uri)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("load", LOADERS)
def test_nor_is_it_taken_where_no_digests_are_kept(without_digests, artifacts, tmp_path, load):
    put_pickle(artifacts, tmp_path / "proof")
    with pytest.raises(TrackingError, match=r"artifacts hold data/\S+, which was not registered"):
        load(without_digests.uri)
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize(
    ("path", "loaders"),
    [
        ("data/model.pt2", LOADERS[:1]),
        ("extra_files/weights.safetensors", LOADERS[1:]),
        ("extra_files/classifier.json", LOADERS[1:]),
    ],
)
def test_a_changed_file_is_refused(registered, artifacts, path, loaders):
    content = (artifacts / path).read_bytes()
    for changed in (content[:-1], content + b" ", content.replace(b"4", b"5", 1), b""):
        (artifacts / path).write_bytes(changed)
        for load in loaders:
            with pytest.raises(TrackingError, match=f"1: {path} is not the file that was regist"):
                load(registered.version.uri)


@pytest.mark.parametrize("path", ["data/model.pt2", "extra_files/classifier.json"])
def test_a_lost_file_is_named(registered, artifacts, path):
    (artifacts / path).unlink()
    with pytest.raises(TrackingError, match=f"{path} cannot be read") as refusal:
        (LOADERS[0] if path.startswith("data") else LOADERS[1])(registered.version.uri)
    assert "\n" not in str(refusal.value)


@pytest.mark.usefixtures("artifacts")
def test_pictures_attached_later_are_left_alone(registered, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "eye.png").write_bytes(b"picture")
    with start_run("modulate", {}) as run:
        for kind in ("modulation", "saliency"):
            lineage.attach_pictures(
                run, registered.version, tmp_path / "pictures",
                thumbnails=(), caption="c", folder_name=kind,
            )  # fmt: skip
    for load in LOADERS:
        load(registered.version.uri)


@pytest.mark.usefixtures("artifacts")
def test_what_mlflow_leaves_in_a_folder_is_left_alone(registered):
    mlflow.artifacts.download_artifacts(registered.version.uri)
    for load in LOADERS:
        load(registered.version.uri)


def test_a_version_without_digests_loads_and_says_so_once(registered, without_digests, capsys):
    images = torch.rand(2, 3, 24, 24)
    expected = registry.load_classifier(without_digests.uri)(images)
    torch.testing.assert_close(registry.load_program(without_digests.uri)(images), expected)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"{registered.version.uri}: carries no digests of its files")


def test_a_damaged_recipe_without_digests_is_a_line(without_digests, artifacts):
    path = artifacts / "extra_files" / "classifier.json"
    for content in (b"", b"{", b"[]", b'{"format": []}', b"\xff", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(TrackingError, match=r"^models:/fundus-sex/1: classifier.json") as line:
            registry.load_classifier(without_digests.uri)
        assert "\n" not in str(line.value)


@pytest.mark.parametrize("tag", ["", "x", "[]", "null", '{"data/model.pt2": 3}', "{}"])
def test_a_damaged_tag_loads_nothing(registered, tag):
    version = registered.version
    registry.tag_version(version, {"files_sha256": tag})
    try:
        for load in LOADERS:
            with pytest.raises(TrackingError, match=r"^models:/fundus-sex/1: "):
                load(version.uri)
    finally:
        registry.tag_version(version, {"files_sha256": version.tags["files_sha256"]})


@pytest.mark.usefixtures("registered")
def test_loading_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    for load in LOADERS[:2]:
        load("models:/fundus-sex@robust")
    assert list(tmp_path.iterdir()) == []
