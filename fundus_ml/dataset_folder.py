"""A dataset on disk: shards of pixels, the manifest, the record; whole or not there at all."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypedDict, cast

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap, write_array_header_1_0
from numpy.typing import NDArray

from fundus_ml.errors import InputError

MANIFEST = "manifest.parquet"
RECORD = "dataset.json"
REJECTED = "rejected.csv"
SHARD_EYES = 2048
"""Eyes per shard; the last one holds what is left."""
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
        recipe: Everything that decided the content, by parameter name.
        code_version: Version of the preprocessing, and of the libraries that decode and resize.
        counts: ``kept``, ``rejected`` by reason, ``splits`` by split and sex.
        channel_mean: Red, green, blue over the training eyes, of pixels in [0, 1].
        channel_std: Their standard deviation.
        channel_eyes: Training eyes those two were taken over.
        created: When it was written, ISO 8601 in UTC; no part of the digest.
    """

    name: str
    digest: str
    size: int
    eyes: int
    regions: bool
    recipe: dict[str, object]
    code_version: dict[str, str]
    counts: dict[str, object]
    channel_mean: list[float]
    channel_std: list[float]
    channel_eyes: int
    created: str


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Hand out a temporary sibling folder that takes the place of ``out`` when all went well.

    A dataset folder already at ``out`` is replaced only then. After an error nothing is left.

    Raises:
        InputError: ``out`` cannot be written, is a file, or is a folder that holds other things.
    """
    out = out.resolve()
    if out.is_file():
        raise InputError(f"out={out}: is a file, must be a new folder or a dataset folder")
    if out.is_dir() and any(out.iterdir()) and not (out / RECORD).is_file():
        raise InputError(
            f"out={out}: holds other things than a dataset; name a new folder or a dataset folder"
        )
    made = [folder for folder in out.parents if not folder.exists()]
    stage = out.with_name(f".{out.name}.{secrets.token_hex(4)}.partial")
    try:
        stage.mkdir(parents=True)
        yield stage
        _replace(out, stage)
    except OSError as error:
        raise InputError(f"out={out}: cannot be written: {error.strerror or error}") from error
    finally:
        if stage.exists():
            shutil.rmtree(stage)
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


class ShardWriter:
    """Appends squares to ``<kind>-00000.npy``, ``<kind>-00001.npy`` … as they come.

    Rows go straight to the file; the header is written again with the true count when a shard is
    full, so that neither the memory nor the count of eyes has to be known beforehand.

    Args:
        folder: Where the shards go.
        kind: ``pixels`` or ``regions``.
        shape: Of one row, ``(size, size, 3)`` or ``(size, size)``.
        shard_eyes: Rows per shard.
    """

    def __init__(
        self, folder: Path, kind: str, shape: tuple[int, ...], *, shard_eyes: int = SHARD_EYES
    ) -> None:
        self.written = 0
        self._folder, self._kind, self._shape = folder, kind, shape
        self._shard_eyes = shard_eyes
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Begin with no shard."""
        return self

    def __exit__(
        self,
        exception: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the last shard."""
        self._finish()

    def append(self, square: NDArray[np.uint8]) -> tuple[int, int]:
        """Write one row and say where it lies, as (shard, row)."""
        assert square.shape == self._shape, (square.shape, self._shape)
        assert square.dtype == np.uint8
        shard, row = divmod(self.written, self._shard_eyes)
        if row == 0:
            self._finish()
            self._file = shard_path(self._folder, self._kind, shard).open("wb")
            self._write_header(self._file, 0)
        assert self._file is not None
        self._file.write(square.tobytes())
        self.written += 1
        return shard, row

    def _finish(self) -> None:
        if self._file is None:
            return
        rows = (self.written - 1) % self._shard_eyes + 1
        self._file.seek(0)
        self._write_header(self._file, rows)
        self._file.close()
        self._file = None

    def _write_header(self, file: IO[bytes], rows: int) -> None:
        # NumPy pads the header so that the first axis can grow in place.
        layout = {"descr": "|u1", "fortran_order": False, "shape": (rows, *self._shape)}
        write_array_header_1_0(file, layout)


def shard_path(folder: Path, kind: str, shard: int) -> Path:
    """File of one shard of ``pixels`` or ``regions``."""
    return folder / f"{kind}-{shard:05d}.npy"


def read_shard(folder: Path, kind: str, shard: int) -> NDArray[np.uint8]:
    """Map one shard read-only.

    Returns:
        ``(n, size, size, 3)`` uint8 of pixels or ``(n, size, size)`` of regions.

    Raises:
        InputError: The file is missing, cut short or no array of bytes.
    """
    path = shard_path(folder, kind, shard)
    try:
        mapped = open_memmap(path, mode="r")
    except FileNotFoundError:
        raise InputError(f"{folder}: {path.name} is missing; run preprocess again") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not a whole shard: {error}; run preprocess again") from None
    if mapped.dtype != np.uint8:
        raise InputError(f"{path}: holds {mapped.dtype}, must be uint8; run preprocess again")
    return cast("NDArray[np.uint8]", mapped)


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


def _replace(out: Path, stage: Path) -> None:
    if not out.exists():
        stage.rename(out)
        return
    old = out.with_name(f"{stage.name}.old")
    out.rename(old)
    try:
        os.rename(stage, out)  # noqa: PTH104 (a failure here must bring the old folder back)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old)
