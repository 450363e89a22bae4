"""A dataset folder in the making: whole or not there, one writer, resumed when killed."""

import multiprocessing

import pytest

from fundus_ml.dataset_folder import RECORD
from fundus_ml.errors import InputError
from fundus_ml.staging import staged
from tests.fundus_ml.tiny_eyes import write_folder

OUT_OF_PROCESS = multiprocessing.get_context("spawn")


def names(folder):
    """What lies in a folder, hidden things too."""
    return sorted(path.name for path in folder.iterdir())


def begin_and_stop(out, error, *, key="same"):
    """Do a part of the work, then meet an error."""
    with staged(out, key=key) as stage:
        (stage.work / "read").write_text(key)
        (stage.whole / RECORD).touch()
        raise error


def finish(out, *, key="same"):
    """Go on to the end; say what an earlier try had left."""
    with staged(out, key=key) as stage:
        found = names(stage.work)
        assert names(stage.whole) == []
        (stage.whole / RECORD).write_text(key)
    return found


def test_the_folder_appears_when_whole_and_replaces_the_older_one(tmp_path):
    """Until the end the older dataset stands; afterwards only the new one, and nothing beside."""
    out = tmp_path / "new" / "data"
    for turn in ("first", "second"):
        with staged(out, key=turn) as stage:
            (stage.whole / RECORD).write_text(turn)
            (stage.whole / f"only-{turn}").touch()
            assert not (out / RECORD).exists() or (out / RECORD).read_text() == "first"
        assert (out / RECORD).read_text() == turn
    assert names(out) == [RECORD, "only-second"]
    assert names(out.parent) == ["data"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_stopped_work_is_kept_for_the_same_recipe_and_thrown_away_for_another(tmp_path, error):
    """And the older dataset stands meanwhile."""
    out = tmp_path / "data"
    write_folder(out)
    before = (out / RECORD).read_bytes()
    for key, found in (("same", ["read"]), ("other", [])):
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
        (stage.whole / RECORD).write_text("theirs")
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
    assert (out / RECORD).read_text() == "theirs"
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
        ("file/below", "cannot be written: "),
    ):
        with pytest.raises(InputError, match=f"out=.*{place}: {rule}"):
            finish(tmp_path / place)
    assert names(tmp_path) == ["file", "photos"]
    assert names(tmp_path / "photos") == ["a.jpg"]
