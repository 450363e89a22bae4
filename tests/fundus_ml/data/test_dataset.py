"""The eyes as a torch Dataset: every way of reading them gives the pixels that were written."""

import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from fundus_ml.data.dataset import batches
from fundus_ml.data.manifest import write_manifest
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.record import MANIFEST, RECORD, read_dataset_json, write_dataset_json
from fundus_ml.errors import InputError
from tests.fundus_ml.tiny_eyes import (
    SIDE,
    make_manifest,
    make_squares,
    write_folder,
    write_record,
)


@pytest.fixture
def folder(tmp_path):
    """Seven eyes in shards of four and three."""
    write_folder(tmp_path / "a")
    return tmp_path / "a"


@pytest.fixture
def composite(tmp_path):
    """Seven eyes with regions and five more of another source without."""
    first, _ = write_folder(tmp_path / "a")
    second, _ = write_folder(tmp_path / "b", 5, source="other", seed=1, with_regions=False)
    dataset = open_dataset(f"{tmp_path / 'a'}, {tmp_path / 'b'}")
    return dataset, np.concatenate([first, second])


def test_pixels_and_regions_come_in_the_order_asked_for(folder):
    """Across shards, repeated, negative, as a mask, none at all."""
    dataset = open_dataset(str(folder))
    pixels, regions = make_squares()
    mask = np.array([True, False, True, False, False, True, True])
    for chosen in ([5, 0, 6, 3, 0], [-1, 2], mask, [], range(7), np.array([4], np.int32)):
        rows = np.asarray(chosen) if len(chosen) else np.array([], int)
        np.testing.assert_array_equal(dataset.pixels(chosen), pixels[rows])
        np.testing.assert_array_equal(dataset.regions(chosen), regions[rows])
    with pytest.raises(IndexError):
        dataset.pixels([7])


def test_an_item_is_the_eye_and_its_label(folder):
    """``(3, H, W)`` uint8 with 0.0 or 1.0; a loader with worker processes sees the same."""
    dataset = open_dataset(str(folder))
    pixels, _ = make_squares()
    for index, (image, label) in enumerate(dataset):
        assert image.dtype == torch.uint8
        np.testing.assert_array_equal(image.permute(1, 2, 0), pixels[index])
        assert label == make_manifest()["label"][index]
    context = torch.multiprocessing.get_context("fork")
    loader = DataLoader(dataset, batch_size=3, num_workers=1, multiprocessing_context=context)
    images = torch.cat([image for image, _ in loader])
    np.testing.assert_array_equal(images.permute(0, 2, 3, 1), pixels)


def test_selecting_keeps_rows_frame_and_version_together(folder):
    """A selection of a selection reads the right eyes and stays the same dataset version."""
    dataset = open_dataset(str(folder))
    pixels, _ = make_squares()
    chosen = dataset.select([6, 2, 4]).select([True, False, True])
    assert list(chosen.frame["image_id"]) == ["tiny/6", "tiny/4"]
    assert list(chosen.frame.index) == [0, 1]
    np.testing.assert_array_equal(chosen.pixels([0, 1]), pixels[[6, 4]])
    np.testing.assert_array_equal(chosen.labels, make_manifest()["label"].iloc[[6, 4]])
    assert chosen.labels.dtype == np.float32
    assert chosen.digest == dataset.digest == read_dataset_json(folder)["digest"]
    assert len(dataset.select([])) == 0


def test_splits_are_the_manifests(folder):
    """Together the splits are every eye once."""
    dataset = open_dataset(str(folder))
    parts = {name: dataset.split(name) for name in ("train", "val", "test")}
    assert {name: len(part) for name, part in parts.items()} == {"train": 3, "val": 2, "test": 2}
    assert all(part.frame["split"].eq(name).all() for name, part in parts.items())
    with pytest.raises(InputError, match="split=valid: allowed: train, val, test"):
        dataset.split("valid")
    with pytest.raises(InputError, match="split=test: no eye of tiny is in it"):
        parts["train"].split("test")


