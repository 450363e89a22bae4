"""How long do all measures with their intervals take, and how much memory?

All ten measures of simulated eyes, two per person, from the same resamples; beside it, on a few
resamples, the plain way: repeat the rows of the people drawn and let scikit-learn measure AUROC,
average precision and Brier score alone:

    python -m benchmarks.bootstrap --eyes 20000 --bootstrap 2000 --rounds 3
"""

import argparse
import resource
import time
from statistics import median

import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from benchmarks.coverage import CALIBRATION, Cohort, cohort
from fundus_ml.evaluation.calibration import probabilities
from fundus_ml.evaluation.metrics import MEASURES, clustered_measures
from fundus_ml.statistics.bootstrap import cluster_counts


def main() -> None:
    """Time both in turn; print medians, their ratio and the memory that was added."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--eyes", type=int, default=20_000)
    parser.add_argument("--bootstrap", type=int, default=2000)
    parser.add_argument("--plain", type=int, default=40, help="resamples of the plain way")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    eyes = cohort(np.random.default_rng(0), given.eyes // 2, auroc=0.7, correlation=0.8)
    before = _peak()
    ours, plain = [], []
    for _ in range(given.rounds):
        ours.append(_seconds(eyes, given.bootstrap))
        if len(ours) == 1:
            added = _peak() - before
        plain.append(_plain_seconds(eyes, given.plain) / given.plain * given.bootstrap)
    print(
        f"{given.eyes} eyes, {given.bootstrap} resamples: {len(MEASURES)} measures in "
        f"{median(ours):.2f} s, {added:.0f} MB added to {before:.0f} MB; three of them the plain "
        f"way {median(plain):.1f} s ({median(plain) / median(ours):.0f} times)"
    )


def _seconds(eyes: Cohort, resamples: int) -> float:
    labels, logits, people = eyes
    started = time.perf_counter()
    clustered_measures(labels, logits, people, calibration=CALIBRATION, resamples=resamples)
    return time.perf_counter() - started


def _plain_seconds(eyes: Cohort, resamples: int) -> float:
    labels, logits, people = eyes
    counts = cluster_counts(people, resamples=resamples, seed=0)
    started = time.perf_counter()
    for row in counts:
        truth, numbers = np.repeat(labels, row), np.repeat(logits, row)
        roc_auc_score(truth, numbers)
        average_precision_score(truth, numbers)
        brier_score_loss(truth, probabilities(numbers))
    return time.perf_counter() - started


def _peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
