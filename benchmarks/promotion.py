"""How often is a version promoted that is no better? Simulated splits on which all are equal.

Each cohort has a validation and a test split of as many people, two alike eyes each, and a champion
with candidates whose logits share half their noise. The best of the candidates is taken by AUROC on
one split and set against the champion on one split, as ``promote`` does it:

- ``validation``: chosen and decided on validation (before: what chose, decided);
- ``test``: chosen on validation, decided on test (now);
- ``test, uncounted``: chosen on test and decided there, as if it were the only version;
- ``test, counted``: the same with the interval widened for the number of versions (now).

Promotions of equal networks should be 2.5 % at most. Power: one candidate is better by ``--gain``.

    python -m benchmarks.promotion --csv docs/results/promotion.csv
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.clustered import paired_auroc_difference
from fundus_ml.statistics.intervals import widened

Floats = NDArray[np.float64]
RULES = ("validation", "test", "test, uncounted", "test, counted")
SHARED = 0.5
"""Share of the noise that all networks have in common."""
ALIKE = 0.8
"""Correlation of the noise of a person's two eyes."""


def main() -> None:
    """Print the share promoted by rule, number of candidates and true gain; write it as CSV."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--people", type=int, default=150, help="in each split")
    parser.add_argument("--cohorts", type=int, default=600)
    parser.add_argument("--auroc", type=float, default=0.75)
    parser.add_argument("--gain", type=float, default=0.08)
    parser.add_argument("--bootstrap", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args()
    rows = []
    for gain, candidates in ((0.0, 1), (0.0, 10), (0.0, 40), (given.gain, 1), (given.gain, 10)):
        promoted = _promoted(given, candidates=candidates, gain=gain)
        for rule, share in promoted.items():
            error = np.sqrt(share * (1 - share) / given.cohorts)
            rows.append((rule, candidates, gain, given.cohorts, share, error))
            print(f"{rule:16s} best of {candidates:2d}, gain {gain:.2f}: {share:6.1%}", flush=True)
    columns = ["decided_on", "candidates", "true_gain", "cohorts", "promoted", "standard_error"]
    if given.csv:
        table = pd.DataFrame(rows, columns=columns).round(4)
        table.to_csv(given.csv, index=False, lineterminator="\n")


def _promoted(given: argparse.Namespace, *, candidates: int, gain: float) -> dict[str, float]:
    rng = np.random.default_rng(given.seed)
    counts = dict.fromkeys(RULES, 0)
    # The champion first; the second is the better one where there is one.
    truth = np.full(candidates + 1, given.auroc)
    truth[1] += gain
    for cohort in range(given.cohorts):
        val, test = (_split(rng, given.people, truth) for _ in range(2))

        how = {"resamples": given.bootstrap, "seed": given.seed + 1 + cohort}
        by_val = _best(val)
        on_test = _gain(test, _best(test), **how)
        counts["validation"] += _gain(val, by_val, **how).low > 0
        counts["test"] += _gain(test, by_val, **how).low > 0
        counts["test, uncounted"] += on_test.low > 0
        counts["test, counted"] += widened(on_test, among=candidates).low > 0
    return {rule: count / given.cohorts for rule, count in counts.items()}


def _gain(
    split: tuple[Floats, Floats, Floats], best: int, *, resamples: int, seed: int
) -> Interval:
    labels, scores, person = split
    return paired_auroc_difference(
        labels, scores[best], scores[0], person, resamples=resamples, seed=seed
    )


def _split(rng: np.random.Generator, people: int, truth: Floats) -> tuple[Floats, Floats, Floats]:
    """Labels ``(n,)``, scores ``(networks, n)`` and people ``(n,)`` of a split."""
    person = np.repeat(np.arange(people), 2)
    labels = rng.integers(0, 2, people)[person]

    def noise(networks: int) -> Floats:
        of_person = rng.normal(size=(networks, people))[:, person]
        drawn: Floats = np.sqrt(ALIKE) * of_person
        return drawn + np.sqrt(1 - ALIKE) * rng.normal(size=drawn.shape)

    scores = np.sqrt(SHARED) * noise(1) + np.sqrt(1 - SHARED) * noise(len(truth))
    return labels, scores + np.sqrt(2) * norm.ppf(truth)[:, None] * labels, person


def _best(split: tuple[Floats, Floats, Floats]) -> int:
    """The candidate with the highest AUROC: as positives are the same, that of highest ranks."""
    labels, scores, _ = split
    ranks = rankdata(scores[1:], axis=1)
    return 1 + int((ranks * labels).sum(axis=1).argmax())


if __name__ == "__main__":
    main()
