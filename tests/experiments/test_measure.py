"""Biomarkers of a dataset that knows its regions: rows, tables, a figure, a network beside them."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import measure
from experiments.running import biomarkers as running_biomarkers
from fundus_ml.biomarkers import CATALOGUE, prediction
from fundus_ml.data.manifest import write_manifest
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.shards import ShardWriter
from fundus_ml.imaging.field import FieldOfView
from fundus_ml.imaging.regions.columns import region_columns
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, Laterality, Regions
from tests.experiments.conftest import flags
from tests.experiments.tiny_versions import artifact, logged_table, newest
from tests.fundus_ml.tiny_eyes import write_record
from tracking import results
from tracking.registry import resolve, tag_version

pytestmark = pytest.mark.usefixtures("unrendered")


def anatomy(dataset, *, males=0.12):
    """Regions of every eye; the discs of males are larger, nothing else differs."""
    rng = np.random.default_rng(0)
    side, rows = dataset.size, []
    for image_id, label, eye in dataset.frame[["image_id", "label", "eye"]].itertuples(index=False):
        wide = side * (0.15 + males * 0.15 * label + 0.012 * rng.standard_normal())
        left = eye == "left"
        disc = Ellipse(
            x=side * (0.2 if left else 0.8), y=side / 2, width=wide,
            height=wide * (1 + 0.1 * rng.random()),
        )  # fmt: skip
        regions = Regions(
            shape=(side, side), field=FieldOfView(side / 2, side / 2, side / 2),
            retina=np.ones((side, side), np.bool_), disc=disc,
            fovea=Landmark(x=side * (0.57 if left else 0.43) + rng.normal(), y=side / 2),
            eye=Laterality(eye="left" if left else "right"),
        )  # fmt: skip
        rows.append({"image_id": image_id} | region_columns(regions))
    return pd.DataFrame(rows)


@pytest.fixture
def known(versions, tmp_path):
    """The dataset of the versions, which knows where the parts of its eyes lie."""
    folder = tmp_path / "known"
    shutil.copytree(versions.a, folder)
    dataset = open_dataset(versions.a)
    give(folder, anatomy(dataset))
    return str(folder)


def give(folder, told):
    """Write regions into a dataset folder: columns of its rows, and maps of retina alone."""
    manifest = folder / "manifest.parquet"
    frame = pd.read_parquet(manifest).merge(told, on="image_id")
    write_manifest(frame, manifest)
    record = json.loads((folder / "dataset.json").read_text())
    side = record["size"]
    with ShardWriter(folder, "regions", (side, side), shard_eyes=7) as writer:
        for _ in range(len(frame)):
            writer.append(np.ones((side, side), np.uint8))
    write_record(folder, record | {"regions": True}, kinds=("pixels", "regions"))


def enter(dataset, **changed):
    measure.main(flags({"dataset": dataset, "bootstrap": 60, "workers": 1} | changed))
    return newest("measure")


def csv_of(run, name):
    return pd.read_csv(io.StringIO(artifact(run, name).read_text()))


def test_rows_tables_and_a_sentence_are_left_behind(known, capsys):
    run = enter(known)
    dataset = open_dataset(known)
    kept = results.biomarkers(dataset=known)
    assert len(kept) == len(dataset)
    assert {"disc_area", "age", "person_group"} <= set(kept.columns)
    table = csv_of(run, "biomarkers.csv").set_index("image_id")
    ours = kept.set_index("image_id").loc[table.index]
    np.testing.assert_allclose(table["disc_area"], ours["disc_area"])
    found = csv_of(run, "associations.csv").set_index("biomarker")
    assert list(found.index) == [each.name for each in CATALOGUE]
    assert found.loc["disc_area", "q"] < 0.05
    assert found.loc["disc_area", "direction"] == 1
    assert np.isnan(found.loc["crae", "q"])
    reasons = csv_of(run, "abstentions.csv")
    assert "no vessels" in set(reasons["reason"])
    said = run.data.tags["association"]
    assert "biomarkers differ, male less female: disc_" in said
    assert ", age not held equal; AUROC" in said  # all are of one age
    assert said in capsys.readouterr().out
    assert run.data.metrics["biomarkers_auroc"] > 0.6
    assert artifact(run, "associations.png").is_file()
    assert "| disc | Disc area |" in artifact(run, "associations.md").read_text()
    assert not any(Path("checkpoints").glob("measure-*"))


def test_age_is_held_equal_but_for_questions_of_age(known):
    """There the label is a function of what it would be adjusted for."""
    manifest = Path(known) / "manifest.parquet"
    frame = pd.read_parquet(manifest)
    frame["age"] = 40.0 + frame.groupby("person_group").ngroup() % 40
    older = frame["age"] > 60
    frame.loc[older, ["region_disc_width", "region_disc_height"]] *= 1.6
    write_manifest(frame, manifest)
    record = json.loads((Path(known) / "dataset.json").read_text())
    write_record(Path(known), record, kinds=("pixels", "regions"))
    assert ", age held equal; AUROC" in enter(known).data.tags["association"]
    run = enter(known, contrast="age>60")
    found = csv_of(run, "associations.csv").set_index("biomarker")
    assert found.loc["disc_area", "difference"] > 1
    assert found.loc["disc_area", "q"] < 0.05
    assert ", age not held equal; AUROC" in run.data.tags["association"]


def test_a_network_stands_beside_on_its_split(known):
    run = enter(known, model="models:/eye/1")
    table = logged_table(run, "scorers.json").set_index("scorer")
    assert list(table.index) == ["biomarkers", "network", "both"]
    assert set(table["eyes"]) == {len(open_dataset(known).split("test"))}
    assert table.loc["network", "auroc"] == pytest.approx(run.data.metrics["network_auroc"])
    assert table.loc["biomarkers", "difference"] == pytest.approx(
        table.loc["network", "auroc"] - table.loc["biomarkers", "auroc"]
    )
    assert "network less biomarkers" in run.data.tags["association"]
    assert len(run.inputs.model_inputs) == 1


def test_a_killed_measurement_goes_on_at_its_next_batch(known, monkeypatch):
    whole = running_biomarkers._measure
    monkeypatch.setattr(running_biomarkers, "BATCH", 40)
    seen = []

    def until(*given, **how):
        if len(seen) == 2:
            raise RuntimeError("killed")
        seen.append(given)
        return whole(*given, **how)

    monkeypatch.setattr(running_biomarkers, "_measure", until)
    with pytest.raises(RuntimeError, match="killed"):
        enter(known)
    monkeypatch.setattr(running_biomarkers, "_measure", whole)
    rest = []
    monkeypatch.setattr(
        running_biomarkers, "_measure", lambda *given, **how: rest.append(1) or whole(*given, **how)
    )
    run = enter(known)
    assert len(rest) == -(-len(open_dataset(known)) // 40) - 2
    assert csv_of(run, "biomarkers.csv")["disc_area"].notna().all()
    assert run.data.tags["continues"]


def test_what_cannot_be_compared_is_refused_before_any_eye_is_measured(known, monkeypatch, capsys):
    """Too few people of a class, in all or on the split of the network; another part of the eye."""

    def measured(*_given, **_how):
        raise AssertionError("measured")

    monkeypatch.setattr(measure.running, "measured_eyes", measured)
    asked = {"model": "models:/eye/1"}
    tag_version(resolve("models:/eye/1"), {"around": "disc"})
    for folds, given, line in (
        (1000, {}, "measure: labels: 42 people of one class, 1000 are needed"),
        (30, asked, "measure: split=test: labels: "),
        (1, asked, "shows whole eyes; models:/eye/1 knows discs alone"),
    ):
        monkeypatch.setattr(prediction, "FOLDS", folds)
        with pytest.raises(SystemExit, match="2"):
            enter(known, **given)
        assert line in capsys.readouterr().err.splitlines()[-1]


def test_squares_too_small_to_look_for_regions_are_told_in_one_line(versions, capsys):
    with pytest.raises(SystemExit, match="2"):
        enter(versions.a)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "the dataset has no regions; they are looked for on its squares"
    assert "sides of at least 32 pixels" in said[-1]


def test_regions_that_know_no_eye_are_told_in_one_line(known, capsys):
    dataset = open_dataset(known)
    told = pd.DataFrame([region_columns(None)] * len(dataset))
    folder = Path(known)
    frame = pd.read_parquet(folder / "manifest.parquet").drop(columns=list(told))
    frame.to_parquet(folder / "manifest.parquet")
    give(folder, told.assign(image_id=dataset.frame["image_id"]))
    with pytest.raises(SystemExit, match="2"):
        enter(known)
    assert "its regions know none of the eyes" in capsys.readouterr().err
    assert newest("measure").info.status == "FAILED"
