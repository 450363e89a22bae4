"""Where is it read? AUROC of versions that see the whole eye or a part of it, and of all together.

    mlflow run . -e preprocess -P source=odir -P root=… -P out=data/odir
    mlflow run . -e preprocess -P source=odir -P root=… -P around=disc -P splits_of=data/odir …
    mlflow run . -e train …                                (one version of each, of one contrast)
    mlflow run . -e evaluate -P attacks=none …             (each on its own dataset)
    python -m benchmarks.views --datasets data/odir data/odir-disc \
        --models models:/fundus-sex/1 models:/fundus-sex-disc/1 --csv views.csv

Reads the stored predictions of clean test eyes. Only eyes that every version has seen are compared;
``together`` is the mean of their probabilities (Lakshminarayanan et al. 2017, arXiv:1612.01474).
Rows of ``all`` eyes leave out the versions that have not seen an eye, beside the first version
on the same eyes. Rows: AUROC per eye and person with 95 % intervals over people, and ``difference``
of the first version less that row.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.data.opening import open_dataset
from fundus_ml.evaluation.scores import CLEAN
from fundus_ml.model_selection.comparison import compare_scorers, mean_prediction
from tracking import results

TOGETHER = "together"


def main(argv: Sequence[str] | None = None) -> None:
    """Print and keep a row per version and unit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", nargs="+", required=True, help="registered versions")
    parser.add_argument("--datasets", nargs="+", required=True, help="what each was tested on")
    parser.add_argument("--split", default="test")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args(argv)
    eyes = stored_logits(given.models, given.datasets, split=given.split)
    table = compare_views(eyes, given.models, resamples=given.resamples)
    print(table.to_string(index=False))
    if given.csv is not None:
        table.to_csv(given.csv, index=False, lineterminator="\n", float_format="%.4f")


def stored_logits(models: list[str], datasets: list[str], *, split: str) -> pd.DataFrame:
    """Gather the logits of each version, in a column of its name; NaN for eyes it has not seen.

    Args:
        models: Registered versions, the first of which has seen every eye.
        datasets: Folder of each.
        split: Split of the eyes.

    Returns:
        One row per eye of the first version: ``image_id person_group label`` and the logits.
    """
    found: pd.DataFrame | None = None
    for model, folder in zip(models, datasets, strict=True):
        rows = results.predictions(model, dataset=open_dataset(folder))
        rows = rows[rows["attack"].eq(CLEAN) & rows["split"].eq(split)]
        own = rows[["image_id", "person_group", "label", "logit"]].rename(columns={"logit": model})
        if found is None:
            found = own
        else:
            found = found.merge(own[["image_id", model]], on="image_id", how="left")
    assert found is not None
    return found


def compare_views(eyes: pd.DataFrame, models: list[str], *, resamples: int) -> pd.DataFrame:
    """Set versions and their mean beside one another.

    Args:
        eyes: As :func:`stored_logits`.
        models: Its columns of logits, the first one the reference.
        resamples: Resamples of people behind each interval.

    Returns:
        Rows of :func:`~fundus_ml.model_selection.comparison.compare_scorers` with ``eyes``: ``seen
        by all`` or ``all``.
    """
    seen = eyes.dropna(subset=models)
    logits = {model: seen[model].to_numpy() for model in models}
    logits[TOGETHER] = mean_prediction(list(logits.values()))
    how = {"reference": models[0], "resamples": resamples, "seed": 0}
    apart = compare_scorers(seen, logits, **how)
    every = {
        models[0]: eyes[models[0]].to_numpy(),
        TOGETHER: _mean_of_seen(eyes[models].to_numpy(np.float64)),
    }
    return pd.concat(
        [
            apart.assign(eyes="seen by all"),
            compare_scorers(eyes, every, **how).assign(eyes="all"),
        ],
        ignore_index=True,
    )


def _mean_of_seen(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logit of the mean probability of those columns that are not NaN, ``(n,)``."""
    found = np.empty(len(logits))
    known = ~np.isnan(logits)
    for pattern in np.unique(known, axis=0):
        rows = (known == pattern).all(axis=1)
        found[rows] = mean_prediction(list(logits[rows][:, pattern].T))
    return found


if __name__ == "__main__":
    main()
