"""Painted people as a dataset folder, which is made once."""

from pathlib import Path

from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.opening import open_dataset
from fundus_ml.preprocessing.dataset import preprocess
from fundus_ml.preprocessing.options import PreprocessingOptions
from fundus_ml.sources.synthetic import synthetic_photographs
from fundus_ml.synthesis.options import Population

PERMUTATIONS = 20
"""Permutations of the audit, which no benchmark of these eyes reads."""


def painted(folder: Path, population: Population, *, size: int) -> FundusDataset:
    """Open the eyes of a population, which are painted and preprocessed where they are missing.

    Args:
        folder: Dataset folder; the one it lies in is made.
        population: Who is painted; its seed splits them too.
        size: Side of the square eyes, pixels.
    """
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        options = PreprocessingOptions(
            size=size, permutations=PERMUTATIONS, same_person=False, seed=population.seed
        )
        preprocess(synthetic_photographs(population), folder, options, recipe={})
    return open_dataset(str(folder))
