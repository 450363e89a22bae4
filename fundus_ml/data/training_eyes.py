"""Which eyes a network learned from or was chosen by: a table that goes with the network."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from fundus_ml.errors import InputError

LEARNED_SPLITS = ("train", "val")
"""Splits that a training learns from and chooses by."""
TRAINING_EYES_COLUMNS = ("image_id", "patient_id", "person_group", "sha256", "split")


def training_eyes(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep what is needed to recognise the eyes a training learned from or chose by.

    The test split is left out: nothing of a network depends on it, so its people are as new to the
    network as those of another dataset.

    Args:
        frame: Manifest rows.

    Returns:
        :data:`TRAINING_EYES_COLUMNS` of the rows of :data:`LEARNED_SPLITS`, with a fresh index.
    """
    learned = frame["split"].isin(LEARNED_SPLITS)
    return frame.loc[learned, list(TRAINING_EYES_COLUMNS)].reset_index(drop=True)


def write_training_eyes(eyes: pd.DataFrame, path: Path) -> None:
    """Write a table of :func:`training_eyes` as parquet."""
    eyes.to_parquet(path, index=False)


def read_training_eyes(path: Path) -> pd.DataFrame:
    """Read what :func:`write_training_eyes` wrote.

    Raises:
        InputError: The file is no parquet, or lacks a column.
    """
    try:
        eyes = pd.read_parquet(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path.name}: not a table of eyes: {str(error).splitlines()[0]}"
        ) from None
    missing = [name for name in TRAINING_EYES_COLUMNS if name not in eyes]
    if missing:
        raise InputError(f"{path.name}: lacks the column {', '.join(missing)}")
    return eyes[list(TRAINING_EYES_COLUMNS)]
