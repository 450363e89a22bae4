"""A dataset folder: its record, the digest of its content, its figures exact."""

import json

import numpy as np
import pytest

from fundus_ml.data.channels import ChannelStatistics, channel_statistics, pooled_statistics
from fundus_ml.data.integrity import content_digest
from fundus_ml.data.manifest import read_manifest
from fundus_ml.data.record import MANIFEST, RECORD, read_dataset_json
from fundus_ml.data.shards import ShardWriter, shard_path
from fundus_ml.errors import InputError
from tests.fundus_ml.tiny_eyes import make_manifest, write_folder


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
    statistics = []
    for seed, part in enumerate(parts):
        train = make_manifest(len(part) + 4).iloc[4:]
        counted = channel_statistics(tmp_path / f"{seed}", train)
        statistics.append(ChannelStatistics(len(part), *counted))
    mean, std = pooled_statistics(statistics)
    together = np.concatenate(parts)
    np.testing.assert_allclose(mean, together.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, together.std(axis=(0, 1, 2)), rtol=1e-12)
    gone = make_manifest(11).iloc[[5, 9]]
    taken = ChannelStatistics(-2, *channel_statistics(tmp_path / "1", gone))
    mean, std = pooled_statistics([*statistics, taken])
    together = np.delete(together, [3 + 1, 3 + 5], axis=0)
    np.testing.assert_allclose(mean, together.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, together.std(axis=(0, 1, 2)), rtol=1e-9)
