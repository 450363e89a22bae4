"""What a figure may be given: each check ends in one clear line."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import InputError


def check_columns(frame: pd.DataFrame, columns: Collection[str]) -> None:
    """Refuse a frame without rows or without one of ``columns``.

    Raises:
        InputError: Says which columns are missing.
    """
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(f"frame: columns missing: {', '.join(missing)}")
    if frame.empty:
        raise InputError("frame: empty, at least one row is needed")


def check_pictures(name: str, pictures: NDArray[np.uint8]) -> None:
    """Refuse anything but one or more uint8 RGB pictures.

    Raises:
        InputError: ``pictures`` is not uint8 ``(n, H, W, 3)`` with n of 1 or more.
    """
    shape = pictures.shape
    if pictures.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or shape[0] == 0:  # noqa: PLR2004 (n, H, W, 3)
        raise InputError(f"{name}: must be uint8 (n, H, W, 3), not {pictures.dtype} {shape}")


def check_same_length(count: int, **sequences: Sequence[object] | NDArray[np.uint8]) -> None:
    """Refuse sequences that do not hold ``count`` entries.

    Raises:
        InputError: Names the first one and its length.
    """
    for name, sequence in sequences.items():
        if len(sequence) != count:
            raise InputError(f"{name}: {len(sequence)} given for {count} pictures")
