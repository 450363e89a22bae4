"""Shards: plain arrays on disk, read back byte for byte, gone on with after a kill."""

import numpy as np
import pytest

from fundus_ml.data.shards import ShardWriter, copy_rows, read_shard, shard_path
from fundus_ml.errors import InputError
from tests.fundus_ml.tiny_eyes import make_squares, write_folder


def names(folder):
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("count", "shapes"), [(7, [3, 3, 1]), (6, [3, 3]), (1, [1])])
def test_shards_are_plain_arrays_filled_in_order(tmp_path, count, shapes):
    """NumPy reads every shard, full or not, and finds each row where the writer said it is."""
    pixels, _ = make_squares(count)
    with ShardWriter(tmp_path, "pixels", pixels.shape[1:], shard_eyes=3) as writer:
        places = [writer.append(square) for square in pixels]
    shards = [np.load(shard_path(tmp_path, "pixels", shard)) for shard in range(len(shapes))]
    assert names(tmp_path) == [f"pixels-{shard:05d}.npy" for shard in range(len(shapes))]
    assert [len(shard) for shard in shards] == shapes
    for square, (shard, row) in zip(pixels, places, strict=True):
        np.testing.assert_array_equal(shards[shard][row], square)
    np.testing.assert_array_equal(read_shard(tmp_path, "pixels", 0), shards[0])


def test_a_writer_of_nothing_writes_no_file(tmp_path):
    """Regions of a release without regions leave no trace."""
    with ShardWriter(tmp_path, "regions", (4, 4)):
        pass
    assert names(tmp_path) == []


def test_a_mapped_shard_cannot_be_written_to(tmp_path):
    """Nothing a reader does changes the dataset."""
    write_folder(tmp_path / "data")
    with pytest.raises(ValueError, match="read-only"):
        read_shard(tmp_path / "data", "pixels", 0)[0] = 0


def test_a_shard_that_is_missing_cut_or_of_another_type_is_refused(tmp_path):
    """Each with its path and what to do."""
    with pytest.raises(InputError, match=r"pixels-00001.npy is missing; run preprocess again"):
        read_shard(tmp_path, "pixels", 1)
    path = shard_path(tmp_path, "pixels", 0)
    np.save(path, np.zeros((5, 4, 4, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"pixels-00000.npy: not a whole shard: "):
        read_shard(tmp_path, "pixels", 0)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="not a whole shard"):
        read_shard(tmp_path, "pixels", 0)
    np.save(path, np.zeros((5, 4, 4, 3), np.float32))
    with pytest.raises(InputError, match="holds float32, must be uint8"):
        read_shard(tmp_path, "pixels", 0)


@pytest.mark.parametrize("whole", range(8))
@pytest.mark.parametrize("torn", [0, 5])
def test_a_killed_writer_goes_on_after_the_rows_known_to_be_whole(tmp_path, whole, torn):
    """Whatever lies beyond them, the files are those of a writer that was never killed."""
    pixels, _ = make_squares(8)
    for name in ("once", "killed"):
        (tmp_path / name).mkdir()
    with ShardWriter(tmp_path / "once", "pixels", pixels.shape[1:], shard_eyes=3) as writer:
        for square in pixels:
            writer.append(square)
    folder = tmp_path / "killed"
    killed = ShardWriter(folder, "pixels", pixels.shape[1:], shard_eyes=3).__enter__()
    for square in pixels[: min(whole + 1, 8)]:
        killed.append(square)
    killed._file.close()  # and no more: the header still says that nothing is there
    if whole:
        with shard_path(folder, "pixels", (whole - 1) // 3).open("ab") as file:
            file.write(bytes(torn))
    settings = {"shard_eyes": 3, "written": whole}
    with ShardWriter(folder, "pixels", pixels.shape[1:], **settings) as writer:
        for square in pixels[whole:]:
            writer.append(square)
    assert names(folder) == names(tmp_path / "once")
    for name in names(folder):
        assert (folder / name).read_bytes() == (tmp_path / "once" / name).read_bytes()


def test_chosen_rows_are_copied_in_the_order_asked_for(tmp_path, monkeypatch):
    """Across shards of both folders, and nothing where nothing is chosen."""
    monkeypatch.setattr("fundus_ml.data.shards.SHARD_EYES", 3)
    pixels, _ = make_squares(8)
    for name in ("from", "to", "none"):
        (tmp_path / name).mkdir()
    with ShardWriter(tmp_path / "from", "pixels", pixels.shape[1:], shard_eyes=3) as writer:
        for square in pixels:
            writer.append(square)
    monkeypatch.setattr(ShardWriter.__init__, "__kwdefaults__", {"shard_eyes": 3, "written": 0})
    chosen = np.array([0, 2, 3, 6, 7])
    shards, rows = copy_rows(tmp_path / "from", tmp_path / "to", "pixels", chosen)
    assert list(zip(shards, rows, strict=True)) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    for place, (shard, row) in zip(chosen, zip(shards, rows, strict=True), strict=True):
        copied = read_shard(tmp_path / "to", "pixels", shard)[row]
        np.testing.assert_array_equal(copied, pixels[place])
    shards, rows = copy_rows(tmp_path / "from", tmp_path / "none", "pixels", chosen[:0])
    assert len(shards) == len(rows) == 0
    assert names(tmp_path / "none") == []
