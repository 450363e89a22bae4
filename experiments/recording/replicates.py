"""What several networks of one training leave: the score of each, their mean, its intervals."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from experiments.running import console
from experiments.running.console import say
from experiments.running.replicates import Replicate
from fundus_ml.data.options import TRUE
from fundus_ml.statistics.clustered import clustered_auroc
from fundus_ml.statistics.crossed import Crossed, crossed_auroc
from tracking.runs import Run

FOLDER = "replicates"


def record_replicates(
    run: Run, replicates: Sequence[Replicate], *, labels: str, bootstrap: int, seed: int
) -> pd.DataFrame:
    """Log a row per network and one of their mean, and say the mean with both intervals.

    The logits of every network on every test eye are kept as ``replicates/logits.parquet``.

    Args:
        run: The run around those of the replicates.
        replicates: Two networks or more.
        labels: What they learned.
        bootstrap: Resamples of people.
        seed: Seed of the bootstrap.

    Returns:
        ``seed version best_val_auroc auroc auroc_low auroc_high``, one row per network: the score
        on the true labels of the test split, its interval over people.
    """
    eyes = replicates[0].trained.predicted
    found = crossed_auroc(
        eyes["label"],
        np.stack([one.trained.predicted["logit"] for one in replicates]),
        eyes["person_group"],
        resamples=bootstrap,
        seed=seed,
    )
    rows = [
        {"seed": one.seed, "version": one.trained.version.uri, "best_val_auroc": one.trained.best}
        | clustered_auroc(
            one.trained.predicted["label"],
            one.trained.predicted["logit"],
            one.trained.predicted["person_group"],
            resamples=bootstrap,
            seed=seed,
        ).columns("auroc")
        for one in replicates
    ]
    table = pd.DataFrame(rows)
    run.log_table(table, "replicates.json")
    mean = {"networks": len(replicates)} | found.columns("auroc")
    run.log_table(pd.DataFrame([mean]), "replicates_mean.json")
    run.log_metrics({f"test/{name}": value for name, value in mean.items() if np.isfinite(value)})
    versions = ",".join(str(row["version"]) for row in rows)
    run.set_tags({"labels": labels, "replicates": versions})
    _keep_logits(run, replicates)
    console.table(table, final=True)
    say(f"{_words(found, labels)}; as a flag: {versions}")
    return table


def _words(found: Crossed, labels: str) -> str:
    both, people = found.over_both, found.over_people
    learned = "" if labels == TRUE else f" that learned {labels} labels"
    return (
        f"test split: mean AUROC on true labels {both.value:.3f} of {len(found.each)} networks"
        f"{learned} (over people and networks {both.low:.3f} to {both.high:.3f}, over people alone "
        f"{people.low:.3f} to {people.high:.3f}; SD between networks {found.between:.3f})"
    )


def _keep_logits(run: Run, replicates: Sequence[Replicate]) -> None:
    logits = pd.concat(
        [
            one.trained.predicted.assign(seed=one.seed, version=one.trained.version.uri)
            for one in replicates
        ],
        ignore_index=True,
    )
    with TemporaryDirectory() as folder:
        logits.to_parquet(Path(folder) / "logits.parquet", index=False)
        run.log_artifacts(Path(folder), FOLDER)
