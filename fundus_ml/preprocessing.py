"""Photographs to a dataset folder: read, find the eye, crop, split, store."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray

from fundus_ml.dataset_folder import (
    MANIFEST,
    REJECTED,
    DatasetRecord,
    ShardWriter,
    channel_statistics,
    content_digest,
    read_shard,
    shard_path,
    staged,
    write_dataset_json,
)
from fundus_ml.errors import InputError
from fundus_ml.imaging.field_of_view import (
    NoFieldOfView,
    crop_to_field_of_view,
    find_field_of_view,
)
from fundus_ml.imaging.opencv import cv2
from fundus_ml.manifest import MANIFEST_COLUMNS, SEXES, SPLITS, validate_manifest, write_manifest
from fundus_ml.sources.files import rejected_rows
from fundus_ml.sources.photographs import OFFERED_COLUMNS, Photograph, Photographs
from fundus_ml.splits import assign_splits, check_fractions

VERSION = "1"
"""Changes when the same photographs would become other pixels."""
KINDS = ("pixels", "regions")
READ_TOGETHER = 8
"""Photographs a process reads before it hands them back; changes no result."""
UNREADABLE = "unreadable"


@dataclass(frozen=True, kw_only=True)
class Preprocessed:
    """What one preprocessing wrote.

    Attributes:
        path: The dataset folder.
        kept: Eyes in it.
        rejected: Eyes not taken, by reason.
        splits: Eyes by split.
    """

    path: Path
    kept: int
    rejected: Mapping[str, int]
    splits: Mapping[str, int]


class _Square(NamedTuple):
    pixels: NDArray[np.uint8]
    regions: NDArray[np.uint8] | None
    measured: dict[str, object]


class _Refusal(NamedTuple):
    reason: str
    detail: str


def preprocess(
    photographs: Photographs,
    out: Path,
    *,
    size: int,
    val_fraction: float = 0.15,
    test_fraction: float = 0.15,
    split_seed: int = 0,
    workers: int = 0,
    recipe: Mapping[str, object],
    on_progress: Callable[[int, int], None] | None = None,
) -> Preprocessed:
    """Turn a release into a dataset folder.

    Each photograph is read, its field of view found, cut and resized to a square in which it is
    round, and written to the shards in the order of the release's table. One that cannot be used is
    listed in ``rejected.csv`` with its reason. The content, and so the digest, does not depend on
    ``workers``.

    Args:
        photographs: The release.
        out: Dataset folder; appears when everything is written, and replaces an older one only
            then.
        size: Side of the squares in pixels.
        val_fraction: Share of the eyes of each sex in the validation split.
        test_fraction: Share in the test split.
        split_seed: Of the cut into splits.
        workers: Processes that read photographs; 0 is one per core.
        recipe: Everything that decided the content, kept in ``dataset.json``.
        on_progress: Called with (photographs done, photographs in all).

    Raises:
        InputError: ``size``, ``workers`` or a fraction is out of range, no eye is left, or ``out``
            cannot be written.
    """
    if size < 1:
        raise InputError(f"size={size}: must be at least 1 pixel")
    if workers < 0:
        raise InputError(f"workers={workers}: must be 0 (one per core) or more")
    check_fractions(val_fraction=val_fraction, test_fraction=test_fraction)
    with staged(out) as stage:
        rows, refused = _write_squares(photographs, stage, size, workers, on_progress)
        rejected = pd.concat([photographs.rejected, rejected_rows(refused)], ignore_index=True)
        if not rows:
            reasons = _counted(rejected["reason"]) or "the table offers none"
            raise InputError(f"source {photographs.name}: no eye is left ({reasons})")
        frame = _manifest(
            pd.DataFrame(rows),
            val_fraction=val_fraction,
            test_fraction=test_fraction,
            seed=split_seed,
        )
        write_manifest(frame, stage / MANIFEST)
        rejected.to_csv(stage / REJECTED, index=False)
        record = _record(stage, frame, rejected, name=photographs.name, recipe=recipe)
        write_dataset_json(stage, record)
    return Preprocessed(
        path=out,
        kept=len(frame),
        rejected=dict(Counter(rejected["reason"])),
        splits={split: int((frame["split"] == split).sum()) for split in SPLITS},
    )


def _write_squares(
    photographs: Photographs,
    stage: Path,
    size: int,
    workers: int,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[list[dict[str, object]], list[tuple[str, str, str]]]:
    offered = [
        {str(name): value for name, value in row.items()}
        for row in photographs.table.to_dict("records")
    ]
    rows: list[dict[str, object]] = []
    refused: list[tuple[str, str, str]] = []
    with (
        ShardWriter(stage, "pixels", (size, size, 3)) as pixels,
        ShardWriter(stage, "regions", (size, size)) as regions,
    ):
        prepared = _prepare_all(photographs.load, offered, size, workers)
        for done, (row, square) in enumerate(zip(offered, prepared, strict=True), start=1):
            if isinstance(square, _Refusal):
                refused.append((str(row["image_id"]), *square))
            else:
                shard, place = pixels.append(square.pixels)
                if square.regions is not None:
                    regions.append(square.regions)
                rows.append(row | square.measured | {"shard": shard, "row": place})
            if on_progress is not None:
                on_progress(done, len(offered))
        assert regions.written in {0, pixels.written}, "a release maps all its eyes or none"
    return rows, refused


def _prepare_all(
    load: Callable[[dict[str, object]], Photograph],
    offered: list[dict[str, object]],
    size: int,
    workers: int,
) -> Iterator[_Square | _Refusal]:
    parallel = Parallel(n_jobs=workers or -1, return_as="generator", batch_size=READ_TOGETHER)
    prepared: Iterator[_Square | _Refusal] = parallel(
        delayed(_prepare)(load, row, size) for row in offered
    )
    return prepared


def _prepare(
    load: Callable[[dict[str, object]], Photograph], row: dict[str, object], size: int
) -> _Square | _Refusal:
    # Processes share the cores already.
    cv2.setNumThreads(1)
    try:
        photograph = load(row)
        field = find_field_of_view(photograph.image)
    except NoFieldOfView as error:
        return _Refusal(error.reason, error.detail)
    except InputError as error:
        return _Refusal(UNREADABLE, str(error))
    regions = photograph.regions
    height, width = photograph.image.shape[:2]
    return _Square(
        pixels=crop_to_field_of_view(photograph.image, field, size=size),
        regions=None
        if regions is None
        else crop_to_field_of_view(regions, field, size=size, interpolation="nearest"),
        measured={
            "width": width,
            "height": height,
            "sha256": _sha256(row, photograph),
            "fov_x": field.x,
            "fov_y": field.y,
            "fov_radius": field.radius,
            "fov_aspect": field.aspect,
        },
    )


def _sha256(row: Mapping[str, object], photograph: Photograph) -> str:
    """Fingerprint of the photograph's file, or of its pixels where it never was one."""
    if "path" in row:
        return hashlib.sha256(Path(str(row["path"])).read_bytes()).hexdigest()
    return hashlib.sha256(np.ascontiguousarray(photograph.image).data).hexdigest()


