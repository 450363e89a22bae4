"""Modulations that can be killed at any moment: the same command goes on at the next batch."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from experiments.running.kept_folders import kept_folder, kind_of_batches
from experiments.running.null_models import other_conditions
from fundus_ml.data.options import OTHER_LABELS
from fundus_ml.modulation import KeptBatches
from fundus_ml.modulation.control_table import CLEAN_MODEL, ENSEMBLE, MODULATION, SHUFFLED_MODEL
from tracking.runs import Run


def _folder_of(condition: str) -> str:
    return condition.replace(" ", "-")


_OTHERS = [condition for labels in OTHER_LABELS for condition in other_conditions(labels, 1)]
_NETWORKS = (MODULATION, CLEAN_MODEL, ENSEMBLE, SHUFFLED_MODEL, *_OTHERS)
_CONDITIONS = "|".join(map(_folder_of, _NETWORKS))
KEPT = kind_of_batches("modulation", rf"({_CONDITIONS})(-\d+)?/\d{{6,}}\.(npz|part)")
"""A folder of batches that are finished."""


@contextmanager
def kept_pictures(
    kept: str, identity: Mapping[str, object], run: Run, *, datasets: Sequence[Path]
) -> Iterator[Path]:
    """Hand out the folder of a modulation: see :func:`kept_folder`."""
    with kept_folder(KEPT, "modulate", kept, identity, run, datasets=datasets) as folder:
        yield folder


def batches_of(folder: Path, condition: str) -> KeptBatches:
    """Keep the batches of one condition in a folder of its own."""
    return KeptBatches(folder / _folder_of(condition))
