"""Small things to learn with: networks with known answers and a dataset folder of noise."""

from hashlib import sha256

import numpy as np
import pandas as pd
import torch
from torch import nn

from fundus_ml.data.channels import channel_statistics
from fundus_ml.data.manifest import MANIFEST_COLUMNS, SEXES, write_manifest
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.shards import ShardWriter
from tests.fundus_ml.tiny_eyes import write_record

SIZE = 12


class LinearNetwork(nn.Module):
    """One weight per pixel value: every gradient and every best attack has a closed form."""

    def __init__(self, height, width, *, seed=0, scale=1.0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(scale * torch.randn(3, height, width, generator=generator))
        self.bias = nn.Parameter(torch.tensor(0.1))

    def forward(self, images):
        return (images * self.weight).sum(dim=(1, 2, 3)) + self.bias


class SmallNetwork(nn.Module):
    """A convolution, BatchNorm and dropout: each thing an attack must leave as it was."""

    def __init__(self, *, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.convolution = nn.Conv2d(3, 8, 3, padding=1)
            self.norm = nn.BatchNorm2d(8)
            self.drop = nn.Dropout(0.3)
            self.head = nn.Linear(8, 1)

    def forward(self, images):
        features = torch.tanh(self.norm(self.convolution(images - 0.5)))
        return 4 * self.head(self.drop(features.mean(dim=(2, 3)))).squeeze(1)


def make_images(count=5, height=6, width=7, *, seed=0, low=0.0, high=1.0):
    """``(count, 3, height, width)`` channels-last pixels in [low, high]."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, height, width, generator=generator) * (high - low) + low
    return images.to(memory_format=torch.channels_last)


def is_channels_last(images):
    """Whether the three channels of a pixel lie side by side in memory."""
    return images.is_contiguous(memory_format=torch.channels_last)


def make_dataset(folder, *, people, signal=40.0, seed=0, name="tiny"):
    """Write and open a dataset whose male eyes are redder on their upper half.

    Args:
        folder: Where it goes; must not exist.
        people: How many of each split, for example ``{"train": 20, "val": 8}``; each has two eyes,
            and the sexes alternate.
        signal: Mean difference of the sexes in grey levels.
        seed: Seed of the noise.
        name: Stands before every id.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows = []
    with ShardWriter(folder, "pixels", (SIZE, SIZE, 3), shard_eyes=7) as writer:
        for split, count in people.items():
            for person in range(count):
                label = person % 2
                for eye in ("left", "right"):
                    square = rng.normal(110, 25, (SIZE, SIZE, 3))
                    square[: SIZE // 2, :, 0] += signal * (label - 0.5)
                    shard, row = writer.append(square.clip(0, 255).round().astype(np.uint8))
                    eye_of = f"{name}/{split}{person}"
                    rows.append(_eye(eye_of, split, eye=eye, label=label, shard=shard, row=row))
    frame = pd.DataFrame(rows)
    write_manifest(frame, folder / "manifest.parquet")
    mean, std = channel_statistics(folder, frame)
    write_record(
        folder,
        {
            "name": name, "digest": "", "size": SIZE, "eyes": len(frame), "regions": False,
            "split_by": "person",
            "recipe": {}, "code_version": {}, "counts": {}, "channel_mean": mean.tolist(),
            "channel_std": std.tolist(), "channel_eyes": len(frame),
        },
    )  # fmt: skip
    return open_dataset(str(folder))


def _eye(patient, split, *, eye, label, shard, row):
    image_id = f"{patient}_{eye}"
    return dict.fromkeys(MANIFEST_COLUMNS, 1.0) | {
        "image_id": image_id, "source": patient.partition("/")[0], "patient_id": patient,
        "person_group": patient, "eye": eye, "sex": SEXES[label], "label": label,
        "camera": "none", "healthy": True, "width": SIZE, "height": SIZE,
        "sha256": sha256(image_id.encode()).hexdigest(),
        "fov_cut": "", "flags": "",
        "shard": shard, "row": row, "split": split,
    }  # fmt: skip
