"""Does a network that reads nothing but shortcuts count as adding to them? And one that does?

People have two alike eyes, an age and one of two cameras; sex follows age, in one camera more than
in the other. The shortcut logit comes from boosted trees on all ``--people``, the test is made on
``--tested`` of them. Networks: ``shortcuts only`` reads the true log-odds given age and camera,
with noise; ``noise`` reads nothing; ``anatomy`` reads a trait of AUROC 0.60 beside the shortcuts.
A network adds where the interval of its gain lies above 0. With ``--strength 0`` no shortcut says
anything of sex.

    python -m benchmarks.network_gain --runs 500
    python -m benchmarks.network_gain --runs 500 --strength 0 --people 200 --tested 200

Prints rows of ``docs/results/network_gain.csv``.
"""

import argparse
import csv
import sys

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks.shortcut_naming import share
from fundus_ml.auditing.boosted_trees import out_of_fold_trees
from fundus_ml.auditing.columns import age_spline, categories, numbers
from fundus_ml.auditing.network_gain import ShortcutScores, network_gain
from fundus_ml.auditing.permutation import grouped_folds

NETWORKS = ("shortcuts only", "noise", "anatomy")
ANATOMY = 0.6
"""AUROC of what the network reads beside the shortcuts."""


def main() -> None:
    """Print how often each network is found to add, and the mean gain."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--people", type=int, default=2600)
    parser.add_argument("--tested", type=int, default=400)
    parser.add_argument("--strength", type=float, default=1.0, help="of the shortcuts")
    given = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in NETWORKS}
    for seed in range(given.runs):
        for name, row in one_cohort(
            given.people, given.tested, seed, strength=given.strength
        ).items():
            found[name].append(row)
    rows = csv.writer(sys.stdout, lineterminator="\n")
    for name, values in found.items():
        gain, low = np.array(values).T
        rate = share(int((low > 0).sum()), given.runs)
        rows.writerow([name, given.tested, given.runs, "adds", *map("{:.4f}".format, rate)])
        ends = np.quantile(gain, (0.025, 0.975))
        shown = map("{:.4f}".format, (gain.mean(), *ends))
        rows.writerow([name, given.tested, given.runs, "auroc_gain", *shown])


def one_cohort(
    people: int, tested: int, seed: int, *, strength: float = 1.0
) -> dict[str, tuple[float, float]]:
    """Gain and its lower end by network."""
    rng = np.random.default_rng([seed, people])
    aged, camera = rng.normal(size=people), rng.integers(0, 2, people)
    odds = strength * (0.25 * aged + 0.5 * aged * camera)
    labels = (rng.random(people) < 1 / (1 + np.exp(-odds))).astype(int)
    columns = pd.DataFrame(rng.normal(size=(people, 20))).add_prefix("border ")
    parts = [
        age_spline(pd.Series((54 + 14 * aged).round())),
        categories("camera", pd.Series(camera).astype(str), ""),
        numbers("border", columns, ""),
    ]
    folds = grouped_folds(np.arange(people), np.zeros(people), seed=seed)
    raw, design = (
        np.hstack([getattr(part, name) for part in parts]) for name in ("columns", "design")
    )
    trees = out_of_fold_trees(raw, labels.astype(bool), folds, seed=seed)
    shown = rng.permutation(people)[:tested]
    trait = labels * np.sqrt(2) * norm.ppf(ANATOMY) + rng.normal(size=people)
    networks = {
        "shortcuts only": odds + 0.2 * rng.normal(size=people),
        "noise": rng.normal(size=people),
        "anatomy": odds + trait,
    }
    eyes = np.repeat(shown, 2)
    scores = ShortcutScores(trees, design, raw).of(eyes)
    return {
        name: _found(labels[eyes], logit[eyes] + 0.1 * rng.normal(size=len(eyes)), eyes, scores)
        for name, logit in networks.items()
    }


def _found(
    labels: NDArray[np.int_], logits: NDArray[np.float64], eyes: NDArray[np.int_],
    scores: ShortcutScores,
) -> tuple[float, float]:  # fmt: skip
    gain = network_gain(labels, logits, eyes, scores, resamples=200)
    if gain.gain is None:
        raise ValueError(gain.reason)
    return gain.gain.value, gain.gain.low


if __name__ == "__main__":
    main()