def test_a_composite_reads_each_folder_and_names_both(composite):
    """Rows of both in order; one version of two digests; no regions unless all have them."""
    dataset, pixels = composite
    assert dataset.name == "tiny+other"
    assert len(dataset) == 12
    rows = [11, 0, 7, 6, 3]
    np.testing.assert_array_equal(dataset.pixels(rows), pixels[rows])
    np.testing.assert_array_equal(dataset.select(rows).pixels([1, 0]), pixels[[0, 11]])
    assert dataset.regions([0]) is None
    assert dataset.digest not in {read_dataset_json(path)["digest"] for path in dataset.paths}
    train = np.concatenate([pixels[4:7], pixels[11:]]) / 255
    np.testing.assert_allclose(dataset.channel_mean, train.mean(axis=(0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(dataset.channel_std, train.std(axis=(0, 1, 2)), rtol=1e-9)


def test_a_pickled_dataset_leaves_its_pixels_behind(folder):
    """What goes to a worker is small, also after reading, and reads the same there."""
    dataset = open_dataset(str(folder))
    before = len(pickle.dumps(dataset))
    read = dataset.pixels(range(7))
    again = pickle.dumps(dataset)
    assert len(again) == before
    np.testing.assert_array_equal(pickle.loads(again).pixels(range(7)), read)  # noqa: S301 (ours)


@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_go_once_through_every_eye(folder, drop_last):
    """In order without a generator, permuted with one, the last one dropped if asked."""
    dataset = open_dataset(str(folder))
    pixels, _ = make_squares()
    plain = list(batches(dataset, 3, drop_last=drop_last))
    assert [len(images) for images, _ in plain] == [3, 3] + [1] * (not drop_last)
    images, labels = (torch.cat(part) for part in zip(*plain, strict=True))
    count = len(images)
    assert images.dtype == labels.dtype == torch.float32
    assert plain[0][0].is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(images.permute(0, 2, 3, 1), np.float32(pixels[:count]) / 255)
    np.testing.assert_array_equal(labels, dataset.labels[:count])
    drawn = batches(dataset, 3, generator=torch.Generator().manual_seed(1), drop_last=drop_last)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))[:count]
    for (mixed, mixed_labels), rows in zip(drawn, order.split(3), strict=True):
        expected = np.float32(pixels[rows.numpy()]) / 255
        np.testing.assert_array_equal(mixed.permute(0, 2, 3, 1), expected)
        np.testing.assert_array_equal(mixed_labels, dataset.labels[rows.numpy()])


def test_batches_of_nothing_are_none_and_of_no_size_refused(folder):
    """No empty batch, whose mean would be NaN."""
    dataset = open_dataset(str(folder))
    assert list(batches(dataset.select([]), 4)) == []
    assert len(list(batches(dataset, 7, drop_last=True))) == 1
    with pytest.raises(InputError, match="batch_size=0: must be at least 1"):
        next(batches(dataset, 0))


def test_wrong_paths_are_refused(folder):
    """Nothing named, a folder named twice, one that is not there."""
    for paths, rule in (
        (" , ", "name a dataset folder, several with commas"),
        (f"{folder},{folder}", "names a folder twice"),
        (f"{folder},nowhere", "dataset=nowhere: no such folder"),
    ):
        with pytest.raises(InputError, match=rule):
            open_dataset(paths)


def test_folders_that_do_not_go_together_are_refused(tmp_path):
    """Two sizes, an eye in both."""
    for seed, name in enumerate("ab"):
        write_folder(tmp_path / name, seed=seed)
    paths = f"{tmp_path / 'a'},{tmp_path / 'b'}"
    with pytest.raises(InputError, match=r"together, image_id=tiny/0: stands in .*a and in .*b"):
        open_dataset(paths)
    record = read_dataset_json(tmp_path / "b")
    write_dataset_json(tmp_path / "b", {**record, "size": SIDE + 1})
    with pytest.raises(InputError, match=f"of size {SIDE}, .* of size {SIDE + 1}; preprocess"):
        open_dataset(paths)


@pytest.mark.parametrize(
    ("recipes", "said"),
    [
        (({}, {"around": "disc"}), "a shows whole eyes, .*b shows discs alone"),
        (({"around": "border"}, {"around": "whole"}), "a shows borders alone, .*b shows whole"),
        (
            ({"around": "disc", "around_width": 0.5}, {"around": "disc"}),
            "a are 0.5 fields of view wide, of .*b 0.35",
        ),
    ],
)
def test_folders_that_show_different_parts_are_refused(tmp_path, recipes, said):
    for name, recipe in zip("ab", recipes, strict=True):
        write_folder(tmp_path / name, source=name)
        record = read_dataset_json(tmp_path / name)
        write_dataset_json(tmp_path / name, {**record, "recipe": recipe})
    with pytest.raises(InputError, match=said):
        open_dataset(f"{tmp_path / 'a'},{tmp_path / 'b'}")


def test_the_sources_of_a_composite_weigh_the_same(composite, tmp_path):
    """Seven eyes and five; balance=sex leaves the sources as large as they are."""
    train = composite[0].frame.query("split == 'train'")
    tiny, other = train.groupby("source")["weight"].sum()
    assert tiny == pytest.approx(other)
    for name in "ab":
        record = read_dataset_json(tmp_path / name)
        write_dataset_json(tmp_path / name, {**record, "recipe": {"balance": "sex"}})
    frame = open_dataset(f"{tmp_path / 'a'},{tmp_path / 'b'}").frame.query("split == 'train'")
    sums = frame.groupby("source")["weight"].sum()
    assert sums.to_dict() == pytest.approx(frame["source"].value_counts().to_dict())


@pytest.mark.parametrize("other", ["a/../a", "link", "copy"])
def test_a_folder_under_two_paths_is_refused(folder, other):
    """Spelled otherwise, through a link, or copied."""
    (folder.parent / "link").symlink_to(folder)
    shutil.copytree(folder, folder.parent / "copy")
    with pytest.raises(InputError, match=rf"{other} (is|holds the same eyes as) .*a; name one of"):
        open_dataset(f"{folder},{folder.parent / other}")


def test_a_folder_whose_parts_disagree_is_refused(folder):
    """Fewer eyes than the record says, a row twice, a shard of another shape, a shard gone."""
    record, both = read_dataset_json(folder), ("pixels", "regions")
    write_manifest(make_manifest().iloc[:6], folder / MANIFEST)
    write_record(folder, record, kinds=both)
    with pytest.raises(InputError, match=r"manifest has 6 eyes, dataset.json says 7"):
        open_dataset(str(folder))
    write_manifest(make_manifest().assign(row=[0, 1, 2, 2, 0, 1, 2]), folder / MANIFEST)
    write_record(folder, record, kinds=both)
    with pytest.raises(InputError, match="rows of shard 0 are not 0 to 3, each once"):
        open_dataset(str(folder))
    write_manifest(make_manifest(), folder / MANIFEST)
    np.save(folder / "regions-00001.npy", np.zeros((3, SIDE, SIDE - 1), np.uint8))
    write_record(folder, record, kinds=both)
    with pytest.raises(InputError, match=r"regions of shard 1 have shape \(3, 6, 5\), must be"):
        open_dataset(str(folder))
    (folder / "regions-00001.npy").unlink()
    with pytest.raises(InputError, match=r"regions-00001.npy is missing"):
        open_dataset(str(folder))
    (folder / RECORD).unlink()
    with pytest.raises(InputError, match="so no dataset folder"):
        open_dataset(str(folder))


def test_own_columns_of_one_source_are_empty_in_the_other(tmp_path):
    """A trait only one release measures is NaN for the other's eyes."""
    write_folder(tmp_path / "a", frame=make_manifest().assign(trait=1.5))
    write_folder(tmp_path / "b", 5, source="other")
    frame = open_dataset(f"{tmp_path / 'a'},{tmp_path / 'b'}").frame
    expected = pd.Series([1.5] * 7 + [np.nan] * 5, name="trait")
    pd.testing.assert_series_equal(frame["trait"], expected)
