"""Do the intervals of small subgroups cover, and does the interaction test keep its level?

Simulated subgroups of few people of each class, two eyes each with noise that correlates at 0.8, at
three AUROCs. Prints the share of cohorts whose 95 % interval holds the truth for the percentile
interval of the bootstrap (before) and that of ``logit_auroc`` (now), and how often ``auroc_apart``
tells the subgroup from 100 people of each class of the same AUROC (``false``), and from such of an
AUROC ``--less`` lower (``power``).

    python -m benchmarks.subgroup_coverage --csv docs/results/subgroup_coverage.csv
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from fundus_ml.statistics.clustered import clustered_auroc
from fundus_ml.statistics.placements import auroc_apart, logit_auroc

Floats = NDArray[np.float64]
LEVEL = 0.05
ALIKE = 0.8
REST = 100
"""People of each class outside the subgroup."""


def main() -> None:
    """Print one line per size and AUROC; write them as CSV."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cohorts", type=int, default=500)
    parser.add_argument("--bootstrap", type=int, default=200)
    parser.add_argument("--less", type=float, default=0.15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args()
    rng, rows = np.random.default_rng(given.seed), []
    for people in (10, 20, 50):
        for auroc in (0.7, 0.9, 0.97):
            row = _row(rng, given, people=people, auroc=auroc)
            rows.append(row)
            print(" ".join(f"{name} {value:g}" for name, value in row.items()), flush=True)
    if given.csv:
        table = pd.DataFrame(rows).round(4)
        table.to_csv(given.csv, index=False, lineterminator="\n")


def _row(
    rng: np.random.Generator, given: argparse.Namespace, *, people: int, auroc: float
) -> dict[str, float]:
    held, widths, told = np.zeros(2), np.zeros(2), np.zeros(3)
    for cohort in range(given.cohorts):
        labels, scores, person = _eyes(rng, people, auroc)
        how = {"resamples": given.bootstrap, "seed": given.seed + 1 + cohort}
        both = clustered_auroc(labels, scores, person, **how), logit_auroc(labels, scores, person)
        held += [found.low <= auroc <= found.high for found in both]
        widths += [found.high - found.low for found in both]
        for place, less in enumerate((0.0, given.less)):
            others = _eyes(rng, REST, auroc - less)
            inside = np.arange(len(labels) + len(others[0])) < len(labels)
            found = auroc_apart(
                np.concatenate([labels, others[0]]),
                np.concatenate([scores, others[1]]),
                inside,
                np.concatenate([person, people * 2 + others[2]]),
            )
            told[place] += found.pvalue <= LEVEL
        told[2] += np.isnan(found.pvalue)
    names = ("percentile_covers", "logit_covers", "percentile_width", "logit_width")
    shares = np.concatenate([held, widths]) / given.cohorts
    names += ("false", "power", "abstains")
    values = np.concatenate([shares, told / given.cohorts])
    return {"people_per_class": people, "auroc": auroc, "cohorts": given.cohorts} | dict(
        zip(names, values.tolist(), strict=True)
    )


def _eyes(
    rng: np.random.Generator, people: int, auroc: float
) -> tuple[NDArray[np.intp], Floats, NDArray[np.intp]]:
    """Labels, scores and people of ``people`` people of each class, two eyes each."""
    person = np.repeat(np.arange(2 * people), 2)
    labels = (person < people).astype(np.intp)
    own = rng.normal(size=4 * people)
    noise = np.sqrt(ALIKE) * rng.normal(size=2 * people)[person] + np.sqrt(1 - ALIKE) * own
    return labels, noise + np.sqrt(2) * norm.ppf(auroc) * labels, person


if __name__ == "__main__":
    main()
