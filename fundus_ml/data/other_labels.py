"""Another real label of the same eyes, for networks that learn something, and not the question."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.data.manifest import EYES
from fundus_ml.data.options import OTHER_LABELS
from fundus_ml.errors import InputError

LEARNED = ("train", "val")
"""Splits whose labels are learned; the test split keeps the truth."""


def other_labels(frame: pd.DataFrame, labels: str) -> pd.Series:
    """Read another label of every eye.

    Args:
        frame: Manifest rows.
        labels: ``eye``: 1 for a right eye; ``age``: 1 above the median age of the training eyes;
            ``camera`` or ``source``: 1 for a group of cameras or sources that took about half of
            the training eyes.

    Returns:
        0, 1, or NaN where the eye has no such label.

    Raises:
        InputError: Not one of :data:`.options.OTHER_LABELS`.
    """
    train = frame["split"].eq("train")
    if labels == "eye":
        return frame["eye"].map({EYES[0]: 0.0, EYES[1]: 1.0}).astype(float)
    if labels == "age":
        older = frame["age"].gt(frame.loc[train, "age"].median())
        return older.astype(float).where(frame["age"].notna())
    if labels not in OTHER_LABELS:
        raise InputError(f"labels={labels}: allowed: {', '.join(OTHER_LABELS)}")
    values = frame[labels].replace("", np.nan)
    second = _half(values[train])
    return values.isin(second).astype(float).where(values.notna())


def balanced_rows(
    frame: pd.DataFrame, other: pd.Series, *, labels: str, seed: int
) -> NDArray[np.bool_]:
    """Choose the eyes to learn from, among whom the other label says nothing about the true one.

    Within each class of the question as many eyes of either other label stay, drawn by the seed, so
    that a network that reads the other label perfectly has an expected AUROC of 0.5 on the true
    one.

    Args:
        frame: Manifest rows with their true ``label``.
        other: As :func:`other_labels` returns it.
        labels: Its name.
        seed: Seed of the draw.

    Returns:
        ``(n,)`` which rows stay: those, and the whole test split.

    Raises:
        InputError: In a split no eye of a class has one of the two labels.
    """
    kept = ~frame["split"].isin(LEARNED).to_numpy()
    order = np.random.default_rng(seed).permutation(len(frame))
    for split in LEARNED:
        for label in (0, 1):
            mask = (frame["split"].eq(split) & frame["label"].eq(label)).to_numpy()
            either = [order[mask[order] & other.eq(value).to_numpy()[order]] for value in (0, 1)]
            fewest = min(map(len, either))
            if not fewest:
                raise InputError(
                    f"labels={labels}: in the {split} split no eye of label {label} has "
                    f"{' nor '.join(str(v) for v, rows in enumerate(either) if not len(rows))} as "
                    "its other label; both are needed in each class"
                )
            kept[np.concatenate([rows[:fewest] for rows in either])] = True
    return kept


def _half(values: pd.Series) -> list[str]:
    """Values that together stand in about half of the rows: the commonest first, where it fits."""
    counts = values.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    taken: list[str] = []
    room = counts.sum() / 2
    for value, count in counts.items():
        if count <= room or (not taken and value == counts.index[-1]):
            taken.append(str(value))
            room -= count
    return taken
