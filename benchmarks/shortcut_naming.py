"""Is a shortcut named that only mirrors a named one? Cohorts whose shortcuts are known.

In every cohort age predicts sex, and border and colour of the photograph follow age alone; in
``age and camera`` the age effect differs by camera and both drive the border. Given the named ones,
nothing else may be named: ``named_falsely`` must stay at or below 1 %. With ``--direct`` the border
shifts with sex itself by so many standard deviations of age, and ``border_named`` is the power.
``interaction`` compares how much of an age effect that turns with the camera a sum of columns and
boosted trees find.

    python -m benchmarks.shortcut_naming naming --cases age:500:500,age:8500:100
    python -m benchmarks.shortcut_naming interaction --cases 500:10,2000:5

Prints rows of ``docs/results/shortcut_naming.csv``.
"""

import argparse
import csv
import sys

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from fundus_ml.auditing.boosted_trees import out_of_fold_trees
from fundus_ml.auditing.columns import Shortcut, age_spline, categories, numbers
from fundus_ml.auditing.evidence import Trial
from fundus_ml.auditing.forward_selection import FAMILY_LEVEL
from fundus_ml.auditing.permutation import grouped_folds, out_of_fold

DRAWS = 299
TWO_EYES = 0.7
SCENES = ("age", "age kinked", "age and camera")


def main() -> None:
    """Print one row per quantity."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("part", choices=("naming", "interaction"))
    parser.add_argument("--cases", required=True, help="[scene:]people:runs, with commas")
    parser.add_argument("--direct", type=float, default=0.0)
    given = parser.parse_args()
    rows = csv.writer(sys.stdout, lineterminator="\n")
    for case in given.cases.split(","):
        *scene, people, runs = case.split(":")
        if given.part == "naming":
            found = naming(scene[0], int(people), int(runs), direct=given.direct)
        else:
            found = interaction(int(people), int(runs))
        for quantity, (value, low, high) in found.items():
            name = " ".join([*scene, f"direct {given.direct:g}"] if scene else [given.part])
            rows.writerow([name, people, runs, quantity, *map("{:.4f}".format, (value, low, high))])
        sys.stdout.flush()


def naming(
    scene: str, people: int, runs: int, *, direct: float
) -> dict[str, tuple[float, float, float]]:
    """Count what is named beyond the named, with Clopper-Pearson intervals."""
    counts = dict.fromkeys(("border_named", "named_falsely", "border_p_below_0.05"), 0)
    for seed in range(runs):
        frame, named, others = cohort(scene, people, seed, direct=direct)
        trial = Trial(frame, permutations=DRAWS, seed=seed, on_progress=None)
        found, _ = trial.given(named, others)
        passing = {
            name
            for known in (True, False)
            for name, p in found.family_p([x.name for x in others if x.known == known]).items()
            if p <= FAMILY_LEVEL / 3
        }
        counts["border_named"] += "border" in passing
        counts["named_falsely"] += bool(passing - ({"border"} if direct else set()))
        counts["border_p_below_0.05"] += found.p("border") <= 0.05  # noqa: PLR2004 (the name)
    return {name: share(count, runs) for name, count in counts.items()}


def share(count: int, runs: int) -> tuple[float, float, float]:
    """A share of runs with its exact 95 % interval."""
    ends = binomtest(count, runs).proportion_ci()
    return count / runs, float(ends.low), float(ends.high)


def cohort(
    scene: str, people: int, seed: int, *, direct: float
) -> tuple[pd.DataFrame, list[Shortcut], list[Shortcut]]:
    """Draw rows of eyes, the shortcuts that are named, and those that follow them."""
    rng = np.random.default_rng([seed, people])
    years = rng.normal(54, 14, people).clip(18, 95)
    camera = rng.integers(0, 3, people)
    aged = (years - 54) / 14
    older = years > 60  # noqa: PLR2004 (the kink)
    if scene == "age":
        logit, drive = 1.5 * aged, aged
    elif scene == "age kinked":
        logit, drive = np.where(older, 0.7, -0.5), abs(aged) + 0.8 * older
    else:
        logit = 0.35 * aged + np.array([0, 0.6, -0.6])[camera] + 0.6 * aged * (camera == 1)
        drive = aged * (1 + camera) / 2 + (camera == 1)
    male = rng.random(people) < 1 / (1 + np.exp(-logit))
    person = np.repeat(np.arange(people), 1 + (rng.random(people) < TWO_EYES))
    own = rng.normal(size=(people, 3))[person]
    noise = rng.normal(size=(len(person), 5))
    drive = drive[person]
    border = {
        "outside": drive + direct * male[person] + 0.03 * own[:, 0] + 0.03 * noise[:, 0],
        "corner": 0.6 * drive + 0.5 * own[:, 1] + 0.3 * noise[:, 1],
        "rim": noise[:, 2],
    }
    colour = {
        "red": -0.7 * drive + 0.5 * own[:, 2] + 0.3 * noise[:, 3],
        "green": noise[:, 4],
    }
    frame = pd.DataFrame({"label": male[person].astype(int), "person_group": person, "source": "s"})
    by_age = age_spline(pd.Series(years.round()[person]))
    by_camera = categories("camera", pd.Series(np.array(["a", "b", "c"])[camera[person]]), "one")
    measured = [numbers(name, pd.DataFrame(part), "") for name, part in
                (("border", border), ("colour", colour))]  # fmt: skip
    if scene == "age and camera":
        return frame, [by_age, by_camera], measured
    return frame, [by_age], [by_camera, *measured]


def interaction(people: int, runs: int) -> dict[str, tuple[float, float, float]]:
    """AUROC of the sum and of trees where the age effect turns its sign with the camera."""
    found: dict[str, list[float]] = {"ridge_auroc": [], "trees_auroc": [], "best_auroc": []}
    for seed in range(runs):
        rng = np.random.default_rng([seed, people])
        aged, camera = rng.normal(size=people), rng.integers(0, 2, people)
        logit = 2 * aged * (2 * camera - 1) + 0.25 * aged
        labels = rng.random(people) < 1 / (1 + np.exp(-logit))
        parts = [
            age_spline(pd.Series(54 + 14 * aged)),
            categories("camera", pd.Series(camera).astype(str), ""),
        ]
        folds = grouped_folds(np.arange(people), np.zeros(people), seed=seed)
        design, columns = (
            np.hstack([getattr(part, name) for part in parts]) for name in ("design", "columns")
        )
        ridge = out_of_fold(design, labels[:, None].astype(float), folds)[:, 0]
        trees = out_of_fold_trees(columns, labels, folds, seed=seed)
        for scores, aurocs in zip((ridge, trees, logit), found.values(), strict=True):
            aurocs.append(float(roc_auc_score(labels, scores)))
    return {name: spread(np.array(aurocs)) for name, aurocs in found.items()}


def spread(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean, lowest and highest."""
    return float(values.mean()), float(values.min()), float(values.max())


if __name__ == "__main__":
    main()
