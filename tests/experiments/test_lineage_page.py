"""The page of a chain names every run, version and dataset once, and counts the pictures."""

from experiments.recording.lineage_page import lineage_page
from tracking.neighbours import Node
from tracking.tracing import Reached, Trace

MAIN = Node("run", "a" * 32, "main, RUNNING")
TRAIN = Node("run", "b" * 32, "train, FINISHED")
MODULATE = Node("run", "c" * 32, "modulate, FINISHED")
MODEL = Node("model", "models:/eye/1", "sex, clean")
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


def test_what_it_came_from_is_there_where_something_is():
    page = lineage_page(Trace(MODEL, (Reached(TRAIN, 1, MODEL),), ()))
    assert "What it came from" in page
    assert "What came from it" not in page
