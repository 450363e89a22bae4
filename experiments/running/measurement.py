"""Biomarkers of every eye of a dataset: measured by all cores, kept while that lasts."""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.running.console import progress
from experiments.running.kept_folders import kept_folder, kind_of_batches
from fundus_ml import biomarkers
from fundus_ml.biomarkers.measuring import VERSION
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.modulation import KeptBatches
from fundus_ml.parallel import processes
from tracking.runs import Run

BATCH = 128
"""Eyes between two files of what is measured."""
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


def measured_eyes(
    dataset: FundusDataset,
    run: Run,
    *,
    kept: str,
    workers: int,
    finder: tuple[str, biomarkers.FindRegions] | None = None,
) -> MeasuredEyes:
    """Measure every biomarker of every eye.

    Args:
        dataset: Eyes.
        run: Is marked as going on with the run that was killed.
        kept: Folder of the unfinished measurement; checkpoints/measure-DIGEST if empty.
        workers: Processes; 0 is one per core.
        finder: Name and version of what finds regions, and how; None reads the anatomy tables of
            the dataset folders.

    Raises:
        InputError: The dataset has no regions, or as :func:`kept_folder`.
    """
    anatomy = None
    if finder is None:
        finder, anatomy = (biomarkers.ANATOMY, biomarkers.tabulated_regions), _anatomy(dataset)
    name, find = finder
    image_ids = dataset.frame[["image_id"]] if anatomy is None else anatomy
    measured_by = f"{VERSION}, {name}"
    identity: dict[str, object] = {
        "measured_by": measured_by,
        "dataset_digest": dataset.digest,
        "eyes": _digest(image_ids),
    }
    values, reasons = [], []
    with (
        kept_folder(KEPT, "measure", kept, identity, run, datasets=dataset.paths) as folder,
        processes(workers=workers),
        progress("measure", "eye") as on_progress,
    ):
        keep = KeptBatches(folder)
        for start in range(0, len(dataset), BATCH):
            rows = np.arange(start, min(start + BATCH, len(dataset)))
            found = keep(f"{start:06d}", partial(_measure, dataset, anatomy, find, rows))
            values.append(found["values"])
            reasons.append(found["reasons"])
            on_progress(int(rows[-1]) + 1, len(dataset))
    names = [each.name for each in biomarkers.CATALOGUE]
    return MeasuredEyes(
        frame=pd.DataFrame(np.concatenate(values), columns=names),
        reasons=pd.DataFrame(np.concatenate(reasons), columns=names),
        measured_by=measured_by,
    )


def _measure(
    dataset: FundusDataset,
    anatomy: pd.DataFrame | None,
    find: biomarkers.FindRegions,
    rows: NDArray[np.intp],
) -> dict[str, NDArray[Any]]:
    pixels, maps = dataset.pixels(rows), dataset.regions(rows)
    squares = [
        biomarkers.Square(
            pixels=pixels[place],
            region_map=None if maps is None else maps[place],
            anatomy=None if anatomy is None else anatomy.iloc[row].to_dict(),
        )
        for place, row in enumerate(rows)
    ]
    found = list(biomarkers.measure_squares(squares, find))
    return {
        "values": np.stack([values for values, _ in found]),
        "reasons": np.array([reasons for _, reasons in found], np.str_),
    }


def _anatomy(dataset: FundusDataset) -> pd.DataFrame:
    """Read the anatomy of every eye from the dataset folders."""
    tables = [_read(path / biomarkers.ANATOMY) for path in dataset.paths]
    anatomy = pd.concat(tables).reindex(dataset.frame["image_id"])
    known = anatomy.drop(columns="side").notna().any(axis=1)
    if not known.any():
        raise InputError(
            f"dataset={','.join(map(str, dataset.paths))}: its {biomarkers.ANATOMY} knows none of "
            "the eyes, so there is nothing to measure"
        )
    return anatomy


def _digest(eyes: pd.DataFrame) -> str:
    """Digest of which photographs, and of where their parts lie if that is known."""
    rows = pd.util.hash_pandas_object(eyes, index=True)
    return hashlib.sha256(rows.to_numpy().tobytes()).hexdigest()


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(
            f"dataset={path.parent}: has no regions: {path.name} is not in it, so there is nothing "
            "to measure"
        )
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None
    return biomarkers.check_anatomy(table, named=str(path))
