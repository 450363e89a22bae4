"""Channel mean and standard deviation over the eyes of a dataset folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.data.record import DatasetRecord
from fundus_ml.data.shards import READ_AT_ONCE, read_shard


class ChannelStatistics(NamedTuple):
    """Channel mean and standard deviation over some eyes.

    Attributes:
        eyes: How many; below 0 where :func:`pooled_statistics` takes them out again.
        mean: ``(3,)``, pixels in [0, 1].
        std: ``(3,)``.
    """

    eyes: int
    mean: NDArray[np.float64]
    std: NDArray[np.float64]


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
    parts: Sequence[ChannelStatistics],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Channel mean and standard deviation over the eyes of several parts together.

    A part of ``-n`` eyes takes out ``n`` eyes that another part holds.
    """
    share = np.array([part.eyes for part in parts], np.float64)[:, None]
    share /= share.sum()
    means = np.array([part.mean for part in parts])
    mean = (share * means).sum(axis=0)
    spread = np.array([part.std for part in parts]) ** 2 + (means - mean) ** 2
    std = np.sqrt(np.maximum(0.0, (share * spread).sum(axis=0)))
    return tuple(mean.tolist()), tuple(std.tolist())


def recorded_statistics(record: DatasetRecord) -> ChannelStatistics:
    """Channel statistics of a folder's training eyes, as its record has them."""
    return ChannelStatistics(
        record["channel_eyes"], np.array(record["channel_mean"]), np.array(record["channel_std"])
    )
