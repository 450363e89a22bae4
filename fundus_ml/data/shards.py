"""Rows of equal shape on disk, in plain NumPy files that are memory-mapped to be read."""

import math
import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

import numpy as np
from numpy.lib.format import open_memmap, write_array_header_1_0
from numpy.typing import NDArray

from fundus_ml.errors import InputError

SHARD_EYES = 2048
"""Rows per shard; the last one holds what is left."""
READ_AT_ONCE = 64
"""Eyes held in memory while a shard is read through; changes no result."""


class ShardWriter:
    """Appends rows to ``<kind>-00000.npy``, ``<kind>-00001.npy`` … as they come.

    Rows go straight to the file; the header is written again with the true count when a shard is
    full, so that neither the memory nor the count of eyes has to be known beforehand. A writer that
    was killed goes on after the last row it is known to have written.

    Args:
        folder: Where the shards go.
        kind: Such as ``pixels`` or ``regions``.
        shape: Shape of one row, such as ``(size, size, 3)``.
        shard_eyes: Rows per shard.
        written: Rows that lie there already and stay; what follows them is cut off.
    """

    def __init__(
        self,
        folder: Path,
        kind: str,
        shape: tuple[int, ...],
        *,
        shard_eyes: int = SHARD_EYES,
        written: int = 0,
    ) -> None:
        self.written = written
        self._folder, self._kind, self._shape = folder, kind, shape
        self._shard_eyes = shard_eyes
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Begin with no shard, or after the rows that stay."""
        if self.written:
            shard, last = divmod(self.written - 1, self._shard_eyes)
            self._file = shard_path(self._folder, self._kind, shard).open("r+b")
            self._write_header(self._file, 0)
            self._file.seek((last + 1) * math.prod(self._shape), os.SEEK_CUR)
            self._file.truncate()
        return self

    def __exit__(
        self,
        exception: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the last shard."""
        self._finish()

    def append(self, square: NDArray[np.uint8]) -> tuple[int, int]:
        """Write one row and say where it lies, as (shard, row)."""
        assert square.shape == self._shape, (square.shape, self._shape)
        assert square.dtype == np.uint8
        shard, row = divmod(self.written, self._shard_eyes)
        if row == 0:
            self._finish()
            self._file = shard_path(self._folder, self._kind, shard).open("wb")
            self._write_header(self._file, 0)
        assert self._file is not None
        self._file.write(square.tobytes())
        self.written += 1
        return shard, row

    def flush(self) -> None:
        """Hand everything appended to the operating system, where a killed process leaves it."""
        if self._file is not None:
            self._file.flush()

    def _finish(self) -> None:
        if self._file is None:
            return
        rows = (self.written - 1) % self._shard_eyes + 1
        self._file.seek(0)
        self._write_header(self._file, rows)
        self._file.close()
        self._file = None

    def _write_header(self, file: IO[bytes], rows: int) -> None:
        # NumPy pads the header so that the first axis can grow in place.
        layout = {"descr": "|u1", "fortran_order": False, "shape": (rows, *self._shape)}
        write_array_header_1_0(file, layout)


def shard_path(folder: Path, kind: str, shard: int) -> Path:
    """File of one shard of ``pixels`` or ``regions``."""
    return folder / f"{kind}-{shard:05d}.npy"


def read_shard(folder: Path, kind: str, shard: int) -> NDArray[np.uint8]:
    """Map one shard read-only.

    Returns:
        ``(n, size, size, 3)`` uint8 of pixels or ``(n, size, size)`` of regions.

    Raises:
        InputError: The file is missing, cut short or no array of bytes.
    """
    path = shard_path(folder, kind, shard)
    try:
        mapped = open_memmap(path, mode="r")
    except FileNotFoundError:
        raise InputError(f"{folder}: {path.name} is missing; run preprocess again") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not a whole shard: {error}; run preprocess again") from None
    if mapped.dtype != np.uint8:
        raise InputError(f"{path}: holds {mapped.dtype}, must be uint8; run preprocess again")
    return cast("NDArray[np.uint8]", mapped)


def copy_rows(
    source: Path, to: Path, kind: str, rows: NDArray[np.intp], *, source_eyes: int | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Copy chosen rows of shards into shards of another folder, one row in memory at a time.

    Args:
        source: Folder of shards of ``source_eyes`` rows each.
        to: Folder that has none of this kind yet.
        kind: Such as ``pixels``.
        rows: Which, counted over all shards; they are written in this order.
        source_eyes: Rows per shard of ``source``; :data:`SHARD_EYES` when omitted.

    Returns:
        Shard and row of each in ``to``.
    """
    places: list[tuple[int, int]] = []
    source_eyes = source_eyes or SHARD_EYES
    shards = rows // source_eyes
    with ExitStack() as stack:
        writer: ShardWriter | None = None
        for part in np.split(rows, np.flatnonzero(np.diff(shards)) + 1):
            if not len(part):
                break
            squares = read_shard(source, kind, int(part[0]) // source_eyes)
            if writer is None:
                writer = stack.enter_context(ShardWriter(to, kind, squares.shape[1:]))
            places.extend(writer.append(squares[row]) for row in part % source_eyes)
    shards, new_rows = np.array(places, np.intp).reshape(-1, 2).T
    return shards, new_rows
