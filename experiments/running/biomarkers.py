"""Biomarkers of every eye of a dataset: measured by all cores, kept while that lasts."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.running.console import progress, warn
from experiments.running.kept_folders import kept_folder, kind_of_batches
from fundus_ml import biomarkers, imaging
from fundus_ml.biomarkers.measuring import VERSION
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.imaging.options import SHOWS, WHOLE
from fundus_ml.modulation import KeptBatches
from fundus_ml.parallel import processes
from tracking.runs import Run

BATCH = 128
"""Eyes between two files of what is measured."""
AGE = "age"
"""What is held equal between classes, where :func:`held_age` gives it."""
KEPT = kind_of_batches("measurement", r"\d{6,}\.(npz|part)")
"""A folder of batches that are finished."""


@dataclass(frozen=True, kw_only=True)
class MeasuredEyes:
    """Biomarkers of every eye of a dataset.

    Attributes:
        frame: ``(eyes, biomarkers)``, NaN where one abstained.
        reasons: ``(eyes, biomarkers)`` why, empty where it did not.
        measured_by: Version of the measures, and where the regions came from.
    """

    frame: pd.DataFrame
    reasons: pd.DataFrame
    measured_by: str


def held_age(dataset: FundusDataset) -> "pd.Series[float] | None":
    """Hand back the age that is held equal between the classes of a dataset.

    Returns:
        Years of each eye; None where the contrast is one of age, or all known ages are one.
    """
    age = dataset.frame["age"]
    return None if dataset.contrast.of_age or age.nunique() < 2 else age  # noqa: PLR2004


@contextmanager
def measured_eyes(
    dataset: FundusDataset, run: Run, *, kept: str, workers: int
) -> Iterator[MeasuredEyes]:
    """Measure every biomarker of every eye; what was kept of it is deleted after the block.

    Regions are those of the dataset; where a folder was written without, they are looked for on its
    squares.

    Args:
        dataset: Eyes.
        run: Is marked as going on with the run that was killed.
        kept: Folder of the unfinished measurement; checkpoints/measure-DIGEST if empty.
        workers: Processes; 0 is one per core.

    Raises:
        InputError: The dataset shows parts of eyes, its regions know none of its eyes, or as
            :func:`kept_folder`.
    """
    if (around := dataset.crop.around) != WHOLE:
        raise InputError(
            f"dataset={dataset.paths[0]}: shows {SHOWS[around]}; biomarkers are measured on whole "
            "eyes (preprocess with around=whole)"
        )
    stored = set(imaging.REGION_COLUMNS) <= set(dataset.frame) and dataset.regions([0]) is not None
    if stored:
        _refuse_unknown(dataset)
    else:
        warn("the dataset has no regions; they are looked for on its squares")
    measured_by = f"{VERSION}, regions {'of the dataset' if stored else 'found on squares'}"
    identity: dict[str, object] = {
        "measured_by": measured_by,
        "dataset_digest": dataset.digest,
        "eyes": _digest(dataset.frame[["image_id"]]),
    }
    values, reasons = [], []
    names = [each.name for each in biomarkers.CATALOGUE]
    with kept_folder(KEPT, "measure", kept, identity, run, datasets=dataset.paths) as folder:
        keep = KeptBatches(folder)
        with processes(workers=workers), progress("measure", "eye") as on_progress:
            for start in range(0, len(dataset), BATCH):
                rows = np.arange(start, min(start + BATCH, len(dataset)))
                found = keep(f"{start:06d}", partial(_measure, dataset, rows, stored=stored))
                values.append(found["values"])
                reasons.append(found["reasons"])
                on_progress(int(rows[-1]) + 1, len(dataset))
        yield MeasuredEyes(
            frame=pd.DataFrame(np.concatenate(values), columns=names),
            reasons=pd.DataFrame(np.concatenate(reasons), columns=names),
            measured_by=measured_by,
        )


def _measure(
    dataset: FundusDataset, rows: NDArray[np.intp], *, stored: bool
) -> dict[str, NDArray[Any]]:
    pixels, maps = dataset.pixels(rows), dataset.regions(rows)
    squares = [biomarkers.EyeSquare(square) for square in pixels]
    if maps is not None and not stored:
        squares = [biomarkers.EyeSquare(*each) for each in zip(pixels, maps, strict=True)]
    elif maps is not None:
        columns = dataset.frame.loc[rows, list(imaging.REGION_COLUMNS)]
        told = [
            {str(name): value for name, value in row.items()} for row in columns.to_dict("records")
        ]
        squares = [biomarkers.EyeSquare(*each) for each in zip(pixels, maps, told, strict=True)]
    found = list(biomarkers.measure_squares(squares))
    return {
        "values": np.stack([values for values, _ in found]),
        "reasons": np.array([reasons for _, reasons in found], np.str_),
    }


def _refuse_unknown(dataset: FundusDataset) -> None:
    places = [f"region_{part}_confidence" for part in ("disc", "fovea", "vessels")]
    if dataset.frame[places].isna().all(axis=None):
        raise InputError(
            f"dataset={','.join(map(str, dataset.paths))}: its regions know none of the eyes, so "
            "there is nothing to measure"
        )


def _digest(eyes: pd.DataFrame) -> str:
    """Digest of which photographs."""
    rows = pd.util.hash_pandas_object(eyes, index=True)
    return hashlib.sha256(rows.to_numpy().tobytes()).hexdigest()
