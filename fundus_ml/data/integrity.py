"""Is a dataset folder still what was written? Hashes kept with it, and how they are checked."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fundus_ml.data.options import Verify
from fundus_ml.data.record import (
    KEYPOINTS,
    MANIFEST,
    RECORD,
    DatasetRecord,
    FileRecord,
    not_as_written,
)
from fundus_ml.data.shards import READ_AT_ONCE, read_shard, shard_path
from fundus_ml.errors import InputError

ROW_HASHES = "row_hashes.npy"
"""``(n, 1 + kinds, 16)`` uint8: a hash of each manifest row and of its row in each kind of shard,
kinds in alphabetical order."""
SAMPLED_EYES = 32
"""Eyes that a quick check reads, other ones each time."""

_HASH_BYTES = 16

Hashes = NDArray[np.uint8]


def content_kinds(record: DatasetRecord) -> tuple[str, ...]:
    """Kinds of shards that the digest covers."""
    return ("pixels", "regions") if record["regions"] else ("pixels",)


def stored_kinds(record: DatasetRecord) -> tuple[str, ...]:
    """Kinds of shards in a folder, keypoints among them where its eyes are described."""
    described = any(name.startswith(f"{KEYPOINTS}-") for name in record.get("files", {}))
    return (KEYPOINTS, *content_kinds(record)) if described else content_kinds(record)


def describe_files(
    folder: Path, frame: pd.DataFrame, kinds: tuple[str, ...]
) -> dict[str, FileRecord]:
    """Hash every eye into :data:`ROW_HASHES`, and every file for ``dataset.json``.

    Args:
        folder: Where manifest and shards lie.
        frame: The manifest as it is read back.
        kinds: Kinds of shards there.
    """
    hashes = np.empty((len(frame), 1 + len(kinds), _HASH_BYTES), np.uint8)
    hashes[:, 0] = _manifest_hashes(frame)
    for column, kind in enumerate(sorted(kinds), start=1):
        for shard, places, rows in _by_shard(frame):
            hashes[places, column] = _shard_hashes(read_shard(folder, kind, shard), rows)
    np.save(folder / ROW_HASHES, hashes)
    return {
        name: FileRecord(bytes=(folder / name).stat().st_size, sha256=_file_sha256(folder / name))
        for name in _names(frame, kinds)
    }


def check_manifest(folder: Path, record: DatasetRecord) -> None:
    """Check manifest and row hashes by their SHA-256, before the manifest is read.

    Raises:
        InputError: One is missing or not the file that was written.
    """
    if "files" not in record:
        return
    for name in (ROW_HASHES, MANIFEST):
        file = _recorded(folder, record, name)
        _check_there(folder, name)
        if _file_sha256(folder / name) != file["sha256"]:
            why = _manifest_difference(folder) if name == MANIFEST else "other bytes"
            raise not_as_written(folder, name, why)


def check_sizes(folder: Path, record: DatasetRecord, frame: pd.DataFrame) -> None:
    """Check that every file is there in its size, before it is mapped.

    Raises:
        InputError: One is missing or of another size.
    """
    if "files" not in record:
        return
    for name in _names(frame, stored_kinds(record)):
        file = _recorded(folder, record, name)
        _check_there(folder, name)
        size = (folder / name).stat().st_size
        if size != file["bytes"]:
            raise not_as_written(folder, name, f"{size} bytes, was {file['bytes']}")


def check_content(
    folder: Path, record: DatasetRecord, frame: pd.DataFrame, *, verify: Verify
) -> None:
    """Check the shards of a folder against what was written.

    A folder of an older version keeps no hashes: only the digest over its whole content can tell,
    so that is always taken.

    Args:
        folder: Its manifest and its sizes are checked already.
        record: What its ``dataset.json`` says.
        frame: Its manifest.
        verify: How much is read.

    Raises:
        InputError: A file is not the one that was written.
    """
    if "files" in record:
        kinds = stored_kinds(record)
        hashes = np.load(folder / ROW_HASHES)
        if hashes.shape != (len(frame), 1 + len(kinds), _HASH_BYTES):
            raise not_as_written(folder, ROW_HASHES, f"shape {hashes.shape}")
        _check_sample(folder, frame, hashes, kinds)
        if verify == "quick":
            return
        for kind in kinds:
            check_shards(folder, record, frame, kind)
    if content_digest(folder, frame, content_kinds(record)) != record["digest"]:
        raise InputError(
            f"dataset={folder}: holds other content than the digest in {RECORD} says "
            f"({record['digest'][:12]}…); run preprocess again"
        )


def check_shards(folder: Path, record: DatasetRecord, frame: pd.DataFrame, kind: str) -> None:
    """Check every byte of the shards of one kind.

    Raises:
        InputError: A shard is not the one that was written.
    """
    for shard, _, _ in _by_shard(frame):
        path = shard_path(folder, kind, shard)
        if _file_sha256(path) != _recorded(folder, record, path.name)["sha256"]:
            column = 1 + sorted(stored_kinds(record)).index(kind)
            hashes = np.load(folder / ROW_HASHES)[:, column]
            raise _shard_difference(folder, frame, hashes, kind, shard)


def check_verify(verify: str) -> None:
    """Refuse another way to check than :data:`Verify`."""
    allowed = get_args(Verify)
    if verify not in allowed:
        raise InputError(f"verify={verify}: allowed: {', '.join(allowed)}")


def _check_sample(
    folder: Path, frame: pd.DataFrame, hashes: Hashes, kinds: tuple[str, ...]
) -> None:
    # Without a seed: over many openings every eye has its turn.
    count = min(SAMPLED_EYES, len(frame))
    drawn = np.sort(np.random.default_rng().choice(len(frame), count, replace=False))
    for column, kind in enumerate(sorted(kinds), start=1):
        for shard, places, rows in _by_shard(frame.iloc[drawn]):
            found = _shard_hashes(read_shard(folder, kind, shard), rows)
            if (found != hashes[drawn[places], column]).any():
                raise _shard_difference(folder, frame, hashes[:, column], kind, shard)


def _shard_difference(
    folder: Path, frame: pd.DataFrame, hashes: Hashes, kind: str, shard: int
) -> InputError:
    """Name the first eye of a shard that is not what was written."""
    name = shard_path(folder, kind, shard).name
    squares = read_shard(folder, kind, shard)
    for place in np.flatnonzero(frame["shard"] == shard):
        row = int(frame["row"].iloc[place])
        if (_hashed(squares[row].tobytes()) != hashes[place]).any():
            eye = frame["image_id"].iloc[place]
            return not_as_written(folder, name, f"first row that differs: {row}, {eye}")
    return not_as_written(folder, name, "other bytes for the same rows")


def _manifest_difference(folder: Path) -> str:
    hashes = np.load(folder / ROW_HASHES)
    try:
        frame = pd.read_parquet(folder / MANIFEST)
    except (pa.ArrowException, OSError):
        return "it cannot be read"
    if len(frame) != len(hashes):
        return f"it has {len(frame)} rows, was written with {len(hashes)}"
    differs = (_manifest_hashes(frame) != hashes[:, 0]).any(axis=1)
    if not differs.any():
        return "its rows are the same, its bytes are not"
    row = int(differs.argmax())
    eye = frame["image_id"].iloc[row] if "image_id" in frame else "without image_id"
    return f"first row that differs: {row}, {eye}"


def _check_there(folder: Path, name: str) -> None:
    if not (folder / name).is_file():
        raise InputError(f"dataset={folder}: {name} is missing; run preprocess again")


def _recorded(folder: Path, record: DatasetRecord, name: str) -> FileRecord:
    file = record.get("files", {}).get(name)
    if file is None:
        raise not_as_written(folder, RECORD, f"it does not name {name}")
    return file


def _names(frame: pd.DataFrame, kinds: tuple[str, ...]) -> list[str]:
    shards = [int(shard) for shard in sorted(frame["shard"].unique())]
    return [
        MANIFEST,
        ROW_HASHES,
        *(shard_path(Path(), kind, shard).name for kind in sorted(kinds) for shard in shards),
    ]


def _by_shard(frame: pd.DataFrame) -> Iterator[tuple[int, NDArray[np.intp], NDArray[np.int64]]]:
    """Shard by shard: its number, the positions of its eyes in ``frame``, their rows in it."""
    shards, rows = frame["shard"].to_numpy(), frame["row"].to_numpy()
    for shard in np.unique(shards):
        places = np.flatnonzero(shards == shard)
        yield int(shard), places, rows[places]


def _shard_hashes(squares: NDArray[np.uint8], rows: NDArray[np.int64]) -> Hashes:
    return np.array([_hashed(squares[row].tobytes()) for row in rows])


def _manifest_hashes(frame: pd.DataFrame) -> Hashes:
    names = [str(name) for name in frame]
    rows = frame.astype(object).to_numpy()
    return np.array([_hashed(json.dumps([names, *row], default=str).encode()) for row in rows])


def _hashed(content: bytes) -> Hashes:
    return np.frombuffer(hashlib.sha256(content).digest()[:_HASH_BYTES], np.uint8)


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
