"""A folder that the program makes: marked, one process at a time, emptied of what it wrote."""

import json
import threading
from pathlib import Path

import pytest

from fundus_ml.data.own_files import OwnFiles
from fundus_ml.data.owned_folders import (
    LOCK,
    MARKER,
    FolderBusyError,
    FolderKind,
    alone_in,
    own,
    read_object,
    refuse_foreign,
    remove_owned,
)
from fundus_ml.errors import InputError
from tests.fundus_ml.trees import plant, tree

KIND = FolderKind(
    name="pot",
    files=OwnFiles(r"about\.json", r"part-\d/x"),
    description="about.json",
    describes=lambda file: read_object(file) == {"a": "pot"},
)
FORMAT = '"folder of fundus-ml"'
ABOUT = json.dumps({"a": "pot"})


def enter(folder):
    return alone_in(folder, KIND, named=f"pot={folder}")


def fill(folder):
    (folder / "about.json").write_text(ABOUT)
    plant(folder, ["part-1/x", "part-2/x"])


@pytest.mark.parametrize("made", [False, True])
def test_a_new_or_empty_folder_is_taken_and_goes(tmp_path, made):
    folder = tmp_path / "new" / "pot"
    if made:
        folder.mkdir(parents=True)
    with enter(folder):
        assert json.loads((folder / MARKER).read_text()) == {
            "format": "folder of fundus-ml",
            "version": 1,
            "kind": "pot",
            "files": [r"about\.json", r"part-\d/x"],
        }
        fill(folder)
        assert remove_owned(folder, KIND) == []
    assert not folder.exists()


@pytest.mark.parametrize(
    "planted",
    [
        ["notes.txt"],
        [".git/HEAD", "main.py"],
        ["part-1/x"],
        ["part-1/notes"],
        ["lock"],
        ["about.json"],
        ["about.json", "part-1/x"],
        [f"{MARKER}.partial", "a.jpg"],
        ["empty/"],
    ],
)
def test_a_folder_of_others_is_refused_untouched(tmp_path, planted):
    plant(tmp_path / "pot", planted)
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"^pot=.*pot: .*; name a new or empty folder$"):
        enter(tmp_path / "pot").__enter__()
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        (f'{{"format": {FORMAT}, "version": 1, "kind": "pan"}}', "of a pan, not of a pot"),
        (f'{{"format": {FORMAT}, "version": 2, "kind": "pot"}}', "this version of the program"),
        ('{"format": "other"}', "this version of the program wrote"),
        ("[1]", "this version of the program wrote"),
        ("not json", "this version of the program wrote"),
        ("\x00\xff", "this version of the program wrote"),
    ],
)
def test_a_marker_of_something_else_is_refused_untouched(tmp_path, marker, said):
    (tmp_path / MARKER).write_text(marker, encoding="latin-1")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=said):
        enter(tmp_path).__enter__()
    assert tree(tmp_path) == before


def test_a_folder_from_before_markers_is_recognised(tmp_path):
    plant(tmp_path / "pot", ["part-1/x"])
    (tmp_path / "pot" / "about.json").write_text(ABOUT)
    (tmp_path / "pot" / LOCK).touch()
    with enter(tmp_path / "pot"):
        assert (tmp_path / "pot" / "part-1" / "x").is_file()
        remove_owned(tmp_path / "pot", KIND)
    assert not (tmp_path / "pot").exists()


def test_what_others_add_later_survives_and_is_named(tmp_path):
    outside = tmp_path / "outside"
    plant(outside, ["x"])
    with enter(tmp_path / "pot"):
        fill(tmp_path / "pot")
        plant(tmp_path / "pot", ["notes.txt", "part-1/mine", "part-notes/x"])
        (tmp_path / "pot" / "part-3").symlink_to(outside)
        left = remove_owned(tmp_path / "pot", KIND)
    assert left == ["notes.txt", "part-1", "part-3", "part-notes"]
    assert tree(tmp_path / "pot") == {
        "notes.txt": b"mine",
        "part-1": None,
        "part-1/mine": b"mine",
        "part-3": f"-> {outside}",
        "part-notes": None,
        "part-notes/x": b"mine",
    }
    assert tree(outside) == {"x": b"mine"}


