"""A dataset on disk beside its shards: record, digest of the content, channel statistics."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NotRequired, TypedDict, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.data.own_files import OwnFiles
from fundus_ml.data.owned_folders import read_object
from fundus_ml.data.shards import read_shard
from fundus_ml.errors import InputError

MANIFEST = "manifest.parquet"
RECORD = "dataset.json"
REJECTED = "rejected.csv"
DATASET_FILES = OwnFiles(
    r"dataset\.json",
    r"manifest\.parquet",
    r"(pixels|regions|keypoints)-\d{5}\.npy",
    r"row_hashes\.npy",
    r"rejected\.csv",
    r"same_person\.csv",
    r"same_eyes\.png",
    r"audit\.(html|json)",
    r"sample_sheet\.png",
    r"quality\.png",
)
"""All that ``preprocess`` writes into a dataset folder. A folder with anything else in it is not
replaced, so whoever writes one more file names it here."""
KEYPOINTS = "keypoints"
"""Kind of the shards that tell eyes apart, one row of ``FEATURE_SHAPE`` per eye."""
READ_AT_ONCE = 64
"""Eyes held in memory while a shard is read through; changes no result."""


class FileRecord(TypedDict):
    """A file of a dataset folder as it was written.

    Attributes:
        bytes: Its size.
        sha256: 64 hexadecimal digits over its bytes.
    """

    bytes: int
    sha256: str


class DatasetRecord(TypedDict):
    """What ``dataset.json`` says.

    Attributes:
        name: The source.
        digest: 64 hexadecimal digits over manifest, pixels and regions.
        size: Side of the square eyes in pixels.
        eyes: Eyes kept.
        regions: Whether region maps lie beside the pixels.
        split_by: ``person``, or ``file`` where leakage is meant to be shown.
        recipe: Everything that decided the content, by parameter name.
        code_version: Version of the preprocessing, and of the libraries that decode and resize.
        counts: ``kept``, ``rejected`` by reason, ``splits`` by split and sex.
        channel_mean: Red, green, blue over the training eyes, of pixels in [0, 1].
        channel_std: Their standard deviation.
        channel_eyes: Training eyes those two were taken over.
        files: Manifest, shards and row hashes by file name; absent in folders of older versions.
        seal: 64 hexadecimal digits over all other fields; absent where ``files`` is.
    """

    name: str
    digest: str
    size: int
    eyes: int
    regions: bool
    split_by: str
    recipe: dict[str, object]
    code_version: dict[str, str]
    counts: dict[str, object]
    channel_mean: list[float]
    channel_std: list[float]
    channel_eyes: int
    files: NotRequired[dict[str, FileRecord]]
    seal: NotRequired[str]


class ChannelStatistics(NamedTuple):
    """Channel mean and standard deviation over some eyes.

    Attributes:
        eyes: How many; below 0 where :func:`pooled_statistics` takes them out again.
        mean: ``(3,)``, pixels in [0, 1].
        std: ``(3,)``.
    """

    eyes: int
    mean: NDArray[np.float64]
    std: NDArray[np.float64]


def write_dataset_json(folder: Path, record: DatasetRecord) -> None:
    """Write ``dataset.json``, the last file of a dataset folder, sealed where it names files."""
    if "files" in record:
        record = {**record, "seal": _seal(record)}
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_dataset_json(path: Path) -> DatasetRecord:
    """Read the record of the dataset folder ``path``.

    Raises:
        InputError: ``path`` is missing, holds no ``dataset.json``, or one that lacks a field or was
            changed after it was written.
    """
    if not path.is_dir():
        raise InputError(f"dataset={path}: no such folder")
    file = path / RECORD
    if not file.is_file():
        raise InputError(
            f"dataset={path}: no {RECORD} in it, so no dataset folder; make one with preprocess"
        )
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file}: not JSON: {error}") from None
    if not isinstance(record, dict):
        raise InputError(f"{file}: holds no record; run preprocess again")
    missing = sorted(DatasetRecord.__required_keys__ - set(record))
    if missing:
        raise InputError(f"{file}: lacks {', '.join(missing)}; run preprocess again")
    found = cast("DatasetRecord", record)
    if ("files" in found or "seal" in found) and found.get("seal") != _seal(found):
        raise not_as_written(path, RECORD, "its seal does not fit its content")
    return found


def not_as_written(folder: Path, name: str, how: str) -> InputError:
    """Make the error that says a file of a dataset folder was changed after it was written."""
    return InputError(
        f"dataset={folder}: {name} is not the file that was written ({how}); run preprocess again"
    )


def is_dataset_record(file: Path) -> bool:
    """Whether ``file`` is a ``dataset.json`` that ``preprocess`` wrote, this version or another.

    Other programs call their files so too; theirs has no digest of the content.
    """
    if not file.is_file() or file.is_symlink():
        return False
    found = read_object(file)
    digest, kinds = found.get("digest"), (("name", str), ("eyes", int), ("recipe", dict))
    return (
        isinstance(digest, str)
        and re.fullmatch(r"[0-9a-f]{64}", digest) is not None
        and all(isinstance(found.get(name), kind) for name, kind in kinds)
    )


def content_digest(folder: Path, frame: pd.DataFrame, kinds: tuple[str, ...]) -> str:
    """Fingerprint of what a dataset folder holds, from its content and not its bytes on disk.

    Args:
        folder: Where the shards lie.
        frame: The manifest, row for row in the order of the shards.
        kinds: ``("pixels",)`` or ``("pixels", "regions")``.

    Returns:
        64 hexadecimal digits (SHA-256) over the manifest as text and the rows of every shard.
    """
    digest = hashlib.sha256(frame.to_csv(index=False, lineterminator="\n").encode())
    for kind in kinds:
        digest.update(f"{kind}\n".encode())
        for shard in sorted(frame["shard"].unique()):
            squares = read_shard(folder, kind, shard)
            for start in range(0, len(squares), READ_AT_ONCE):
                digest.update(squares[start : start + READ_AT_ONCE].data)
    return digest.hexdigest()


def channel_statistics(
    folder: Path, frame: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel over the eyes of ``frame``, exactly.

    Args:
        folder: Where the shards lie.
        frame: Manifest rows, such as those of the train split; at least one.

    Returns:
        Two arrays ``(3,)`` for pixels in [0, 1].
    """
    counts = np.zeros((3, 256), np.int64)
    for shard, rows in frame.groupby("shard")["row"]:
        squares = read_shard(folder, "pixels", int(cast("int", shard)))
        positions = np.sort(rows.to_numpy())
        for start in range(0, len(positions), READ_AT_ONCE):
            read = squares[positions[start : start + READ_AT_ONCE]]
            for channel in range(3):
                counts[channel] += np.bincount(read[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    return mean, np.sqrt((share * (values - mean[:, None]) ** 2).sum(axis=1))


def pooled_statistics(
    parts: Sequence[ChannelStatistics],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Channel mean and standard deviation over the eyes of several parts together.

    A part of ``-n`` eyes takes out ``n`` eyes that another part holds.
    """
    share = np.array([part.eyes for part in parts], np.float64)[:, None]
    share /= share.sum()
    means = np.array([part.mean for part in parts])
    mean = (share * means).sum(axis=0)
    spread = np.array([part.std for part in parts]) ** 2 + (means - mean) ** 2
    std = np.sqrt(np.maximum(0.0, (share * spread).sum(axis=0)))
    return tuple(mean.tolist()), tuple(std.tolist())


def recorded_statistics(record: DatasetRecord) -> ChannelStatistics:
    """Channel statistics of a folder's training eyes, as its record has them."""
    return ChannelStatistics(
        record["channel_eyes"], np.array(record["channel_mean"]), np.array(record["channel_std"])
    )


def _seal(record: DatasetRecord) -> str:
    # Through JSON first: what is read back is sealed as what was written.
    plain = json.loads(json.dumps({k: v for k, v in record.items() if k != "seal"}))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
