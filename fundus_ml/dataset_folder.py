"""A dataset on disk beside its shards: record, digest of the content, channel statistics."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.own_files import OwnFiles
from fundus_ml.owned_folders import read_object
from fundus_ml.shards import read_shard

MANIFEST = "manifest.parquet"
RECORD = "dataset.json"
REJECTED = "rejected.csv"
DATASET_FILES = OwnFiles(
    r"dataset\.json",
    r"manifest\.parquet",
    r"(pixels|regions|keypoints)-\d{5}\.npy",
    r"rejected\.csv",
    r"same_person\.csv",
    r"same_eyes\.png",
    r"audit\.(html|json)",
    r"sample_sheet\.png",
    r"quality\.png",
)
"""All that ``preprocess`` writes into a dataset folder. A folder with anything else in it is not
replaced, so whoever writes one more file names it here."""
READ_AT_ONCE = 64
"""Eyes held in memory while a shard is read through; changes no result."""


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


def write_dataset_json(folder: Path, record: DatasetRecord) -> None:
    """Write ``dataset.json``, the last file of a dataset folder."""
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_dataset_json(path: Path) -> DatasetRecord:
    """Read the record of the dataset folder ``path``.

    Raises:
        InputError: ``path`` is missing, holds no ``dataset.json``, or one that lacks a field.
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
    return cast("DatasetRecord", record)


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
    records: Mapping[Path, DatasetRecord],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Channel mean and standard deviation over the training eyes of several folders together."""
    eyes = np.array([record["channel_eyes"] for record in records.values()])
    means = np.array([record["channel_mean"] for record in records.values()])
    stds = np.array([record["channel_std"] for record in records.values()])
    share = (eyes / eyes.sum())[:, None]
    mean = (share * means).sum(axis=0)
    std = np.sqrt((share * (stds**2 + (means - mean) ** 2)).sum(axis=0))
    return tuple(mean.tolist()), tuple(std.tolist())
