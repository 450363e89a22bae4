"""A dataset on disk: whole or not there, read back byte for byte, its figures exact."""

import json

import numpy as np
import pytest

from fundus_ml.dataset_folder import (
    MANIFEST,
    RECORD,
    ShardWriter,
    channel_statistics,
    content_digest,
    pooled_statistics,
    read_dataset_json,
    read_shard,
    shard_path,
    staged,
)
from fundus_ml.errors import InputError
from fundus_ml.manifest import read_manifest
from tests.fundus_ml.tiny_eyes import make_manifest, make_squares, write_folder


def names(folder):
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def begin_and_fail(out, error):
    """Write a part of a dataset, then meet an error."""
    with staged(out) as stage:
        (stage / MANIFEST).touch()
        (stage / RECORD).touch()
        raise error("mid-way")


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


def test_a_staged_folder_appears_when_whole_and_replaces_the_older_one(tmp_path):
    """Until the end the older dataset stands; afterwards only the new one, and nothing beside."""
    out = tmp_path / "new" / "data"
    for turn in ("first", "second"):
        with staged(out) as stage:
            (stage / RECORD).write_text(turn)
            (stage / f"only-{turn}").touch()
            assert not (out / RECORD).exists() or (out / RECORD).read_text() == "first"
        assert (out / RECORD).read_text() == turn
    assert names(out) == [RECORD, "only-second"]
    assert names(out.parent) == ["data"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_mid_way_leaves_nothing_new_and_the_older_dataset(tmp_path, error):
    """Also no parent folders that were made for it."""
    with pytest.raises(error, match="mid-way"):
        begin_and_fail(tmp_path / "a" / "b", error)
    assert names(tmp_path) == []
    write_folder(tmp_path / "data")
    before = (tmp_path / "data" / RECORD).read_bytes()
    with pytest.raises(error, match="mid-way"):
        begin_and_fail(tmp_path / "data", error)
    assert names(tmp_path) == ["data"]
    assert (tmp_path / "data" / RECORD).read_bytes() == before


def test_an_empty_folder_is_taken(tmp_path):
    """A folder made beforehand is no obstacle."""
    with staged(tmp_path) as stage:
        (stage / RECORD).touch()
    assert names(tmp_path) == [RECORD]


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
        with pytest.raises(InputError, match=f"out=.*{place}: {rule}"), staged(tmp_path / place):
            pytest.fail("handed out a folder")
    assert names(tmp_path) == ["file", "photos"]
    assert names(tmp_path / "photos") == ["a.jpg"]


def test_the_record_reads_back_and_a_wrong_one_is_refused(tmp_path):
    """Missing folder, missing file, no JSON, another JSON, a field less."""
    data = tmp_path / "data"
    with pytest.raises(InputError, match=r"dataset=.*data: no such folder"):
        read_dataset_json(data)
    write_folder(data)
    record = read_dataset_json(data)
    assert record["eyes"] == 7
    assert record["recipe"] == {"seed": 0}
    for text, rule in (
        ("{", "not JSON"),
        ("3", "holds no record"),
        (json.dumps({k: v for k, v in record.items() if k != "size"}), "lacks size; run"),
    ):
        (data / RECORD).write_text(text)
        with pytest.raises(InputError, match=rf"{RECORD}: {rule}"):
            read_dataset_json(data)
    (data / RECORD).unlink()
    with pytest.raises(InputError, match="so no dataset folder; make one with preprocess"):
        read_dataset_json(data)


def test_the_digest_is_of_content_and_not_of_when_it_was_written(tmp_path):
    """Equal content in two folders is one digest, also of the manifest read back from disk."""
    for name in "ab":
        write_folder(tmp_path / name)
    first, second = (read_dataset_json(tmp_path / name)["digest"] for name in "ab")
    assert first == second
    assert len(bytes.fromhex(first)) == 32
    again = read_manifest(tmp_path / "a" / MANIFEST)
    assert content_digest(tmp_path / "a", again, ("pixels", "regions")) == first


def test_every_part_of_the_content_moves_the_digest(tmp_path):
    """One pixel in the last shard, one region, one cell, the kinds counted."""
    write_folder(tmp_path / "data")
    folder, frame = tmp_path / "data", make_manifest()
    kinds = ("pixels", "regions")
    digests = [content_digest(folder, frame, kinds), content_digest(folder, frame, ("pixels",))]
    digests.append(content_digest(folder, frame.assign(age=1.0), kinds))
    for kind in kinds:
        path = shard_path(folder, kind, 1)
        squares = np.load(path)
        squares.flat[-1] += 1
        np.save(path, squares)
        digests.append(content_digest(folder, frame, kinds))
    assert len(set(digests)) == len(digests)


def test_channel_statistics_are_numpys_over_the_chosen_eyes(tmp_path):
    """Mean and standard deviation of the chosen rows alone, in any order, across shards."""
    pixels, _ = write_folder(tmp_path / "data")
    chosen = [6, 1, 4, 2]
    mean, std = channel_statistics(tmp_path / "data", make_manifest().iloc[chosen])
    values = pixels[chosen] / 255
    np.testing.assert_allclose(mean, values.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, values.std(axis=(0, 1, 2)), rtol=1e-12)


def test_pooled_statistics_are_those_of_all_training_eyes_together(tmp_path):
    """Two folders of different counts against one array of both."""
    parts = []
    for seed, count in enumerate((7, 11)):
        pixels, _ = write_folder(tmp_path / f"{seed}", count, seed=seed)
        pixels[..., 2] //= seed + 1
        with ShardWriter(tmp_path / f"{seed}", "pixels", pixels.shape[1:], shard_eyes=4) as writer:
            for square in pixels:
                writer.append(square)
        parts.append(pixels[4:] / 255)
    records = {}
    for seed, part in enumerate(parts):
        folder = tmp_path / f"{seed}"
        train = make_manifest(len(part) + 4).iloc[4:]
        mean, std = channel_statistics(folder, train)
        record = read_dataset_json(folder)
        records[folder] = {**record, "channel_mean": mean.tolist(), "channel_std": std.tolist()}
        assert record["channel_eyes"] == len(part)
    mean, std = pooled_statistics(records)
    together = np.concatenate(parts)
    np.testing.assert_allclose(mean, together.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, together.std(axis=(0, 1, 2)), rtol=1e-12)