@pytest.mark.parametrize("name", ["about.json", "part-1", MARKER])
def test_a_link_where_the_program_writes_is_refused(tmp_path, name):
    own(tmp_path / "pot", KIND, named="pot")
    plant(tmp_path / "outside", ["x"])
    (tmp_path / "outside" / MARKER).write_bytes((tmp_path / "pot" / MARKER).read_bytes())
    (tmp_path / "pot" / name).unlink(missing_ok=True)
    target = tmp_path / "outside"
    (tmp_path / "pot" / name).symlink_to(target / MARKER if name == MARKER else target)
    before = tree(tmp_path)
    with pytest.raises(InputError, match=f"pot=.*holds {name}"):
        enter(tmp_path / "pot").__enter__()
    assert tree(tmp_path) == before


def test_without_its_description_the_rest_of_a_removal_goes(tmp_path):
    """Killed while it removed: nothing is left to go on from, and nothing of others' is touched."""
    with enter(tmp_path):
        fill(tmp_path)
    plant(tmp_path, ["notes.txt"])
    (tmp_path / "about.json").unlink()
    with enter(tmp_path):
        assert set(tree(tmp_path)) == {MARKER, LOCK, "notes.txt"}


@pytest.mark.parametrize("begun", [[LOCK], [f"{MARKER}.partial"], [LOCK, f"{MARKER}.partial"]])
def test_killed_before_the_marker_it_begins_again(tmp_path, begun):
    for name in begun:
        (tmp_path / name).touch()
    with enter(tmp_path):
        assert set(tree(tmp_path)) == {MARKER, LOCK}


def test_of_two_one_is_told(tmp_path):
    with enter(tmp_path / "pot"):
        with pytest.raises(FolderBusyError, match=r"pot=.*pot: another process works there"):
            enter(tmp_path / "pot").__enter__()
        fill(tmp_path / "pot")
    with enter(tmp_path / "pot"):
        assert (tmp_path / "pot" / "about.json").read_text() == ABOUT


def test_everything_is_removed_under_the_lock(tmp_path, monkeypatch):
    """Nobody else may enter before the last file but the lock is gone."""
    unlink, seen = Path.unlink, []

    def watched(path, *, missing_ok=False):
        if path.name != LOCK:
            with pytest.raises(FolderBusyError):
                enter(tmp_path / "pot").__enter__()
            seen.append(path.name)
        unlink(path, missing_ok=missing_ok)

    with enter(tmp_path / "pot"):
        fill(tmp_path / "pot")
        monkeypatch.setattr(Path, "unlink", watched)
        remove_owned(tmp_path / "pot", KIND)
    assert seen == ["about.json", "x", "x", MARKER]


def test_processes_that_enter_and_leave_never_meet(tmp_path):
    """Each finds the folder as if it were the first, however often another deletes it."""
    inside, entered, wrong = [], [], []

    def work(number):
        for _ in range(40):
            try:
                with enter(tmp_path / "pot"):
                    inside.append(number)
                    if inside != [number] or (tmp_path / "pot" / "about.json").exists():
                        wrong.append(list(inside))
                    fill(tmp_path / "pot")
                    remove_owned(tmp_path / "pot", KIND)
                    inside.remove(number)
                    entered.append(number)
            except FolderBusyError:
                pass

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert entered
    assert not (tmp_path / "pot").exists()


def test_a_folder_deleted_while_it_is_looked_at_is_none(tmp_path, monkeypatch):
    folder = tmp_path / "pot"
    folder.mkdir()
    listing = Path.iterdir

    def deleted_by_another(path):
        folder.rmdir()
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", deleted_by_another)
    refuse_foreign(folder, KIND, named="pot")
    assert not folder.exists()


@pytest.mark.parametrize("place", ["file", "file/below", "loop", "loop/below", "x" * 256])
def test_a_place_that_takes_no_folder_is_one_line(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"^pot=.*: cannot be (written|read) \(.+\)$"):
        enter(tmp_path / place).__enter__()
    assert tree(tmp_path) == before
