"""Eyes small enough for a test: manifest rows, dataset folders, a drawn field of view."""

from hashlib import sha256

import numpy as np
import pandas as pd

from fundus_ml.data.channels import channel_statistics
from fundus_ml.data.integrity import content_digest, describe_files
from fundus_ml.data.manifest import SEXES, read_manifest, write_manifest
from fundus_ml.data.record import MANIFEST, DatasetRecord, write_dataset_json
from fundus_ml.data.shards import ShardWriter

SIDE = 6


def make_manifest(count=7, *, source="tiny", shard_eyes=4):
    """Two eyes per person, everyone after the first four in train; rows fill shards in order."""
    people = np.arange(count) // 2
    splits = {0: "val", 1: "test"}
    return pd.DataFrame(
        {
            "image_id": [f"{source}/{eye}" for eye in range(count)],
            "source": source,
            "patient_id": [f"{source}/p{person}" for person in people],
            "person_group": [f"{source}/p{person}" for person in people],
            "eye": [("left", "right", "unknown")[eye % 3] for eye in range(count)],
            "sex": [SEXES[person % 2] for person in people],
            "label": people % 2,
            "age": np.where(people == 1, np.nan, 40.0 + people),
            "camera": "drawn",
            "healthy": True,
            "quality": 0.5,
            "focus": 0.5,
            "illumination": 0.5,
            "contrast": 0.5,
            "colour_cast": 0.1,
            "visible_area": 1.0,
            "width": 30,
            "height": 20,
            "sha256": [sha256(f"{source}/{eye}".encode()).hexdigest() for eye in range(count)],
            "fov_x": 14.5,
            "fov_y": 9.5,
            "fov_radius": 8.25,
            "fov_aspect": 1.0,
            "fov_cut": "",
            "fov_confidence": 1.0,
            "flags": "",
            "weight": 1.0,
            "shard": np.arange(count) // shard_eyes,
            "row": np.arange(count) % shard_eyes,
            "split": [splits.get(person, "train") for person in people],
        }
    )


def make_squares(count=7, *, seed=0):
    """Pixels ``(count, SIDE, SIDE, 3)`` and regions ``(count, SIDE, SIDE)`` of noise."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(256, size=(count, SIDE, SIDE, 3), dtype=np.uint8)
    return pixels, rng.integers(32, size=(count, SIDE, SIDE), dtype=np.uint8)


def write_folder(
    path,
    count=7,
    *,
    source="tiny",
    seed=0,
    with_regions=True,
    shard_eyes=4,
    frame=None,
    keypoints=None,
):
    """Write a whole dataset folder by hand; give back its pixels and regions."""
    path.mkdir()
    if frame is None:
        frame = make_manifest(count, source=source, shard_eyes=shard_eyes)
    pixels, regions = make_squares(len(frame), seed=seed)
    kinds = {"pixels": pixels} | ({"regions": regions} if with_regions else {})
    stored = kinds | ({} if keypoints is None else {"keypoints": keypoints})
    for kind, squares in stored.items():
        with ShardWriter(path, kind, squares.shape[1:], shard_eyes=shard_eyes) as writer:
            for square in squares:
                writer.append(square)
    write_manifest(frame, path / MANIFEST)
    train = frame[frame["split"] == "train"]
    mean, std = channel_statistics(path, train)
    record = DatasetRecord(
        name=source,
        digest="",
        size=SIDE,
        eyes=len(frame),
        regions=with_regions,
        split_by="person",
        recipe={"seed": seed},
        code_version={},
        counts={},
        channel_mean=mean.tolist(),
        channel_std=std.tolist(),
        channel_eyes=len(train),
    )
    write_record(path, record, kinds=tuple(kinds), described=keypoints is not None)
    return pixels, regions


def write_record(path, record, *, kinds=("pixels",), described=False):
    """Write ``dataset.json`` with the digest and the hashes of what lies in the folder."""
    frame = read_manifest(path / MANIFEST, split_by=record["split_by"])
    stored = ("keypoints", *kinds) if described else kinds
    digest = content_digest(path, frame, kinds)
    files = describe_files(path, frame, stored)
    write_dataset_json(path, {**record, "digest": digest, "files": files})


def draw_field(height, width, *, x, y, radius, aspect=1.0, colour=(180, 90, 40), surround=0):
    """A lit ellipse on a dark frame, its edge softened by averaging 2 x 2 samples per pixel."""
    rows, columns = np.mgrid[: 2 * height, : 2 * width] / 2 - 0.25
    inside = np.hypot((columns - x) / aspect, rows - y) <= radius
    share = inside.reshape(height, 2, width, 2).mean(axis=(1, 3))[..., None]
    return (surround + share * (np.array(colour) - surround)).round().astype(np.uint8)
