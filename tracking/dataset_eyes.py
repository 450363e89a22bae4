"""What a dataset knows of each photograph, set beside the rows that results keep of it."""

import json
from pathlib import Path
from typing import Protocol, TypeAlias

import pandas as pd

from tracking.errors import TrackingError

SHORT = 12
"""Digits of a digest that a message shows."""
_KEY = "image_id"
_SAID_BY_SEX = "label"
"""Column of a manifest that no row takes over: ``sex`` again, whatever the question was."""


class OpenedDataset(Protocol):
    """A dataset as ``fundus_ml.data.open_dataset`` hands it back."""

    @property
    def digest(self) -> str:
        """Version of its whole content."""

    @property
    def frame(self) -> pd.DataFrame:
        """Manifest rows."""


Dataset: TypeAlias = str | Path | OpenedDataset
"""A dataset folder, or what ``open_dataset`` made of one or several."""


def with_eyes(rows: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Keep the rows of one dataset, and add what its manifest knows of their photographs.

    Args:
        rows: Columns ``image_id`` and ``dataset_digest``, and others.
        dataset: Dataset folder; several together as an opened dataset.

    Returns:
        The rows, with every column of the manifest that they lack, but for its ``label``.

    Raises:
        TrackingError: There is no such folder, all rows are of other datasets, or it lacks a
            photograph of its own rows.
    """
    name, digest, manifest = _read(dataset)
    own = rows[rows["dataset_digest"] == digest]
    if own.empty and not rows.empty:
        others = ", ".join(sorted({each[:SHORT] for each in rows["dataset_digest"]}))
        raise TrackingError(
            f"dataset={name}: has digest {digest[:SHORT]}, these results are of {others}"
        )
    lost = own.loc[~own[_KEY].isin(manifest[_KEY]), _KEY].unique()
    if len(lost):
        raise TrackingError(
            f"dataset={name}: lacks {len(lost)} of {own[_KEY].nunique()} photographs of these "
            f"results, the first is {lost[0]}; give the whole dataset"
        )
    known = set(rows.columns) - {_KEY} | {_SAID_BY_SEX}
    added = manifest[[column for column in manifest if column not in known]]
    return own.merge(added, on=_KEY, how="left", validate="many_to_one")


def _read(dataset: Dataset) -> tuple[str, str, pd.DataFrame]:
    if not isinstance(dataset, str | Path):
        return dataset.digest[:SHORT], dataset.digest, dataset.frame
    if "," in str(dataset):
        raise TrackingError(
            f"dataset={dataset}: several folders share people; give open_dataset({str(dataset)!r})"
        )
    folder = Path(dataset).expanduser()
    try:
        record = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        manifest = pd.read_parquet(folder / "manifest.parquet")
        return str(dataset), str(record["digest"]), manifest
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise TrackingError(f"dataset={dataset}: no dataset folder ({error})") from None
