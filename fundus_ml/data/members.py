"""The folders of a dataset: named by the user, checked, read."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import pandas as pd

from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.integrity import (
    check_content,
    check_manifest,
    check_sizes,
    check_verify,
    stored_kinds,
)
from fundus_ml.data.manifest import read_manifest
from fundus_ml.data.options import Verify
from fundus_ml.data.record import (
    KEYPOINTS,
    MANIFEST,
    DatasetRecord,
    crop_of,
    read_dataset_json,
)
from fundus_ml.data.shards import read_shard
from fundus_ml.errors import InputError
from fundus_ml.imaging.keypoints import FEATURE_SHAPE
from fundus_ml.imaging.options import SHOWS


class Member(NamedTuple):
    """One folder of a dataset.

    Attributes:
        folder: Where it lies, as it was named.
        record: What its ``dataset.json`` says.
        frame: Its manifest.
    """

    folder: Path
    record: DatasetRecord
    frame: pd.DataFrame

    @property
    def described(self) -> bool:
        """Whether it keeps the keypoints that tell its eyes apart."""
        return KEYPOINTS in stored_kinds(self.record)


def members_of(dataset: FundusDataset) -> list[Member]:
    """Take an opened dataset apart, each folder with those of its eyes that are left in it."""
    return [Member(*part) for part in dataset.by_folder()]


def read_members(paths: str, *, verify: Verify) -> list[Member]:
    """Read the folders named in ``paths``, each checked to be what was written.

    Args:
        paths: Folders with commas between them.
        verify: How much of each is read for that.

    Raises:
        InputError: No folder is named, one is named twice under whatever path, is missing,
            half-written, changed since, or no dataset folder, or two hold eyes of different sizes
            or show different parts of the eye.
    """
    check_verify(verify)
    typed = [path.strip() for path in paths.split(",") if path.strip()]
    folders = [Path(os.path.expanduser(path)) for path in typed]
    if not folders:
        raise InputError(f"dataset={paths!r}: name a dataset folder, several with commas")
    if len(set(folders)) < len(folders):
        raise InputError(f"dataset={paths}: names a folder twice")
    records = {folder: read_dataset_json(folder) for folder in folders}
    _refuse_same(paths, records)
    _refuse_sizes(paths, records)
    _refuse_parts(paths, records)
    return [
        Member(folder, record, _read_whole(folder, record, verify))
        for folder, record in records.items()
    ]


def _refuse_same(paths: str, records: Mapping[Path, DatasetRecord]) -> None:
    """Refuse a folder that was named before under another path, or copied."""
    earlier: dict[object, Path] = {}
    for folder, record in records.items():
        for same, how in ((folder.resolve(), "is"), (record["digest"], "holds the same eyes as")):
            if same in earlier:
                raise InputError(
                    f"dataset={paths}: {folder} {how} {earlier[same]}; name one of the two"
                )
        earlier |= {folder.resolve(): folder, record["digest"]: folder}


def _refuse_sizes(paths: str, records: Mapping[Path, DatasetRecord]) -> None:
    first, *others = records
    size = records[first]["size"]
    for folder in others:
        if records[folder]["size"] != size:
            raise InputError(
                f"dataset={paths}: {first} holds eyes of size {size}, {folder} of size "
                f"{records[folder]['size']}; preprocess them with one size"
            )


def _refuse_parts(paths: str, records: Mapping[Path, DatasetRecord]) -> None:
    """Refuse folders that show different parts of the eye, or parts of different widths."""
    crops = {folder: crop_of(record) for folder, record in records.items()}
    first, *others = crops
    for folder in others:
        one, other = crops[first], crops[folder]
        if one.around != other.around:
            raise InputError(
                f"dataset={paths}: {first} shows {SHOWS[one.around]}, {folder} shows "
                f"{SHOWS[other.around]}"
            )
        if one.around_part and one.around_width != other.around_width:
            raise InputError(
                f"dataset={paths}: squares of {first} are {one.around_width} fields of view wide, "
                f"of {folder} {other.around_width}"
            )


def _read_whole(folder: Path, record: DatasetRecord, verify: Verify) -> pd.DataFrame:
    check_manifest(folder, record)
    frame = read_manifest(folder / MANIFEST, split_by=record["split_by"])
    if len(frame) != record["eyes"]:
        raise InputError(
            f"dataset={folder}: manifest has {len(frame)} eyes, dataset.json says "
            f"{record['eyes']}; run preprocess again"
        )
    check_sizes(folder, record, frame)
    size = record["size"]
    all_shapes = {"pixels": (size, size, 3), "regions": (size, size), KEYPOINTS: FEATURE_SHAPE}
    for shard, rows in frame.groupby("shard")["row"]:
        if not np.array_equal(np.sort(rows), np.arange(len(rows))):
            raise InputError(
                f"dataset={folder}: rows of shard {shard} are not 0 to {len(rows) - 1}, each once; "
                "run preprocess again"
            )
        for kind in stored_kinds(record):
            found = read_shard(folder, kind, cast("int", shard)).shape
            if found != (len(rows), *all_shapes[kind]):
                raise InputError(
                    f"dataset={folder}: {kind} of shard {shard} have shape {found}, must be "
                    f"{(len(rows), *all_shapes[kind])}; run preprocess again"
                )
    check_content(folder, record, frame, verify=verify)
    return frame
