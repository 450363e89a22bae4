"""Every photograph of a release read once, in order, by a process that may be killed."""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from fundus_ml.data.photographs import Load, Photographs
from fundus_ml.data.record import KEYPOINTS
from fundus_ml.data.shards import ShardWriter
from fundus_ml.errors import Refused
from fundus_ml.imaging.cropping import CroppedEye, crop_eye
from fundus_ml.imaging.keypoints import FEATURE_SHAPE
from fundus_ml.imaging.options import CropOptions
from fundus_ml.parallel import in_order

_JOURNAL = "journal.jsonl"
KEYPOINTS_SHARD = 2**40
"""Rows per shard of keypoints while they grow: all lie in one."""


class _Entry(TypedDict, total=False):
    """A line of the journal: what was measured and stored, or why it was refused."""

    measured: dict[str, object]
    kinds: list[str]
    refused: tuple[str, str]


@dataclass
class EyesRead:
    """What was read so far.

    Attributes:
        rows: Offered and measured columns of every eye cropped, in order; its pixels are that row
            of the shards.
        refused: ``image_id``, reason, detail of the others.
        kinds: What the shards hold: ``pixels``, perhaps ``regions`` and ``keypoints``.
        resumed: Photographs that an earlier, killed process had read.
    """

    rows: list[dict[str, object]] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    resumed: int = 0

    def add(self, offered: Mapping[str, object], entry: _Entry) -> None:
        """Take what the journal says of one photograph."""
        if "refused" in entry:
            self.refused.append((str(offered["image_id"]), *entry["refused"]))
        else:
            self.rows.append({**offered, **entry["measured"]})
            self.kinds |= set(entry["kinds"])


def read_eyes(
    photographs: Photographs,
    folder: Path,
    options: CropOptions,
    *,
    drawn: Callable[[Mapping[str, object]], Mapping[str, Path]] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> EyesRead:
    """Crop every photograph and store the squares, going on where a killed process stopped.

    A photograph counts as read when its line stands in the journal; its square is handed to the
    operating system before that, and what a killed process wrote beyond the journal is cut off.

    Args:
        photographs: The release.
        folder: Where the shards and the journal grow; kept between tries of the same release and
            options.
        options: How to crop.
        drawn: Gives the masks of a row's photograph, by part; no regions are looked for without.
        on_progress: Called with (photographs done, photographs in all).
    """
    offered = [
        {str(name): value for name, value in row.items()}
        for row in photographs.table.to_dict("records")
    ]
    journal = folder / _JOURNAL
    read = EyesRead()
    for entry in _whole_lines(journal):
        read.add(offered[read.resumed], entry)
        read.resumed += 1
    crop = partial(_crop, load=photographs.load, options=options.plain(), drawn=drawn)
    with _Store(folder, journal, options.size, written=len(read.rows)) as store:
        for done, (row, eye) in enumerate(
            zip(offered[read.resumed :], in_order(crop, offered[read.resumed :]), strict=True),
            start=read.resumed + 1,
        ):
            read.add(row, store.add(eye))
            if on_progress is not None:
                on_progress(done, len(offered))
    return read


def _crop(
    row: dict[str, object],
    *,
    load: Load,
    options: CropOptions,
    drawn: Callable[[Mapping[str, object]], Mapping[str, Path]] | None,
) -> CroppedEye | Refused:
    """Crop the photograph of one row of a release's table."""
    masks = None if drawn is None else drawn(row)
    return crop_eye(partial(load, row), options, flags=str(row["flags"] or ""), drawn=masks)


def read_keypoints(folder: Path) -> NDArray[np.uint8]:
    """Map the keypoints of all eyes read, ``(n, *FEATURE_SHAPE)`` uint8."""
    mapped: NDArray[np.uint8] = np.load(folder / f"{KEYPOINTS}-00000.npy", mmap_mode="r")
    return mapped


class _Store:
    """Shards of every kind and the journal, written in step."""

    def __init__(self, folder: Path, journal: Path, size: int, *, written: int) -> None:
        self._writers = {
            "pixels": ShardWriter(folder, "pixels", (size, size, 3), written=written),
            "regions": ShardWriter(folder, "regions", (size, size)),
            KEYPOINTS: ShardWriter(folder, KEYPOINTS, FEATURE_SHAPE, shard_eyes=KEYPOINTS_SHARD),
        }
        self._folder, self._journal_path, self._written = folder, journal, written

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for kind, writer in self._writers.items():
                if (self._folder / f"{kind}-00000.npy").is_file():
                    writer.written = self._written
                stack.enter_context(writer)
            self._journal: IO[str] = stack.enter_context(
                self._journal_path.open("a", encoding="utf-8")
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, eye: CroppedEye | Refused) -> _Entry:
        if isinstance(eye, Refused):
            entry = _Entry(refused=(eye.reason, eye.detail))
        else:
            squares = {"pixels": eye.pixels, "regions": eye.regions, KEYPOINTS: eye.keypoints}
            kinds = [kind for kind, square in squares.items() if square is not None]
            for kind in kinds:
                self._writers[kind].append(np.asarray(squares[kind], np.uint8))
                self._writers[kind].flush()
            entry = _Entry(measured=eye.measured, kinds=kinds)
        self._journal.write(json.dumps(entry) + "\n")
        self._journal.flush()
        return entry


def _whole_lines(journal: Path) -> list[_Entry]:
    """Entries of a journal; a last line that was cut by the kill is removed from the file."""
    if not journal.is_file():
        return []
    content = journal.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with journal.open("r+b") as file:
            file.truncate(len(whole))
    return [json.loads(line) for line in whole.splitlines()]
