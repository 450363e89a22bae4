"""A dataset folder in the making: whole or not there, one writer, resumed when killed."""

import json
import multiprocessing

import pytest

from fundus_ml.data.owned_folders import MARKER
from fundus_ml.data.record import RECORD
from fundus_ml.errors import InputError
from fundus_ml.preprocessing.staging import staged
from tests.fundus_ml.tiny_eyes import write_folder
from tests.fundus_ml.trees import plant, tree

OUT_OF_PROCESS = multiprocessing.get_context("spawn")


NNUNET = {"name": "eyes", "description": "", "labels": {"0": "background"}, "training": []}
"""What other programs keep in a file called ``dataset.json``."""


def write_record(folder, name):
    """Write the least that makes a folder one of ours."""
    record = {"name": name, "digest": "0" * 64, "size": 6, "eyes": 0, "recipe": {}}
    (folder / RECORD).write_text(json.dumps(record))


def name_in(folder):
    """The name in a folder's record."""
    return json.loads((folder / RECORD).read_text())["name"]


def names(folder):
    """What lies in a folder, hidden things too."""
    return sorted(path.name for path in folder.iterdir())


def begin_and_stop(out, error, *, key="same"):
    """Do a part of the work, then meet an error."""
    with staged(out, key=key) as stage:
        (stage.work / "journal.jsonl").write_text(key)
        (stage.whole / RECORD).touch()
        raise error


def make_while(out, happens, *given):
    """Do the work while something else happens."""
    with staged(out, key="k") as stage:
        (stage.work / "journal.jsonl").touch()
        write_record(stage.whole, "new")
        happens(*given)


def finish(out, *, key="same"):
    """Go on to the end; say what an earlier try had left."""
    with staged(out, key=key) as stage:
        found = names(stage.work)
        assert names(stage.whole) == []
        write_record(stage.whole, key)
    return found


