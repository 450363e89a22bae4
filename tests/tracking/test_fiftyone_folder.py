"""Modulations as a folder for FiftyOne: each picture once, with what the tables say of it."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from tests.tracking.test_results import modulation_frame
from tracking import results
from tracking.errors import TrackingError
from tracking.lineage import attach_pictures
from tracking.registry import tag_version
from tracking.runs import start_run
from tracking.versions import DatasetVersion


@dataclass(frozen=True)
class Opened:
    """A dataset with a column that FiftyOne could not take under its name."""

    digest: str = "digest-1"

    @property
    def frame(self):
        return pd.DataFrame(
            {
                "image_id": ["odir/0_left", "odir/0_right"], "eye": ["left", "right"],
                "person_group": "p0", "age": [np.nan, 51.0], "tags": "mine", "own no.": [1, 2],
            }
        )  # fmt: skip


PICTURES = [f"odir_0_{eye}/{name}.png" for eye in ("left", "right") for name in
            ("original", "eps-0.5", "eps-1")]  # fmt: skip


@pytest.fixture
def run(registered, tmp_path):
    """A run that pushed two eyes at two budgets; the second was seen as the target before."""
    tag_version(registered.version, {"classes": '["female, said", "male"]'})
    for name in PICTURES:
        path = tmp_path / "made" / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"pixels of {name}".encode())
    left = modulation_frame()
    right = left.assign(image_id="odir/0_right", prob_target_before=0.7, label=1)
    with start_run("modulate", {}) as run:
        address = attach_pictures(
            run, registered.version, tmp_path / "made", thumbnails=(), caption="c"
        )
        frame = pd.concat([left, right], ignore_index=True).assign(
            picture=[f"{address}/pictures/{name}" for name in PICTURES if "eps" in name]
        )
        dataset = DatasetVersion("odir", "digest-1", "data/odir", 2)
        results.record_modulations(frame, run=run, model=registered.version, dataset=dataset)
        yield run


@pytest.fixture
def samples(run, registered, tmp_path):
    folder = results.export_fiftyone(
        tmp_path / "out", registered.version.uri, run.run_id, dataset=Opened()
    )
    said = json.loads((folder / "metadata.json").read_text())
    assert said == {"info": {"models": [registered.version.uri]}}
    return json.loads((folder / "samples.json").read_text())["samples"]


def test_every_picture_is_a_sample_and_lies_in_the_folder(samples, tmp_path):
    contents = [(tmp_path / "out" / each["filepath"]).read_text() for each in samples]
    assert contents == [f"pixels of {name}" for name in PICTURES]
    assert [each["eps"] for each in samples] == [0.0, 0.5, 1.0] * 2


def test_fields_are_the_columns_of_the_tables(samples):
    table = results.modulations().set_index(["image_id", "eps"])
    for each in samples:
        if each["eps"]:
            row = table.loc[each["image_id"], each["eps"]]
            for name in ("prob_target", "prob_target_before", "success", "target", "l2", "label"):
                assert each[name] == row[name], name
        else:
            assert each["prob_target"] == each["prob_target_before"]
            assert each["l2"] == 0
        assert each["person_group"] == "p0"
        assert each["eye"] == each["image_id"].partition("_")[2]
        assert (each["tags_"], each["own_no_"]) == ("mine", 1 + (each["eye"] == "right"))
    assert [each["age"] for each in samples] == [None] * 3 + [51.0] * 3


def test_tags_and_the_true_class_can_be_clicked(samples):
    classes = [each["true_class"] for each in samples]
    assert classes == [
        {"_cls": "Classification", "label": label} for label in ["female, said"] * 3 + ["male"] * 3
    ]
    kinds = [set(each["tags"]) - {"test"} for each in samples]
    assert kinds == [
        {"unchanged"}, {"modulated"}, {"modulated", "flipped"},
        {"unchanged"}, {"modulated"}, {"modulated"},
    ]  # fmt: skip
    assert [each["success"] for each in samples] == [False, False, True, True, False, True]


def test_what_cannot_be_written_is_told(run, registered, tmp_path):
    uri = registered.version.uri
    with pytest.raises(TrackingError, match="out: no modulation to write there"):
        results.export_fiftyone(tmp_path / "out", uri, "0" * 32, dataset=Opened())
    with pytest.raises(TrackingError, match="made: is in use; name a new folder"):
        results.export_fiftyone(tmp_path / "made", uri, run.run_id, dataset=Opened())
    stored = results.modulations()
    folder = stored["picture"][0].rsplit("/", 2)[0]
    for place, (picture, told) in enumerate(
        {
            f"{folder}/odir_0_left/gone.png": r"cannot be copied \(No such file or directory\)",
            f"runs:/{run.run_id}/elsewhere/x/gone.png": "nothing to read there",
        }.items()
    ):
        lost = stored.assign(picture=picture)
        results.record_modulations(lost, run=run, model=registered.version)
        with pytest.raises(TrackingError, match=told):
            results.export_fiftyone(tmp_path / f"lost-{place}", uri, dataset=Opened())
