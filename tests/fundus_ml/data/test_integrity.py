"""A dataset folder that was changed after it was written is refused, by file and row."""

import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from fundus_ml.data import integrity
from fundus_ml.data.integrity import ROW_HASHES
from fundus_ml.data.manifest import SEXES
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.record import MANIFEST, RECORD, read_dataset_json, write_dataset_json
from fundus_ml.errors import InputError
from fundus_ml.imaging.keypoints import FEATURE_SHAPE
from tests.fundus_ml.tiny_eyes import write_folder

AGAIN = "run preprocess again"


@pytest.fixture(scope="module")
def folder_once(tmp_path_factory):
    """Seven eyes in shards of four and three, with regions and keypoints."""
    path = tmp_path_factory.mktemp("integrity") / "data"
    keypoints = np.random.default_rng(0).integers(256, size=(7, *FEATURE_SHAPE), dtype=np.uint8)
    write_folder(path, keypoints=keypoints)
    return path


@pytest.fixture
def folder(folder_once, tmp_path):
    """The same folder, this test's own to change."""
    return shutil.copytree(folder_once, tmp_path / "data")


def rewrite(folder, change):
    """Change the manifest as an editor of tables would."""
    frame = pd.read_parquet(folder / MANIFEST)
    change(frame).to_parquet(folder / MANIFEST, index=False)


def resave(path, change):
    np.save(path, change(np.load(path)))


def flip(frame):
    label = 1 - frame["label"]
    return frame.assign(label=label, sex=np.array(SEXES)[label])


def one_cell(frame):
    return frame.assign(age=frame["age"].where(frame.index != 5, 99.0))


def one_value(rows):
    rows[2].flat[-1] ^= 1
    return rows


CHANGES = {
    "flipped labels": (
        lambda f: rewrite(f, flip),
        r"manifest.parquet is not the file that was written \(first row that differs: 0, tiny/0\)",
    ),
    "one cell": (
        lambda f: rewrite(f, one_cell),
        r"manifest.parquet .*\(first row that differs: 5, tiny/5\)",
    ),
    "splits swapped": (
        lambda f: rewrite(f, lambda frame: frame.assign(split=frame["split"].to_numpy()[::-1])),
        r"manifest.parquet .*first row that differs: 0, tiny/0",
    ),
    "a row less": (
        lambda f: rewrite(f, lambda frame: frame.iloc[:-1]),
        r"manifest.parquet .*\(it has 6 rows, was written with 7\)",
    ),
    "a column more": (
        lambda f: rewrite(f, lambda frame: frame.assign(note=1)),
        r"manifest.parquet .*first row that differs: 0, tiny/0",
    ),
    "other compression": (
        lambda f: pd.read_parquet(f / MANIFEST).to_parquet(f / MANIFEST, compression="gzip"),
        r"manifest.parquet .*\(its rows are the same, its bytes are not\)",
    ),
    "a manifest cut short": (
        lambda f: (f / MANIFEST).write_bytes((f / MANIFEST).read_bytes()[:-9]),
        r"manifest.parquet .*\(it cannot be read\)",
    ),
    "rows reversed": (
        lambda f: resave(f / "pixels-00000.npy", lambda rows: rows[::-1]),
        r"pixels-00000.npy is not the file that was written \(first row that differs: 0, tiny/0\)",
    ),
    "one value of a pixel": (
        lambda f: resave(f / "pixels-00001.npy", one_value),
        r"pixels-00001.npy .*\(first row that differs: 2, tiny/6\)",
    ),
    "one region": (
        lambda f: resave(f / "regions-00000.npy", one_value),
        r"regions-00000.npy .*\(first row that differs: 2, tiny/2\)",
    ),
    "one keypoint": (
        lambda f: resave(f / "keypoints-00000.npy", one_value),
        r"keypoints-00000.npy .*\(first row that differs: 2, tiny/2\)",
    ),
    "shards swapped": (
        lambda f: swap(f / "pixels-00000.npy", f / "pixels-00001.npy"),
        r"pixels-00000.npy .*\(\d+ bytes, was \d+\)",
    ),
    "a shard cut short": (
        lambda f: cut(f / "pixels-00001.npy", 1),
        r"pixels-00001.npy .*\(451 bytes, was 452\)",
    ),
    "a shard gone": (lambda f: (f / "pixels-00001.npy").unlink(), "pixels-00001.npy is missing"),
    "keypoints gone": (
        lambda f: (f / "keypoints-00000.npy").unlink(),
        "keypoints-00000.npy is missing",
    ),
    "hashes gone": (lambda f: (f / ROW_HASHES).unlink(), f"{ROW_HASHES} is missing"),
    "hashes edited": (lambda f: resave(f / ROW_HASHES, one_value), rf"{ROW_HASHES} .*other bytes"),
    "the record's digest": (
        lambda f: edit(f, digest="0" * 64),
        rf"{RECORD} is not the file that was written \(its seal does not fit its content\)",
    ),
    "the record's channels": (
        lambda f: edit(f, channel_mean=[0.5, 0.5, 0.5]),
        rf"{RECORD} .*its seal does not fit",
    ),
    "the record's seal": (lambda f: edit(f, seal=None), rf"{RECORD} .*its seal does not fit"),
    "the record's files": (lambda f: edit(f, files=None), rf"{RECORD} .*its seal does not fit"),
}


