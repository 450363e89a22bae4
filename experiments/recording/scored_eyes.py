"""The eyes that are scored: one split of a dataset, or all of them."""

from experiments.recording.options import ALL
from fundus_ml.data.dataset import FundusDataset


def scored_eyes(dataset: FundusDataset, split: str) -> FundusDataset:
    """Keep the eyes of one split; ``all`` keeps every eye, each with the split it stands in.

    Raises:
        InputError: No split is called so, or no eye is in it.
    """
    return dataset if split == ALL else dataset.split(split)


def words_of(split: str) -> str:
    """Name a split in a sentence."""
    return "all eyes" if split == ALL else f"{split} split"
