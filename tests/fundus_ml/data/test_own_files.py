"""Files are known by their names: what bears another, or is a link, is never deleted."""

import pytest

from fundus_ml.data.own_files import OwnFiles
from fundus_ml.errors import listed
from tests.fundus_ml.trees import plant, tree

OURS = OwnFiles(r"note\.json", r"step-\d{3}/[a-z]+\.bin", r"deep/\d/x")


def test_only_ours_goes_and_folders_that_it_empties(tmp_path):
    plant(tmp_path, ["note.json", "step-001/a.bin", "step-002/b.bin", "deep/1/x", "step-003/"])
    assert OURS.foreign(tmp_path) == []
    OURS.remove(tmp_path)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("planted", "named"),
    [
        ("notes.txt", "notes.txt"),
        ("note.json.bak", "note.json.bak"),
        ("note_json", "note_json"),
        ("step-notes/a.bin", "step-notes"),
        ("step-0012/a.bin", "step-0012"),
        ("step-001/A.bin", "step-001/A.bin"),
        ("step-001/inner/a.bin", "step-001/inner"),
        ("deep/x", "deep/x"),
        ("deep/1/x/y", "deep/1/x"),
        ("note.json/a", "note.json"),
        ("empty/", "empty"),
    ],
)
def test_what_bears_another_name_stays_and_is_named(tmp_path, planted, named):
    plant(tmp_path, [planted])
    before = tree(tmp_path)
    plant(tmp_path, ["step-001/a.bin", "deep/2/x"])
    assert OURS.foreign(tmp_path) == [named]
    OURS.remove(tmp_path)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["note.json", "step-001", "step-001/a.bin"])
def test_a_link_is_never_ours_and_never_followed(tmp_path, name):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "folder"
    plant(elsewhere, ["a.bin", "b.bin"])
    link = folder / name
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere / "a.bin" if "." in name else elsewhere)
    before = tree(tmp_path)
    assert OURS.foreign(folder) == OURS.in_the_way(folder) == [name]
    OURS.remove(folder)
    assert tree(tmp_path) == before


def test_a_message_lists_the_first_names():
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(list("abcde")) == "a, b, c and 2 more"
