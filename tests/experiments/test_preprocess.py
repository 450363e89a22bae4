"""What ``preprocess`` assumes of a table is said, and kept with the dataset and its run."""

import json

import pytest

from experiments import preprocess
from tests.experiments.conftest import enter, flags
from tests.fundus_ml.preprocessing.test_dataset import write_release
from tracking.stores import initialise_tracking

pytestmark = pytest.mark.usefixtures("unrendered")

SMALL = {"source": "folder", "size": 16, "permutations": 5, "workers": 1, "same_person": "false"}


@pytest.fixture
def release(tmp_path, monkeypatch):
    """Its table as a German Excel exports it, and names of files in capitals."""
    enter(tmp_path, monkeypatch)
    write_release(tmp_path / "own")
    table = tmp_path / "own/labels.csv"
    text = table.read_text().replace(",", ";").replace(".png", ".PNG").replace("sex", "Sex")
    table.write_text(text, encoding="utf-16")
    return tmp_path / "own"


def test_each_assumption_is_a_line_and_is_recorded(release, tmp_path, capsys):
    preprocess.main(flags(SMALL | {"root": release, "out": tmp_path / "out"}))
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("assumed: ")]
    assert said == [
        "assumed: labels.csv: read as UTF-16, as its byte-order mark says",
        "assumed: labels.csv: semicolons stand between its cells",
        "assumed: labels.csv: columns read: Sex as sex",
        "assumed: 15 of 16 photographs lie under another spelling, such as 0.png for 0.PNG",
    ]
    recipe = json.loads((tmp_path / "out/dataset.json").read_text())["recipe"]
    assert recipe["assumed"] == [line.removeprefix("assumed: ") for line in said]
    client = initialise_tracking()
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert run.data.tags["assumed"] == "; ".join(recipe["assumed"])
