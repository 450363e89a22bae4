"""Do the intervals cover? Simulated cohorts whose truth is known, people with two alike eyes.

Logits are binormal at the AUROC given and shown 1.5 times too sure, so that the raw ones are
miscalibrated by a known amount and those at temperature 1.5 are calibrated perfectly. Truth is the
value on a sample of two million single eyes. Prints, per measure, the share of cohorts whose 95 %
interval holds it:

    python -m benchmarks.coverage --people 200 --cohorts 500
"""

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from fundus_ml.evaluation.calibration import Calibration
from fundus_ml.evaluation.metrics import MEASURES, clustered_measures, sort_logits

TOO_SURE = 1.5
CALIBRATION = Calibration(temperature=TOO_SURE, threshold=0.1)
MANY = 2_000_000

Cohort = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]


def main() -> None:
    """Print the coverage and the mean interval of every measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--cohorts", type=int, default=500)
    parser.add_argument("--auroc", type=float, default=0.7)
    parser.add_argument("--correlation", type=float, default=0.8, help="of a person's two eyes")
    parser.add_argument("--bootstrap", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    truth = true_measures(rng, given.auroc)
    covered = dict.fromkeys(MEASURES, 0)
    ends = {name: np.zeros(3) for name in MEASURES}
    for seed, (labels, logits, people) in enumerate(_cohorts(rng, given)):
        found = clustered_measures(
            labels, logits, people, calibration=CALIBRATION, resamples=given.bootstrap, seed=seed
        )
        for name, interval in found.items():
            covered[name] += interval.low <= truth[name] <= interval.high
            ends[name] += interval.value, interval.low, interval.high
    print(f"{given.cohorts} cohorts of {given.people} people, correlation {given.correlation}")
    for name in MEASURES:
        value, low, high = ends[name] / given.cohorts
        print(
            f"{name:18s} truth {truth[name]:.4f}  mean {value:.4f} ({low:.4f} to {high:.4f})  "
            f"covered {covered[name] / given.cohorts:.1%}"
        )


def cohort(
    rng: np.random.Generator, people: int, *, auroc: float, correlation: float, eyes: int = 2
) -> Cohort:
    """Draw labels, logits and people of a cohort whose people have ``eyes`` eyes each."""
    distance = np.sqrt(2) * norm.ppf(auroc)
    person = np.repeat(np.arange(people), eyes)
    labels = rng.integers(0, 2, people)[person]
    shared, own = rng.normal(size=people)[person], rng.normal(size=len(person))
    seen = labels * distance + np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    return labels, TOO_SURE * distance * (seen - distance / 2), person


def true_measures(rng: np.random.Generator, auroc: float) -> dict[str, float]:
    """Measure so many eyes that chance no longer matters."""
    labels, logits, _ = cohort(rng, MANY, auroc=auroc, correlation=0, eyes=1)
    values = sort_logits(labels, logits, calibration=CALIBRATION).measure(np.ones((1, MANY)))
    return dict(zip(MEASURES, values[:, 0].tolist(), strict=False)) | {"ece_calibrated": 0.0}


def _cohorts(rng: np.random.Generator, given: argparse.Namespace) -> Iterator[Cohort]:
    for _ in range(given.cohorts):
        yield cohort(rng, given.people, auroc=given.auroc, correlation=given.correlation)


if __name__ == "__main__":
    main()
