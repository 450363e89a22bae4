"""The eyes of one or several dataset folders, read from memory-mapped pixels."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import Dataset

from fundus_ml.data.balance import balance_weights
from fundus_ml.data.channels import (
    ChannelStatistics,
    channel_statistics,
    pooled_statistics,
    recorded_statistics,
)
from fundus_ml.data.contrasts import SEX_CONTRAST, Answers, Contrast
from fundus_ml.data.linkage import Linkage
from fundus_ml.data.manifest import SEXES, SPLITS
from fundus_ml.data.options import factors_of
from fundus_ml.data.record import DatasetRecord, crop_of
from fundus_ml.data.shards import read_shard
from fundus_ml.errors import InputError
from fundus_ml.imaging.options import CropOptions
from fundus_ml.imaging.pictures import to_images

_USUAL = "sex,source"
"""What a folder of an older version, which does not say it, balances."""


class FundusDataset(Dataset[tuple[Tensor, float]]):
    """Eyes by row, their pixels left on disk until asked for.

    Made by :func:`fundus_ml.data.opening.open_dataset`; pickles small, so that loader workers map
    the files themselves.

    Attributes:
        frame: Manifest rows, in order, with a fresh index.
        paths: The dataset folders.
        name: Their sources, joined by ``+``.
        digest: Version of the whole content, also after :meth:`select` and :meth:`split`.
        size: Side of the squares in pixels.
        split_by: ``person``, or ``file`` where a member was split so to show leakage.
        linkage: Who stands in several folders of a composite; None where there is one folder.
        contrast: The question whose answers are the labels.
        left_out: Eyes that do not answer it, by reason; they are not in ``frame``.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        folder: NDArray[np.intp],
        records: Mapping[Path, DatasetRecord],
        linkage: Linkage | None = None,
    ) -> None:
        members = list(records.values())
        self.frame = frame
        self.paths = tuple(records)
        self.name = "+".join(record["name"] for record in members)
        self.digest = members[0]["digest"] if linkage is None else linkage.digest
        self.size = members[0]["size"]
        self.linkage = linkage
        self.split_by = split_by_of(records)
        self.contrast = SEX_CONTRAST
        self.left_out: Mapping[str, int] = {}
        self._records = records
        self._folder = folder
        self._has_regions = all(record["regions"] for record in members)
        self._mapped: dict[tuple[str, int, int], NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        """Count the eyes."""
        return len(self.frame)

    def __getitem__(self, index: int) -> tuple[Tensor, float]:
        """Return eye ``index`` as ``(3, H, W)`` uint8 with its label."""
        pixels = torch.from_numpy(self.pixels([index])[0])
        return pixels.permute(2, 0, 1).contiguous(), float(self.frame["label"].iloc[index])

    def __getstate__(self) -> dict[str, object]:
        """Leave the mapped files behind, which would be copied whole."""
        return self.__dict__ | {"_mapped": {}}

    @property
    def labels(self) -> NDArray[np.float32]:
        """``(len(self),)`` float32, the place of each eye's class in ``contrast.classes``."""
        return self.frame["label"].to_numpy(np.float32)

    @property
    def channel_mean(self) -> tuple[float, ...]:
        """Red, green, blue over the training eyes, of pixels in [0, 1]."""
        return self._channels[0]

    @property
    def channel_std(self) -> tuple[float, ...]:
        """Standard deviation of the channels over the training eyes."""
        return self._channels[1]

    @property
    def same_training(self) -> frozenset[str]:
        """Digests of the versions whose training eyes are training eyes here too.

        This one's, and those of the folders none of whose training eyes is held out here.
        """
        moved = () if self.linkage is None else self.linkage.moved_from_train
        digests = (record["digest"] for record in self._records.values())
        return frozenset({self.digest} | {d for at, d in enumerate(digests) if at not in moved})

    @property
    def digests(self) -> frozenset[str]:
        """Digests of the whole and of each folder."""
        return frozenset({self.digest, *(record["digest"] for record in self._records.values())})

    @property
    def crop(self) -> CropOptions:
        """How its eyes were cut out of their photographs; of several folders, the first's."""
        return crop_of(next(iter(self._records.values())))

    def by_folder(self) -> Iterator[tuple[Path, DatasetRecord, pd.DataFrame]]:
        """Yield each folder, what it says of itself, and those of its eyes that are left here."""
        for place, (path, record) in enumerate(self._records.items()):
            yield path, record, self.frame[self._folder == place]

    def select(self, rows: ArrayLike) -> Self:
        """Keep the eyes at ``rows``: positions in the order wanted, or a boolean mask."""
        kept = self._positions(rows)
        return self._with(self.frame.iloc[kept].reset_index(drop=True), self._folder[kept])

    def split(self, name: str) -> Self:
        """Keep the eyes of one split.

        Raises:
            InputError: No split is called so, or no eye is in it.
        """
        if name not in SPLITS:
            raise InputError(f"split={name}: allowed: {', '.join(SPLITS)}")
        mask = self.frame["split"].eq(name).to_numpy()
        if not mask.any():
            raise InputError(f"split={name}: no eye of {self.name} is in it")
        return self.select(mask)

    def relabelled(self, labels: ArrayLike) -> Self:
        """Give every eye another label, ``(len(self),)`` of 0 and 1; about sex, the sex with it.

        The weights balance the given labels where they balanced the true ones. Pixels, splits,
        statistics and digest stay those of the truth.
        """
        given = np.asarray(labels, np.int64)
        frame = self.frame.assign(label=given)
        if self.contrast == SEX_CONTRAST:
            frame["sex"] = np.asarray(SEXES)[given]
        return self._with(self._weighed(frame, self.contrast), self._folder)

    def answering(self, answers: Answers) -> Self:
        """Keep the eyes that answer a question, with their answers as labels.

        Their weights balance the two classes, in place of the sexes, and what else the folders
        balance, but for ages where age is asked; pixels, splits, statistics and digest stay those
        of all eyes.

        Args:
            answers: Answers to the contrast, one per row of this dataset's ``frame``.
        """
        kept = self.select(answers.label.notna().to_numpy())
        label = answers.label.dropna().to_numpy(np.int64)
        frame = self._weighed(kept.frame.assign(label=label), answers.contrast)
        asked = kept._with(frame, kept._folder)  # noqa: SLF001 (its own kind)
        asked.contrast, asked.left_out = answers.contrast, answers.left_out
        return asked

    def _weighed(self, frame: pd.DataFrame, contrast: Contrast) -> pd.DataFrame:
        """Weigh eyes by their labels, in place of the sex, which only some folders balance."""
        factors = common_factors(self._records)
        if contrast != SEX_CONTRAST:
            factors = ["sex", *(name for name in factors if name != "sex")]
        labelled = frame.assign(sex=frame["label"])
        weight = balance_weights(labelled, by=factors, of_age=contrast.of_age)
        return frame.assign(weight=weight)

    def _with(self, frame: pd.DataFrame, folder: NDArray[np.intp]) -> Self:
        """The same dataset with other rows."""
        changed = copy.copy(self)
        changed.frame, changed._folder, changed._mapped = frame, folder, {}  # noqa: SLF001
        return changed

    def pixels(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """Read the eyes at ``indices``, as :meth:`select` takes, as ``(n, H, W, 3)`` uint8 RGB."""
        return self._gather("pixels", indices, (self.size, self.size, 3))

    def read(self, indices: ArrayLike) -> NDArray[Any]:
        """Read what a batch is made of: :meth:`pixels`."""
        return self.pixels(indices)

    def as_batch(self, read: NDArray[Any], device: torch.device | str) -> Tensor:
        """Turn what :meth:`read` gave into the images of a batch."""
        return to_images(read, device)

    def regions(self, indices: ArrayLike) -> NDArray[np.uint8] | None:
        """Read the ``(n, H, W)`` uint8 region maps, or None where any folder lacks them."""
        if not self._has_regions:
            return None
        return self._gather("regions", indices, (self.size, self.size))

    def release(self) -> None:
        """Let go of the shards mapped so far, so that a pass over many does not hold them all."""
        self._mapped.clear()

    @cached_property
    def _channels(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        recorded = [recorded_statistics(record) for record in self._records.values()]
        if self.linkage is None:
            return pooled_statistics(recorded)
        held_out = [
            ChannelStatistics(-len(eyes), *channel_statistics(self.paths[cast("int", at)], eyes))
            for at, eyes in self.linkage.left_train.groupby("folder")
        ]
        left = sum(part.eyes for part in [*recorded, *held_out])
        return pooled_statistics([*recorded, *held_out] if left else recorded)

    def _positions(self, rows: ArrayLike) -> NDArray[np.intp]:
        chosen = np.asarray(rows)
        # NumPy takes an empty list for floats, which are no index.
        kept = np.arange(len(self))[chosen if chosen.size else chosen.astype(np.intp)]
        return np.asarray(kept, np.intp)

    def _gather(self, kind: str, indices: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        chosen = self._positions(indices)
        folder = self._folder[chosen]
        shard = self.frame["shard"].to_numpy()[chosen]
        row = self.frame["row"].to_numpy()[chosen]
        gathered = np.empty((len(chosen), *shape), np.uint8)
        order = np.lexsort((row, shard, folder))
        edges = np.flatnonzero(np.diff(folder[order]) | np.diff(shard[order])) + 1
        for places in np.split(order, edges):
            if len(places):
                squares = self._squares(kind, int(folder[places[0]]), int(shard[places[0]]))
                gathered[places] = squares[row[places]]
        return gathered

    def _squares(self, kind: str, folder: int, shard: int) -> NDArray[np.uint8]:
        key = (kind, folder, shard)
        if key not in self._mapped:
            self._mapped[key] = read_shard(self.paths[folder], kind, shard)
        return self._mapped[key]


def batches(
    dataset: FundusDataset,
    batch_size: int,
    *,
    generator: torch.Generator | None = None,
    drop_last: bool = False,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[Tensor, Tensor]]:
    """Go once through ``dataset``, straight from the mapped pixels.

    Args:
        dataset: Eyes to go through.
        batch_size: Eyes per batch.
        generator: Shuffles the eyes; without one they come in their order.
        drop_last: Leave out a last batch that is not full.
        device: Where the tensors go, as 8-bit pixels, to be widened there.

    Yields:
        ``(n, 3, H, W)`` float32 in [0, 1], channels-last in memory, and ``(n,)`` float32 labels.

    Raises:
        InputError: ``batch_size`` is below 1.
    """
    if batch_size < 1:
        raise InputError(f"batch_size={batch_size}: must be at least 1")
    labels = torch.from_numpy(dataset.labels)
    count = len(dataset)
    order = torch.arange(count) if generator is None else torch.randperm(count, generator=generator)
    parts = (
        r for r in torch.split(order, batch_size) if len(r) >= (batch_size if drop_last else 1)
    )
    for rows, images in read_batches(dataset, parts, device=device):
        yield images, labels[rows].to(device)


def read_batches(
    dataset: FundusDataset, parts: Iterable[Tensor], *, device: torch.device | str = "cpu"
) -> Iterator[tuple[Tensor, Tensor]]:
    """Read batch after batch, the next one while the one before is being used.

    Args:
        dataset: Eyes to read.
        parts: ``(n,)`` rows of each batch.
        device: Where the pixels go, 8 bits each, to be widened there.

    Yields:
        The rows, and ``(n, 3, H, W)`` float32 in [0, 1], channels-last in memory.
    """
    reading: Future[NDArray[Any]] | None = None
    before: Tensor | None = None
    with ThreadPoolExecutor(1) as reader:
        for rows in parts:
            following = reader.submit(dataset.read, rows.numpy())
            if reading is not None and before is not None:
                yield before, dataset.as_batch(reading.result(), device)
            reading, before = following, rows
        if reading is not None and before is not None:
            yield before, dataset.as_batch(reading.result(), device)


def common_factors(records: Mapping[Path, DatasetRecord]) -> list[str]:
    """List what every folder balances, which a composite, having more sources, does anew."""
    said = [factors_of(str(each["recipe"].get("balance", _USUAL))) for each in records.values()]
    return [name for name in said[0] if all(name in others for others in said)]


def split_by_of(records: Mapping[Path, DatasetRecord]) -> str:
    """``file`` where any member tears people apart."""
    return "file" if any(record["split_by"] == "file" for record in records.values()) else "person"
