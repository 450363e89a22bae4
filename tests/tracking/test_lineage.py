import filecmp
import re
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from PIL import Image

from tracking import lineage, registry
from tracking.errors import TrackingError
from tracking.runs import start_run
from tracking.versions import ModelVersion


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "steps").mkdir(parents=True)
    for name in ("panel a.png", "panel_b.png", "steps/eps-1.png"):
        Image.new("RGB", (8, 8), "red").save(folder / name)
    return folder


def attach(version, folder, caption="flip, l2", thumbnails=("panel a.png",), run=None, **others):
    """Attach from ``run``, or from a run of its own; give back the run and the address."""
    if run is None:
        with start_run("modulate", {}) as own:
            own.log_inputs(models=[version])
            return attach(version, folder, caption, thumbnails, own, **others)
    paths = [folder / name for name in thumbnails]
    return run, lineage.attach_pictures(
        run, version, folder, thumbnails=paths, caption=caption, **others
    )


def description(version):
    return MlflowClient().get_model_version(version.name, str(version.version)).description


def test_pictures_download_from_the_run_and_not_with_the_model(version, pictures):
    run, address = attach(version, pictures)
    assert address == f"runs:/{run.run_id}/modulation"
    folder = Path(mlflow.artifacts.download_artifacts(address))
    same = filecmp.dircmp(pictures, folder)
    assert same.left_only == same.diff_files == []
    assert same.right_only == ["thumbnails"]
    assert (folder / "steps" / "eps-1.png").is_file()
    assert not MlflowClient().list_logged_model_artifacts(version.model_id)


def test_the_description_shows_thumbnails_the_run_holds(version, pictures):
    run, _ = attach(version, pictures, thumbnails=("panel a.png", "panel_b.png"))
    page = description(version)
    assert "**flip, l2**" in page
    assert f"[step by step]({run.page('model-metrics')})" in page
    assert f"[files]({run.page('artifacts/modulation')})" in page
    images = re.findall(r"!\[([^]]*)\]\(/get-artifact\?path=([^&)]*)&run_uuid=(\w+)\)", page)
    assert images == [
        ("panel a", "modulation%2Fthumbnails%2Fpanel%20a.png", run.run_id),
        ("panel_b", "modulation%2Fthumbnails%2Fpanel_b.png", run.run_id),
    ]
    folder = "modulation/thumbnails"
    stored = {entry.path for entry in MlflowClient().list_artifacts(run.run_id, folder)}
    assert stored == {f"{folder}/panel a.png", f"{folder}/panel_b.png"}


def test_each_run_has_one_section_and_own_words_stay(version, pictures):
    registry.describe(version, "Trained on ODIR.")
    with start_run("modulate", {}) as first:
        attach(version, pictures, caption="before", run=first)
        attach(version, pictures, caption="other kind", run=first, folder_name="saliency")
        attach(version, pictures, caption="second", run=None)
        attach(version, pictures, caption="after", run=first)
    page = description(version)
    assert page.startswith("Trained on ODIR.\n\n")
    assert [word for word in ("before", "other kind", "second", "after") if word in page] == [
        "other kind",
        "second",
        "after",
    ]
    assert page.count("<!-- pictures") == page.count("<!-- end of pictures -->") == 3


def test_a_full_description_lets_the_oldest_go(version, pictures):
    registry.describe(version, "Trained on ODIR.")
    for number in range(5):
        attach(version, pictures, caption=f"caption-{number} {'x' * 1000}")
    page = description(version)
    assert len(page) <= lineage.LONGEST_DESCRIPTION
    assert page.startswith("Trained on ODIR.")
    assert re.findall(r"caption-\d", page) == ["caption-2", "caption-3", "caption-4"]


def test_too_many_thumbnails_are_left_to_the_run(version, pictures):
    names = [f"panel-{number:03}.png" for number in range(60)]
    for name in names:
        Image.new("RGB", (2, 2)).save(pictures / name)
    attach(version, pictures, thumbnails=names)
    page = description(version)
    shown = page.count("![")
    assert 20 < shown < 60
    assert len(page) <= lineage.LONGEST_DESCRIPTION
    assert f"({60 - shown} more there)" in page
    assert page.endswith("<!-- end of pictures -->")


def test_an_empty_folder_is_refused(version, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "gone"):
        with pytest.raises(TrackingError, match=rf"{name}'; must exist and hold pictures"):
            attach(version, tmp_path / name, thumbnails=())


def test_a_missing_thumbnail_is_refused_before_anything_is_stored(version, pictures):
    with start_run("modulate", {}) as run:
        with pytest.raises(TrackingError, match=r"gone.png'; no such file"):
            attach(version, pictures, thumbnails=("gone.png",), run=run)
        assert not MlflowClient().list_artifacts(run.run_id)
    assert not description(version)


def test_what_measured_a_deleted_version_of_the_same_name_is_not_counted(version):
    with start_run("evaluate", {}) as run:
        run.log_inputs(models=[version])
        run.set_tags({"model_version": version.uri})
    assert [each.run_id for each in lineage.measurements_of(version)] == [run.run_id]
    again = ModelVersion(version.name, version.version, "m-other", "other", {})
    assert again.uri == version.uri
    assert lineage.measurements_of(again) == []