def swap(one, other):
    between = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(between)


def cut(path, count):
    path.write_bytes(path.read_bytes()[:-count])


def edit(folder, **changes):
    record = json.loads((folder / RECORD).read_text()) | changes
    kept = {name: value for name, value in record.items() if value is not None}
    (folder / RECORD).write_text(json.dumps(kept, indent=2))


@pytest.mark.parametrize("verify", ["quick", "full"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_folder_is_refused_by_file_and_row(folder, change, verify):
    apply, said = CHANGES[change]
    open_dataset(str(folder), verify=verify)
    apply(folder)
    with pytest.raises(InputError, match=said) as refused:
        open_dataset(str(folder), verify=verify)
    assert str(refused.value).startswith(f"dataset={folder}: ")
    assert str(refused.value).endswith(AGAIN)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("verify", ["quick", "full"])
def test_what_lies_beside_is_free_and_the_record_may_be_laid_out_anew(folder, verify):
    for name in ("audit.html", "sample_sheet.png", "notes.txt"):
        (folder / name).write_text("mine")
    (folder / RECORD).write_text(json.dumps(json.loads((folder / RECORD).read_text())))
    assert len(open_dataset(str(folder), verify=verify)) == 7


@pytest.mark.parametrize("verify", ["quick", "full"])
@pytest.mark.parametrize("change", ["flipped labels", "rows reversed", "one region", "one cell"])
def test_a_folder_of_an_older_version_is_checked_by_its_digest(folder, change, verify):
    """It keeps no hashes, so even the quick check reads it whole; nor does losing them help."""
    edit(folder, files=None, seal=None)
    (folder / ROW_HASHES).unlink()
    assert len(open_dataset(str(folder), verify=verify)) == 7
    CHANGES[change][0](folder)
    with pytest.raises(InputError, match=f"other content than the digest in {RECORD} says"):
        open_dataset(str(folder), verify=verify)


def test_a_digest_that_was_sealed_wrongly_is_found_by_the_full_check(folder):
    """The digest itself is taken anew."""
    write_dataset_json(folder, {**read_dataset_json(folder), "digest": "0" * 64})
    open_dataset(str(folder))
    with pytest.raises(InputError, match=r"digest in dataset.json says \(000000000000…\)"):
        open_dataset(str(folder), verify="full")


def test_a_record_that_names_too_few_files_is_refused(folder):
    record = read_dataset_json(folder)
    for name in (MANIFEST, ROW_HASHES, "pixels-00001.npy", "keypoints-00000.npy"):
        fewer = {file: known for file, known in record["files"].items() if file != name}
        write_dataset_json(folder, {**record, "files": fewer})
        with pytest.raises(InputError, match=rf"{RECORD} .*it does not name {name}"):
            open_dataset(str(folder))


def test_the_quick_check_reads_a_sample_and_over_time_every_eye(tmp_path, monkeypatch):
    """One changed eye of many passes some openings, and not all."""
    monkeypatch.setattr(integrity, "SAMPLED_EYES", 20)
    write_folder(tmp_path / "data", 60, with_regions=False)
    resave(tmp_path / "data" / "pixels-00007.npy", one_value)
    refused = 0
    for _ in range(40):
        try:
            open_dataset(str(tmp_path / "data"))
        except InputError as error:
            assert "pixels-00007.npy" in str(error)  # noqa: PT017 (both ends are right here)
            refused += 1
    assert 0 < refused < 40
    with pytest.raises(InputError, match=r"first row that differs: 2, tiny/30"):
        open_dataset(str(tmp_path / "data"), verify="full")


def test_recorded_hashes_are_those_of_the_files(folder):
    """What `sha256sum` prints."""
    files = read_dataset_json(folder)["files"]
    there = {path.name for path in folder.iterdir()} - {RECORD}
    assert set(files) == there
    for name, file in files.items():
        content = (folder / name).read_bytes()
        assert file == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_one_changed_folder_of_a_composite_is_named(folder):
    write_folder(folder.parent / "b", source="b")
    CHANGES["flipped labels"][0](folder.parent / "b")
    with pytest.raises(
        InputError, match=rf"dataset={folder.parent / 'b'}: manifest.parquet is not"
    ):
        open_dataset(f"{folder},{folder.parent / 'b'}")


def test_equal_pixels_in_other_bytes_are_refused_by_the_full_check(folder):
    """An array saved column by column holds what was written; the file is another one."""
    pixels = open_dataset(str(folder)).pixels(range(7))
    resave(folder / "pixels-00000.npy", np.asfortranarray)
    np.testing.assert_array_equal(open_dataset(str(folder)).pixels(range(7)), pixels)
    with pytest.raises(InputError, match=r"pixels-00000.npy .*\(other bytes for the same rows\)"):
        open_dataset(str(folder), verify="full")


def test_another_way_to_check_is_refused(folder):
    with pytest.raises(InputError, match="verify=never: allowed: quick, full"):
        open_dataset(str(folder), verify="never")
