"""``dataset.json``: what a dataset folder says of itself, sealed against later changes."""

import hashlib
import json
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from fundus_ml.errors import InputError
from fundus_ml.imaging.options import CropOptions

MANIFEST = "manifest.parquet"
RECORD = "dataset.json"
REJECTED = "rejected.csv"
CROPPING = ("padding", "surround", "min_quality", "around", "around_width")
"""What of a recipe says how an eye is cut out of its photograph, beside its size."""
KEYPOINTS = "keypoints"
"""Kind of the shards that tell eyes apart, one row of ``FEATURE_SHAPE`` per eye."""


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


def _seal(record: DatasetRecord) -> str:
    # Through JSON first: what is read back is sealed as what was written.
    plain = json.loads(json.dumps({k: v for k, v in record.items() if k != "seal"}))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def crop_of(record: DatasetRecord) -> CropOptions:
    """Say how the eyes of a folder were cut out of their photographs.

    What a folder of an older version does not say is as it was then: the defaults.
    """
    recipe = record["recipe"]
    said: dict[str, Any] = {name: recipe[name] for name in CROPPING if name in recipe}
    return CropOptions(**{**said, "size": record["size"]})
