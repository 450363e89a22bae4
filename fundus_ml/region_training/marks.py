"""Photographs whose optic disc and fovea people have marked, read from a folder."""

import hashlib
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.structures import Ellipse, Landmark

TABLE = "anatomy.csv"
PICTURES = "images"
BOX = ("disc_cx", "disc_cy", "disc_w", "disc_h")
FOVEA = ("fovea_cx", "fovea_cy")
PARTS = {"train": 48, "val": 60, "test": 100}
"""Upper ends, in hundredths, of the shares of each part."""


@dataclass(frozen=True)
class MarkedEye:
    """One photograph and its marks, as fractions of its frame's width and height.

    Attributes:
        path: The photograph.
        box: Centre, width and height of the box around the disc, or None where it is not marked.
        fovea: Its place, or None.
        source: Release it comes from.
    """

    path: Path
    box: tuple[float, float, float, float] | None
    fovea: tuple[float, float] | None
    source: str

    @property
    def part(self) -> str:
        """``train``, ``val`` or ``test``: 48, 12 and 40 of 100, by a digest of the file's name."""
        place = int(hashlib.sha256(self.path.name.encode()).hexdigest(), 16) % 100
        return next(name for name, end in PARTS.items() if place < end)

    def disc(self, height: int, width: int) -> Ellipse | None:
        """Inscribe the disc into its box, in pixels of an ``(H, W)`` photograph."""
        if self.box is None:
            return None
        x, y, wide, high = self.box
        return Ellipse(
            x=x * width - 0.5, y=y * height - 0.5, width=wide * width, height=high * height
        )

    def fovea_at(self, height: int, width: int) -> Landmark | None:
        """Where the fovea lies, in pixels of an ``(H, W)`` photograph."""
        if self.fovea is None:
            return None
        return Landmark(x=self.fovea[0] * width - 0.5, y=self.fovea[1] * height - 0.5)


def part_of(eye: MarkedEye, sources: Sequence[str]) -> str:
    """The part of a photograph where only some releases are learned from."""
    return "test" if sources and eye.source not in sources else eye.part


def read_marks(folder: Path) -> list[MarkedEye]:
    """Read ``anatomy.csv`` of a folder and check it.

    Args:
        folder: Holds the table and ``images/``. Columns: ``image`` (a file of ``images/``),
            ``disc_cx disc_cy disc_w disc_h fovea_cx fovea_cy`` (fractions of the frame; empty
            where a part is not marked), and, if wanted, ``source``.

    Returns:
        The eyes in the order of the table.

    Raises:
        InputError: The table, a column, a photograph or a value is missing or out of range.
    """
    table = folder / TABLE
    if not table.is_file():
        raise InputError(f"marks={folder}: has no {TABLE}")
    try:
        rows = pd.read_csv(table, dtype={"image": str, "source": str})
    except (ValueError, OSError) as error:
        raise InputError(f"marks={folder}: {TABLE} cannot be read ({error})") from error
    missing = [name for name in ("image", *BOX, *FOVEA) if name not in rows]
    if missing:
        raise InputError(f"marks={folder}: {TABLE} lacks the column {missing[0]}")
    if rows.empty:
        raise InputError(f"marks={folder}: {TABLE} has no rows")
    rows["source"] = rows["source"].fillna("") if "source" in rows else ""
    return [_eye(folder, row) for row in rows.to_dict("records")]


def _eye(folder: Path, row: Mapping[Hashable, object]) -> MarkedEye:
    name = str(row["image"])
    path = folder / PICTURES / name
    if not path.is_file():
        raise InputError(f"marks={folder}: {PICTURES}/{name} is missing")
    box, fovea = (_marked(folder, name, row, columns) for columns in (BOX, FOVEA))
    if box is not None and min(box[2:]) <= 0:
        raise InputError(f"marks={folder}: {name} has disc_w={box[2]}, disc_h={box[3]}; both must "
                         "be above 0")  # fmt: skip
    source = str(row["source"])
    return MarkedEye(path, box, fovea, source)  # type: ignore[arg-type]


def _marked(
    folder: Path, name: str, row: Mapping[Hashable, object], columns: tuple[str, ...]
) -> tuple[float, ...] | None:
    """The values of a part: all of them, or None where all are empty."""
    values = []
    for column in columns:
        try:
            values.append(float(str(row[column])))
        except ValueError:
            raise InputError(
                f"marks={folder}: {name} has {column}={row[column]}; allowed: a fraction of the "
                "frame, or nothing"
            ) from None
    if all(math.isnan(value) for value in values):
        return None
    for column, value in zip(columns, values, strict=True):
        if not 0 <= value <= 1:
            raise InputError(
                f"marks={folder}: {name} has {column}={value}; allowed: a fraction of the frame, "
                "0 to 1, or nothing for the whole part"
            )
    return tuple(values)
