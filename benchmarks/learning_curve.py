"""How the score grows with the people learned from, and where that leads.

Reads the finished `train` runs of an MLflow experiment, each at its `train_people`, and fits the
test AUROC per person to the logarithm of that number by ordinary least squares:

    python -m benchmarks.learning_curve --experiment curve --people 1864 --csv curve.csv

The store is that of MLFLOW_TRACKING_URI. An extrapolation is no promise: the line knows nothing of
where learning ends, and its interval is that of the line through these runs, which share one test
split.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import mlflow
import numpy as np
from mlflow.entities import Run
from scipy import stats

from benchmarks.rows import append_rows
from fundus_ml.evaluation.scores import score_of
from tracking.run_tables import run_table

LEAST_RUNS = 3
TIMES = (1, 2, 5, 10)
"""Multiples of all people that are extrapolated to."""


def main(argv: Sequence[str] | None = None) -> None:
    """Print a row per run and the line through them; append both to a file where one is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--experiment", required=True, help="whose finished train runs are read")
    parser.add_argument("--people", type=int, required=True, help="people of the training split")
    parser.add_argument("--csv", type=Path, help="append the rows here")
    given = parser.parse_args(argv)
    runs = mlflow.search_runs(
        experiment_names=[given.experiment],
        filter_string="attributes.status = 'FINISHED' and tags.stage = 'train'",
        output_format="list",
    )
    runs.sort(key=lambda run: (_share(run), run.data.params["seed"]))
    people = [_share(run) * given.people for run in runs]
    found = [
        score_of(run_table("scores", run_id=run.info.run_id), "auroc", per="person") for run in runs
    ]
    scores = [each.value for each in found]
    if len(runs) < LEAST_RUNS or people[0] == people[-1]:
        parser.error(
            f"experiment={given.experiment}: has {len(runs)} finished train runs; {LEAST_RUNS} are "
            "needed, which learned from different shares of the people"
        )
    rows = [
        {
            "what": f"seed {run.data.params['seed']}",
            "people": f"{count:.0f}",
            "auroc_per_person": f"{each.value:.3f}",
            "low": f"{each.low:.3f}",
            "high": f"{each.high:.3f}",
        }
        for run, count, each in zip(runs, people, found, strict=True)
    ]
    for times in TIMES:
        value, low, high = extrapolate(people, scores, to=times * given.people)
        rows.append(
            {
                "what": "line" if times == 1 else "extrapolated",
                "people": f"{times * given.people}",
                "auroc_per_person": f"{value:.3f}",
                "low": f"{low:.3f}",
                "high": f"{high:.3f}",
            }
        )
    for row in rows:
        print("{what:13s} {people:>6s} people: {auroc_per_person} ({low} to {high})".format(**row))
    if given.csv:
        append_rows(given.csv, rows)


def _share(run: Run) -> float:
    """Share of the people; runs from before the flag learned from all."""
    return float(run.data.params.get("train_people", 1))


def extrapolate(
    people: Sequence[float], scores: Sequence[float], *, to: float
) -> tuple[float, float, float]:
    """Value of the line through ``scores`` over log ``people`` at ``to``, and its 95 % interval."""
    x, y = np.log2(people), np.asarray(scores, float)
    line = stats.linregress(x, y)
    at = np.log2(to)
    value = line.intercept + line.slope * at
    spread = np.sqrt(((y - line.intercept - line.slope * x) ** 2).sum() / (len(x) - 2))
    error = spread * np.sqrt(1 / len(x) + (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
    half = stats.t.ppf(0.975, len(x) - 2) * error
    return float(value), float(value - half), float(value + half)


if __name__ == "__main__":
    main()
