"""The pictures of a modulation on disk: what is saved is what is measured."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import read_png, write_png
from fundus_ml.statistics.numerals import plain

ORIGINAL = "original.png"
"""Name of the unchanged eye, beside its modulations."""
LONGEST_STEM = 100
"""Letters of a name; file systems allow 255 bytes, and MLflow adds some 80 of its own."""


def write_pictures(
    pixels: NDArray[np.uint8],
    modulated: NDArray[np.uint8],
    image_ids: Sequence[str],
    eps: Sequence[float],
    folder: Path,
) -> list[list[Path]]:
    """Save each picture as :func:`picture_name` says, and each unchanged eye beside them.

    Returns:
        Paths of the modulations, ``[budget][eye]``.

    Raises:
        InputError: The disk is full, or the folder cannot be written.
    """
    paths = [[folder / picture_name(name, budget) for name in image_ids] for budget in eps]
    try:
        for name, eye in zip(image_ids, pixels, strict=True):
            write_png(eye, folder / file_stem(name) / ORIGINAL)
        for slab, row in zip(modulated, paths, strict=True):
            for picture, path in zip(slab, row, strict=True):
                write_png(picture, path)
    except OSError as error:
        raise InputError(f"pictures: cannot be written to {folder} ({error.strerror})") from error
    return paths


def read_pictures(paths: Sequence[Sequence[Path]]) -> NDArray[np.uint8]:
    """Read what :func:`write_pictures` wrote, as ``(E, N, H, W, 3)`` uint8."""
    return np.stack([np.stack([read_png(path) for path in row]) for row in paths])


def read_strongest(
    folder: Path,
) -> tuple[pd.DataFrame, NDArray[np.uint8], NDArray[np.uint8]]:
    """Read a finished modulation at its largest budget.

    Args:
        folder: Holds ``modulations.parquet`` and the pictures it names.

    Returns:
        One row per eye, the unchanged eyes, and the modulated ones, both ``(N, H, W, 3)`` uint8.
    """
    rows = pd.read_parquet(folder / "modulations.parquet")
    rows = rows[rows["eps"] == rows["eps"].max()].reset_index(drop=True)
    modulated = [folder / name for name in rows["picture"]]
    original = [path.parent / ORIGINAL for path in modulated]
    return rows, np.stack([*map(read_png, original)]), np.stack([*map(read_png, modulated)])


def picture_name(image_id: str, eps: float) -> str:
    """Where the picture of one eye at one budget lies below its folder."""
    return f"{file_stem(image_id)}/eps-{plain(eps)}.png"


def file_stem(image_id: str) -> str:
    """Name of a file or folder about one eye, in letters, digits, ``_``, ``.`` and ``-``.

    No two eyes share one: ``odir/0_left`` becomes ``odir_0_left``, and an ``image_id`` that is not
    as plain (``a/b/c``, ``a_b/c``, ``a/b (1)``) or long carries eight digits of its own digest.
    """
    name = re.sub(r"[^\w.-]", "_", image_id, flags=re.ASCII)
    plain = re.fullmatch(r"[a-zA-Z0-9]+/[\w.]+", image_id, flags=re.ASCII)
    if plain and len(name) <= LONGEST_STEM:
        return name
    return f"{name[:LONGEST_STEM]}-{hashlib.sha256(image_id.encode()).hexdigest()[:8]}"