def _manifest(
    rows: pd.DataFrame, *, val_fraction: float, test_fraction: float, seed: int
) -> pd.DataFrame:
    """Manifest of the eyes kept; where a file lay is left behind, a source's own traits stay."""
    rows = rows.assign(
        person_group=rows["patient_id"],
        label=rows["sex"].map(SEXES.index),
        quality=float("nan"),
    )
    split = assign_splits(rows, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed)
    own = [
        name
        for name in rows
        if name not in MANIFEST_COLUMNS and name not in OFFERED_COLUMNS and name != "path"
    ]
    frame = rows.assign(split=split)[[*MANIFEST_COLUMNS, *own]]
    return validate_manifest(frame)


def _record(
    stage: Path,
    frame: pd.DataFrame,
    rejected: pd.DataFrame,
    *,
    name: str,
    recipe: Mapping[str, object],
) -> DatasetRecord:
    train = frame[frame["split"] == "train"]
    mean, std = channel_statistics(stage, train)
    splits = frame.groupby(["split", "sex"]).size()
    kinds = tuple(kind for kind in KINDS if shard_path(stage, kind, 0).is_file())
    return DatasetRecord(
        name=name,
        digest=content_digest(stage, frame, kinds),
        size=read_shard(stage, "pixels", 0).shape[1],
        eyes=len(frame),
        regions="regions" in kinds,
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
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _counted(reasons: pd.Series) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in Counter(reasons).items())