def test_the_folder_appears_when_whole_and_replaces_the_older_one(tmp_path):
    """Until the end the older dataset stands; afterwards only the new one, and nothing beside."""
    out = tmp_path / "new" / "data"
    for turn, picture in (("first", "same_eyes.png"), ("second", "quality.png")):
        with staged(out, key=turn) as stage:
            write_record(stage.whole, turn)
            (stage.whole / picture).touch()
            assert not (out / RECORD).exists() or name_in(out) == "first"
        assert name_in(out) == turn
    assert names(out) == [RECORD, "quality.png"]
    assert names(out.parent) == ["data"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_stopped_work_is_kept_for_the_same_recipe_and_thrown_away_for_another(tmp_path, error):
    """And the older dataset stands meanwhile."""
    out = tmp_path / "data"
    write_folder(out)
    before = (out / RECORD).read_bytes()
    for key, found in (("same", ["journal.jsonl"]), ("other", [])):
        with pytest.raises(error):
            begin_and_stop(out, error)
        assert (out / RECORD).read_bytes() == before
        assert names(tmp_path) == [".data.partial", "data"]
        assert finish(out, key=key) == found
        assert names(tmp_path) == ["data"]
        before = (out / RECORD).read_bytes()


def test_a_users_mistake_leaves_nothing_new_and_the_older_dataset(tmp_path):
    """Also no parent folders that were made for it."""
    with pytest.raises(InputError, match="mid-way"):
        begin_and_stop(tmp_path / "a" / "b", InputError("mid-way"))
    assert names(tmp_path) == []
    write_folder(tmp_path / "data")
    before = (tmp_path / "data" / RECORD).read_bytes()
    with pytest.raises(InputError, match="mid-way"):
        begin_and_stop(tmp_path / "data", InputError("mid-way"))
    assert names(tmp_path) == ["data"]
    assert (tmp_path / "data" / RECORD).read_bytes() == before


def hold(out, ready, release):
    """Write ``out`` until told to end."""
    with staged(out, key="theirs") as stage:
        write_record(stage.whole, "theirs")
        ready.set()
        release.wait(60)


def test_of_two_writers_one_wins_and_the_other_says_so(tmp_path):
    """A real second process; the loser touches nothing of the winner's."""
    out = tmp_path / "data"
    ready, release = OUT_OF_PROCESS.Event(), OUT_OF_PROCESS.Event()
    other = OUT_OF_PROCESS.Process(target=hold, args=(out, ready, release))
    other.start()
    assert ready.wait(60)
    try:
        with pytest.raises(InputError, match=r"out=.*data: another preprocess is writing it"):
            finish(out, key="ours")
    finally:
        release.set()
        other.join(60)
    assert other.exitcode == 0
    assert name_in(out) == "theirs"
    assert names(tmp_path) == ["data"]


def test_killed_between_the_two_renames_the_older_dataset_comes_back(tmp_path):
    """The next call finds it aside, whatever becomes of that call."""
    out = tmp_path / "data"
    write_folder(out)
    before = (out / RECORD).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        begin_and_stop(out, KeyboardInterrupt)
    out.rename(tmp_path / ".data.partial" / "old")
    with pytest.raises(InputError, match="mid-way"):
        begin_and_stop(out, InputError("mid-way"))
    assert (out / RECORD).read_bytes() == before
    assert names(tmp_path) == ["data"]


def test_an_empty_folder_in_its_place_does_not_keep_the_older_dataset_away(tmp_path):
    """Somebody made the folder anew before the next call."""
    out = tmp_path / "data"
    write_folder(out)
    before = tree(out)
    with pytest.raises(KeyboardInterrupt):
        begin_and_stop(out, KeyboardInterrupt)
    out.rename(tmp_path / ".data.partial" / "old")
    out.mkdir()
    with pytest.raises(KeyboardInterrupt):
        begin_and_stop(out, KeyboardInterrupt)
    assert tree(out) == before


def test_an_empty_folder_is_taken(tmp_path):
    """A folder made beforehand is no obstacle."""
    (tmp_path / "data").mkdir()
    finish(tmp_path / "data")
    assert names(tmp_path / "data") == [RECORD]


def test_places_that_are_no_dataset_are_refused_untouched(tmp_path):
    """A file, a folder of other things, and a place below a file."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("mine")
    for place, rule in (
        ("file", "is a file, must be a new folder"),
        ("photos", "holds other things than a dataset"),
        ("file/below", ".*cannot be written"),
    ):
        with pytest.raises(InputError, match=f"out=.*{place}: {rule}"):
            finish(tmp_path / place)
    assert names(tmp_path) == ["file", "photos"]
    assert names(tmp_path / "photos") == ["a.jpg"]


@pytest.mark.parametrize(
    ("dataset", "planted", "said"),
    [
        ("nnU-Net", ["imagesTr/a.png", "labels.csv"], "holds other things than a dataset"),
        ("nnU-Net", [], "holds other things than a dataset"),
        ("damaged", [], "holds other things than a dataset"),
        ("linked", [], "holds other things than a dataset"),
        ("none", ["manifest.parquet"], "holds other things than a dataset"),
        ("ours", ["notes.txt"], "holds notes.txt, which preprocess did not write"),
        ("ours", [".git/HEAD", "z"], "holds .git, z, which preprocess did not write"),
        ("ours", ["photos/a.jpg"], "holds photos, which preprocess did not write"),
        ("ours", ["pixels-00000.npy/a"], "holds pixels-00000.npy, which preprocess did not"),
        ("ours", ["pixels-1.npy"], "holds pixels-1.npy, which preprocess did not write"),
        ("ours", ["a", "b", "c", "d", "e"], "holds a, b, c and 2 more, which preprocess"),
        ("ours", ["cuts/"], "holds cuts, which preprocess did not write"),
    ],
)
def test_only_a_folder_that_is_wholly_ours_is_replaced(tmp_path, dataset, planted, said):
    """Before any work, and with nothing changed in it or beside it."""
    out = tmp_path / "data"
    out.mkdir()
    records = {"nnU-Net": json.dumps(NNUNET), "damaged": '{"name": '}
    if dataset == "ours":
        write_record(out, "ours")
    elif dataset == "linked":
        write_record(tmp_path, "elsewhere")
        (out / RECORD).symlink_to(tmp_path / RECORD)
    elif dataset in records:
        (out / RECORD).write_text(records[dataset])
    plant(out, planted)
    before = tree(tmp_path)
    with pytest.raises(InputError, match=f"^out=.*data: {said}"):
        finish(out)
    assert tree(tmp_path) == before


def test_a_link_in_a_dataset_folder_is_not_ours(tmp_path):
    """Whoever keeps the pixels on another disk keeps them."""
    write_folder(tmp_path / "data")
    elsewhere = tmp_path / "pixels"
    (tmp_path / "data" / "pixels-00000.npy").rename(elsewhere)
    (tmp_path / "data" / "pixels-00000.npy").symlink_to(elsewhere)
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"holds pixels-00000.npy, which preprocess did not"):
        finish(tmp_path / "data")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("lacking", [(), ("channel_eyes",), ("channel_eyes", "split_by", "size")])
def test_a_dataset_of_another_version_is_replaced(tmp_path, lacking):
    """Its record has fewer or more fields; running preprocess again is the way out."""
    write_folder(tmp_path / "data")
    record = json.loads((tmp_path / "data" / RECORD).read_text()) | {"new": 1}
    kept = {name: value for name, value in record.items() if name not in lacking}
    (tmp_path / "data" / RECORD).write_text(json.dumps(kept))
    finish(tmp_path / "data", key="again")
    assert name_in(tmp_path / "data") == "again"
    assert names(tmp_path) == ["data"]


def test_what_others_add_meanwhile_is_kept_and_the_work_too(tmp_path):
    """It is said at the end, and the same command goes on once the file is elsewhere."""
    out = tmp_path / "data"
    write_folder(out)
    before = tree(out)
    with pytest.raises(InputError, match=r"data: holds notes.txt, which"):
        make_while(out, plant, out, ["notes.txt"])
    assert tree(out) == before | {"notes.txt": b"mine"}
    (out / "notes.txt").unlink()
    assert finish(out, key="k") == ["journal.jsonl"]
    assert names(tmp_path) == ["data"]


def test_a_folder_of_the_users_in_place_of_the_stage_is_refused_untouched(tmp_path):
    plant(tmp_path / ".data.partial", ["notes.txt", "work/mine"])
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"out=.*data: .*\.data\.partial: holds notes.txt"):
        finish(tmp_path / "data")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("folder", ["work", "whole"])
def test_what_others_put_into_the_stage_survives(tmp_path, folder):
    with pytest.raises(KeyboardInterrupt):
        begin_and_stop(tmp_path / "data", KeyboardInterrupt)
    plant(tmp_path / ".data.partial", [f"{folder}/notes.txt"])
    with pytest.raises(InputError, match=rf"{folder}: holds notes.txt, which no preprocessing"):
        finish(tmp_path / "data", key="other")
    assert tree(tmp_path / ".data.partial") == {folder: None, f"{folder}/notes.txt": b"mine"}


def test_a_stage_of_an_older_version_is_gone_on_with(tmp_path):
    """It has no marker, and nothing in it but what that version wrote."""
    with pytest.raises(KeyboardInterrupt):
        begin_and_stop(tmp_path / "data", KeyboardInterrupt)
    (tmp_path / ".data.partial" / MARKER).unlink()
    assert finish(tmp_path / "data") == ["journal.jsonl"]
    assert names(tmp_path) == ["data"]


def test_a_file_that_nobody_listed_becomes_no_dataset(tmp_path):
    """A folder with it could never be replaced again."""
    with pytest.raises(InputError, match=r"whole: holds hashes.bin, which no preprocessing"):
        make_while(tmp_path / "data", plant, tmp_path / ".data.partial" / "whole", ["hashes.bin"])
    assert not (tmp_path / "data").exists()


def test_the_longest_name_a_disk_takes(tmp_path):
    """Its stage needs a shorter one; a longer name is one line."""
    out = tmp_path / ("n" * 255)
    with pytest.raises(KeyboardInterrupt):
        begin_and_stop(out, KeyboardInterrupt)
    assert finish(out) == ["journal.jsonl"]
    assert names(tmp_path) == [out.name]
    with pytest.raises(InputError, match=r"out=.*: cannot be written: File name too long"):
        finish(tmp_path / ("n" * 256))


def test_a_link_that_leads_nowhere_is_refused(tmp_path):
    """Before the work: it could not be replaced afterwards."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputError, match=r"out=.*loop: is a file, must be a new folder"):
        finish(tmp_path / "loop")
    assert names(tmp_path) == ["loop"]
