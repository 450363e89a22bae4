"""The last step of a preprocessing: eyes that stay, split and weighted, become a dataset folder."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fundus_ml.data.channels import channel_statistics
from fundus_ml.data.integrity import content_digest, describe_files
from fundus_ml.data.manifest import MANIFEST_COLUMNS, SEXES, SPLITS, read_manifest, write_manifest
from fundus_ml.data.photographs import OFFERED_COLUMNS
from fundus_ml.data.record import KEYPOINTS, MANIFEST, REJECTED, DatasetRecord, write_dataset_json
from fundus_ml.data.shards import SHARD_EYES, copy_rows, read_shard
from fundus_ml.imaging.opencv import cv2
from fundus_ml.preprocessing.reading import KEYPOINTS_SHARD

VERSION = "4"
"""Changes when the same photographs would become other pixels."""


def assemble(
    work: Path,
    whole: Path,
    eyes: pd.DataFrame,
    *,
    kinds: tuple[str, ...],
    name: str,
    split_by: str,
    recipe: Mapping[str, object],
    rejected: pd.DataFrame,
) -> None:
    """Write a dataset folder of the eyes that stay.

    Args:
        work: Folder of the shards that were read.
        whole: Empty folder that becomes the dataset folder.
        eyes: Manifest columns but ``label``, ``shard`` and ``row``; the index says which rows of
            the shards in ``work`` are theirs. Where a file lay is left behind, a source's own
            columns stay.
        kinds: What the shards hold: ``pixels``, perhaps ``regions`` and ``keypoints``. The digest
            leaves out keypoints, which follow from the photographs and the code.
        name: Name of the source.
        split_by: ``person`` or ``file``.
        recipe: Everything that decided the content.
        rejected: ``image_id``, ``reason``, ``detail`` of every photograph not taken.
    """
    for kind in kinds:
        grown = KEYPOINTS_SHARD if kind == KEYPOINTS else SHARD_EYES
        shard, row = copy_rows(work, whole, kind, eyes.index.to_numpy(), source_eyes=grown)
    eyes = eyes.assign(label=eyes["sex"].map(SEXES.index), shard=shard, row=row)
    own = [
        column
        for column in eyes
        if column not in MANIFEST_COLUMNS and column not in OFFERED_COLUMNS and column != "path"
    ]
    write_manifest(eyes[[*MANIFEST_COLUMNS, *own]], whole / MANIFEST, split_by=split_by)
    frame = read_manifest(whole / MANIFEST, split_by=split_by)  # what every opening will read
    _without_formulas(rejected).to_csv(whole / REJECTED, index=False)
    train = frame[frame["split"] == "train"]
    mean, std = channel_statistics(whole, train)
    splits = frame.groupby(["split", "sex"]).size()
    content = tuple(kind for kind in kinds if kind != KEYPOINTS)
    record = DatasetRecord(
        name=name,
        digest=content_digest(whole, frame, content),
        size=read_shard(whole, "pixels", 0).shape[1],
        eyes=len(frame),
        regions="regions" in kinds,
        split_by=split_by,
        recipe=dict(recipe),
        code_version={
            "preprocessing": VERSION,
            "opencv": cv2.__version__,
            "numpy": np.__version__,
        },
        counts={
            "kept": len(frame),
            "rejected": dict(Counter(rejected["reason"])),
            "splits": {
                split: {sex: int(splits.get((split, sex), 0)) for sex in SEXES} for split in SPLITS
            },
        },
        channel_mean=mean.tolist(),
        channel_std=std.tolist(),
        channel_eyes=len(train),
        files=describe_files(whole, frame, kinds),
    )
    write_dataset_json(whole, record)


def _without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before texts such as ``=1+1``, which spreadsheets would compute.

    Details hold what other people wrote into their tables.

    Source:
        OWASP, CSV Injection.
    """
    return table.replace(r"^(?=[=+\-@\t\r])", "'", regex=True)
