"""Cohorts large enough to be audited: drawn tables with the pixels their cameras would leave."""

import numpy as np
import pandas as pd

from fundus_ml.data.channels import channel_statistics
from fundus_ml.data.manifest import SEXES, write_manifest
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.record import MANIFEST, DatasetRecord
from fundus_ml.data.shards import ShardWriter
from fundus_ml.data.splits import assign_splits
from tests.fundus_ml.tiny_eyes import make_manifest, write_record

SIDE = 16
WIDTHS = {"old": 30, "new": 36, "far": 44, "hand": 52}
TINTS = {"old": (150, 80, 40), "new": (140, 90, 40), "far": (150, 80, 60), "hand": (130, 90, 50)}


def draw_cohort(people=160, *, tie="none", seed=0, source="drawn", male=0.5, strength=1.4):
    """Manifest rows of people with one or two eyes, age or camera tied to sex."""
    rng = np.random.default_rng([seed, people])
    is_male = rng.random(people) < male
    towards = np.where(is_male, strength, -strength)
    age = rng.normal(54, 14, people) + 6 * towards * (tie == "age")
    late = rng.random(people) < 0.5 + 0.22 * towards * (tie == "camera")
    camera = np.array(list(WIDTHS))[2 * late + rng.integers(0, 2, people)]
    order = np.argsort(is_male, kind="stable") if tie == "row order" else np.arange(people)
    person = np.repeat(order, np.where(rng.random(people) < 0.7, 2, 1)[order])
    count = len(person)
    width = np.array([WIDTHS[name] for name in camera])[person]
    frame = make_manifest(count, source=source, shard_eyes=count)
    return frame.assign(
        patient_id=[f"{source}/{one}" for one in person],
        person_group=[f"{source}/{one}" for one in person],
        sex=np.array(SEXES)[is_male.astype(int)][person],
        label=is_male.astype(int)[person],
        age=age.round().clip(18, 95)[person],
        camera=camera[person],
        width=width,
        fov_x=width / 2 + rng.normal(0, 0.5, count),
        quality=rng.uniform(0.3, 0.9, count),
        focus=rng.uniform(0.3, 0.9, count),
    )


def draw_pixels(frame, *, seed=0, tinted=True, frame_level=0):
    """One flat, noisy disc per eye in its camera's tint, on a surround of ``frame_level``."""
    rng = np.random.default_rng([seed, len(frame)])
    along = (2 * np.arange(SIDE) + 1 - SIDE) / SIDE
    inside = np.hypot(along[:, None], along) <= 1
    tints = np.array([TINTS[name if tinted else "old"] for name in frame["camera"]])
    eyes = rng.normal(tints, 8)[:, None, None] + rng.normal(0, 5, (len(frame), SIDE, SIDE, 3))
    return np.where(inside[..., None], eyes, frame_level).clip(0, 255).astype(np.uint8)


def write_cohort(path, frame, pixels, **recipe):
    """Write rows and pixels as a dataset folder, split by person, and open it."""
    path.mkdir()
    frame = frame.assign(split=assign_splits(frame))
    with ShardWriter(path, "pixels", pixels.shape[1:], shard_eyes=len(frame)) as writer:
        for square in pixels:
            writer.append(square)
    frame = write_manifest(frame, path / MANIFEST)
    train = frame[frame["split"] == "train"]
    mean, std = channel_statistics(path, train)
    record = DatasetRecord(
        name=str(frame["source"].iloc[0]),
        digest="",
        size=SIDE,
        eyes=len(frame),
        regions=False,
        split_by="person",
        recipe=recipe,
        code_version={},
        counts={},
        channel_mean=mean.tolist(),
        channel_std=std.tolist(),
        channel_eyes=len(train),
    )
    write_record(path, record)
    return open_dataset(str(path))


def no_rejections():
    """An empty table of photographs not taken."""
    return pd.DataFrame(columns=["image_id", "reason", "detail"], dtype=str)
