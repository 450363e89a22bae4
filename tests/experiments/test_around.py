"""Squares around a part of the eye, from photographs to a version that says what it knows."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import views
from experiments import evaluate, measure, preprocess, score, train
from fundus_ml.data.opening import open_dataset
from fundus_ml.imaging.pictures import write_png
from fundus_ml.imaging.regions.columns import REGION_COLUMNS
from tests.experiments.conftest import SMALL, enter, flags, own_client
from tracking.registry import resolve, service_config

pytestmark = pytest.mark.usefixtures("unrendered", "unexported")

PEOPLE = {k: SMALL[k] for k in ("source", "size", "workers")} | {
    "patients": 50,
    "permutations": 2,
    "test_fraction": 0.3,
}


@pytest.fixture(scope="module")
def around_disc(tmp_path_factory):
    folder = tmp_path_factory.mktemp("around")
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        preprocess.main(flags(PEOPLE | {"around": "disc", "out": "discs"}))
    return folder


def last_line(capsys):
    return capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]


def test_every_eye_has_its_disc_in_the_middle_and_is_not_measured(around_disc, monkeypatch, capsys):
    enter(around_disc, monkeypatch)
    discs = open_dataset("discs")
    assert (discs.crop.around, discs.crop.around_width) == ("disc", 0.35)
    middle = (discs.size - 1) / 2
    assert np.abs(discs.frame[["region_disc_x", "region_disc_y"]] - middle).to_numpy().max() < 0.51
    assert set(REGION_COLUMNS) <= set(discs.frame)
    with pytest.raises(SystemExit, match="2"):
        measure.main(flags({"dataset": "discs"}))
    assert "shows discs alone; biomarkers are measured on whole" in last_line(capsys)


def test_people_keep_the_split_of_another_cut(around_disc, monkeypatch, capsys):
    """Another size and other shares of the splits: everyone stands where they stood."""
    enter(around_disc, monkeypatch)
    own = {"out": "whole", "seed": 0, "size": 32, "splits_of": "discs", "val_fraction": 0.4}
    preprocess.main(flags(PEOPLE | own | {"patients": 60}))
    there = open_dataset("discs").frame.set_index("image_id")["split"]
    frame = open_dataset("whole").frame.set_index("image_id")
    kept = frame.index.intersection(there.index)
    assert len(kept) > 60
    assert (frame.loc[kept, "split"] == there[kept]).all()
    new = frame[~frame["person_group"].isin(frame.loc[kept, "person_group"])]
    assert len(set(new["split"])) > 1
    assert frame.groupby("person_group")["split"].nunique().max() == 1
    with pytest.raises(SystemExit, match="2"):
        preprocess.main(flags(PEOPLE | {"splits_of": "nowhere"}))
    assert "nowhere: no such folder" in last_line(capsys)


def test_the_part_must_be_looked_for(tmp_path, monkeypatch, capsys):
    enter(tmp_path, monkeypatch)
    with pytest.raises(SystemExit, match="2"):
        preprocess.main(flags(PEOPLE | {"around": "macula", "regions": "no"}))
    assert last_line(capsys).endswith("around=macula: needs regions=yes, which finds it")


@pytest.mark.slow
def test_a_version_of_a_part_has_its_name_and_answers_no_photographs(
    around_disc, monkeypatch, capsys
):
    enter(around_disc, monkeypatch)
    small = {"arch": "test_resnet", "weights": "none", "epochs": 1, "bootstrap": 20}
    train.main(flags({"dataset": "discs", **small}))
    version = resolve("models:/fundus-sex-disc@candidate")
    assert (version.tags["around"], version.tags["around_width"]) == ("disc", "0.35")
    assert service_config(version) is None
    preprocess.main(flags(PEOPLE | {"out": "whole-eyes"}))
    with pytest.raises(SystemExit, match="2"):
        evaluate.main(flags({"dataset": "whole-eyes", "model": version.uri}))
    assert "shows whole eyes; models:/fundus-sex-disc/1 knows discs alone" in last_line(capsys)
    page = own_client().get_model_version(version.name, "1").description
    assert "One fundus photograph (discs alone) in" in page
    write_png(np.zeros((64, 64, 3), np.uint8), around_disc / "photographs/one.png")
    with pytest.raises(SystemExit, match="2"):
        score.main(flags({"photographs": "photographs", "model": version.uri}))
    assert "knows discs alone, not photographs" in last_line(capsys)


@pytest.mark.slow
def test_versions_of_both_cuts_are_compared_on_the_same_people(around_disc, monkeypatch, capsys):
    enter(around_disc, monkeypatch)
    preprocess.main(flags(PEOPLE | {"out": "both", "splits_of": "discs"}))
    small = {"arch": "test_resnet", "weights": "none", "epochs": 1, "bootstrap": 20}
    datasets = ["both", "discs"]
    for dataset in datasets:
        train.main(flags({"dataset": dataset, "register_as": f"of-{dataset}", **small}))
        asked = {"dataset": dataset, "model": f"models:/of-{dataset}/1", "bootstrap": 20}
        evaluate.main(flags({**asked, "attacks": "none"}))
    models = [f"models:/of-{dataset}/1" for dataset in datasets]
    told = ["--models", *models, "--datasets", *datasets, "--resamples", "20"]
    views.main([*told, "--csv", "views.csv"])
    found = pd.read_csv("views.csv").set_index(["eyes", "per", "model"])
    counts = {name: len(open_dataset(name).split("test")) for name in datasets}
    assert found.loc[("all", "eye", "together"), "count"] == counts["both"]
    assert found.loc[("seen by all", "eye", "together"), "count"] == counts["discs"]
    assert found["auroc"].between(0, 1).all()
    capsys.readouterr()
