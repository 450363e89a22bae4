"""The page of a chain names every run, version and dataset once, and counts the pictures."""

import re

from experiments.recording.lineage_page import lineage_page
from tracking.neighbours import Node
from tracking.tracing import Reached, Trace

MAIN = Node("run", "a" * 32, "main, RUNNING", experiment="1")
TRAIN = Node("run", "b" * 32, "train, FINISHED")
MODULATE = Node("run", "c" * 32, "modulate, FINISHED")
MODEL = Node("model", "models:/eye/1", "sex, clean")
GONE = Node("run", "e" * 32, "deleted")
DATASET = Node("dataset", "d" * 64, "odir, data/odir")
PICTURES = [Node("picture", f"models:/eye/1/{n}.png", "eye") for n in range(3)]


def test_things_have_short_names_and_pictures_are_counted():
    down = [
        Reached(TRAIN, 1, MAIN),
        Reached(MODULATE, 1, MAIN),
        Reached(MODEL, 2, TRAIN),
        Reached(DATASET, 2, TRAIN),
        *(Reached(each, 2, MODULATE) for each in PICTURES),
    ]
    page = lineage_page(Trace(MAIN, (), tuple(down)))
    assert "Lineage of main aaaaaaaa" in page
    assert "What it came from" not in page
    for said in ("train bbbbbbbb", "modulate cccccccc", "models:/eye/1<", "dataset dddddddddddd",
                 "3 pictures"):  # fmt: skip
        assert said in page, said
    assert ".png" not in page


def test_runs_and_versions_lead_to_their_pages(monkeypatch):
    """What is deleted has none. The address is that of the server that tracks, without secrets."""
    down = (Reached(MODEL, 1, MAIN), Reached(DATASET, 1, MAIN), Reached(GONE, 1, MAIN))

    def links():
        return set(re.findall(r'href="([^"]+)"', lineage_page(Trace(MAIN, (), down))))

    pages = ("/#/experiments/1/runs/" + "a" * 32, "/#/models/eye/versions/1")
    for uri, server in (
        ("", "http://127.0.0.1:5000"),
        ("https://me:secret@example.org/mlflow/", "https://example.org/mlflow"),
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert links() == {f"{server}{page}?workflowType=machine_learning" for page in pages}


def test_what_it_came_from_is_there_where_something_is():
    page = lineage_page(Trace(MODEL, (Reached(TRAIN, 1, MODEL),), ()))
    assert "What it came from" in page
    assert "What came from it" not in page
