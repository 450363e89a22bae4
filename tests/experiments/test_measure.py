"""Biomarkers of a dataset that knows its regions: rows, tables, a figure, a network beside them."""

import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import measure
from experiments.running import measurement
from fundus_ml.biomarkers import ANATOMY, CATALOGUE, anatomy_row
from fundus_ml.data.opening import open_dataset
from fundus_ml.imaging.field_of_view import FieldOfView
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, Laterality, Regions
from tests.experiments.conftest import flags
from tests.experiments.tiny_versions import artifact, logged_table, newest
from tracking import results
from tracking.runs import start_run

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
        rows.append({"image_id": image_id} | anatomy_row(regions))
    return pd.DataFrame(rows)


@pytest.fixture
def known(versions, tmp_path):
    """The dataset of the versions, with its anatomy beside it."""
    folder = tmp_path / "known"
    shutil.copytree(versions.a, folder)
    anatomy(open_dataset(versions.a)).to_parquet(folder / ANATOMY)
    return str(folder)


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
    assert said in capsys.readouterr().out
    assert run.data.metrics["biomarkers_auroc"] > 0.6
    assert artifact(run, "associations.png").is_file()
    assert "| disc | Disc area |" in artifact(run, "associations.md").read_text()
    assert not any(Path("checkpoints").glob("measure-*"))


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
    whole = measurement._measure
    monkeypatch.setattr(measurement, "BATCH", 40)
    seen = []

    def until(*given):
        if len(seen) == 2:
            raise RuntimeError("killed")
        seen.append(given)
        return whole(*given)

    monkeypatch.setattr(measurement, "_measure", until)
    with pytest.raises(RuntimeError, match="killed"):
        enter(known)
    monkeypatch.setattr(measurement, "_measure", whole)
    rest = []
    monkeypatch.setattr(measurement, "_measure", lambda *given: rest.append(1) or whole(*given))
    run = enter(known)
    assert len(rest) == -(-len(open_dataset(known)) // 40) - 2
    assert csv_of(run, "biomarkers.csv")["disc_area"].notna().all()
    assert run.data.tags["continues"]


def discs(square):
    """A finder that looks at the pixels alone."""
    side = len(square.pixels)
    return Regions(
        shape=(side, side), field=FieldOfView(side / 2, side / 2, side / 2),
        retina=np.ones((side, side), np.bool_),
        disc=Ellipse(x=side / 2, y=side / 2, width=side / 8 + square.pixels.mean() / 255, height=3),
    )  # fmt: skip


def test_a_finder_is_called_on_every_square(versions):
    """As find_regions will be: no table is read."""
    dataset = open_dataset(versions.a)
    with start_run("measure", {}) as run:
        found = measurement.measured_eyes(
            dataset, run, kept="", workers=1, finder=("discs 1", discs)
        )
    everyone = np.arange(len(dataset))
    mean = dataset.pixels(everyone).mean(axis=(1, 2, 3))
    typical = 0.3 * dataset.size / 2
    expected = (dataset.size / 8 + mean / 255) / typical
    np.testing.assert_allclose(found.frame["disc_width"], expected)
    assert found.measured_by == "1, discs 1"
    assert found.reasons["crae"].eq("no vessels").all()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda folder: place(folder).unlink(), "has no regions: anatomy.parquet is not in"),
        (lambda folder: place(folder).write_text("x"), "anatomy.parquet: cannot be read"),
        (lambda folder: alter(folder, lambda t: t.drop(columns="cup_x")), "columns missing: cup_x"),
        (lambda folder: alter(folder, lambda t: pd.concat([t, t])), "stands twice"),
        (lambda folder: alter(folder, lambda t: t.assign(image_id=t["image_id"] + "?")),
         "knows none of the eyes"),
    ],
)  # fmt: skip
def test_a_dataset_without_usable_regions_is_told_in_one_line(known, capsys, change, line):
    change(known)
    with pytest.raises(SystemExit, match="2"):
        enter(known)
    assert line in capsys.readouterr().err
    assert newest("measure").info.status == "FAILED"


def place(folder):
    return Path(folder) / ANATOMY


def alter(folder, change):
    change(pd.read_parquet(place(folder))).to_parquet(place(folder))


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        ({"bootstrap": 0}, "bootstrap=0: must be at least 1"),
        ({"model": "models:/eye/1", "contrast": "eye"}, "answers sex, contrast=eye is asked"),
        ({"model": "models:/eye/1", "split": "tset"}, "split=tset: allowed: train, val, test"),
    ],
)
def test_flags_that_do_not_fit_are_refused(known, capsys, flag, line):
    with pytest.raises(SystemExit, match="2"):
        enter(known, **flag)
    assert line in capsys.readouterr().err
