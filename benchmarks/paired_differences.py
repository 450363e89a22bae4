"""How often do comparisons of conditions err, and what do they find? Simulated eyes, truth known.

Each person has two alike eyes. A log enrichment, or a log norm, is the person's (spread 0.6) and
the eye's (0.3), shared by the conditions, and how the condition departs with that person (0.3) and
eye (0.15). Prints, by method, the share of cohorts in which two conditions are told apart at 5 %,
where they are alike and where they differ:

    python -m benchmarks.paired_differences --csv docs/results/paired_differences.csv

*intervals apart*: the 95 % intervals of the two conditions do not overlap. *percentile interval*: 0
lies outside the bootstrap interval of the paired difference. *sign flips, eyes*: as if each eye
were a person. *sign flips, people*: the method. Skewed: one condition departs exponentially, so
that signs are not exchangeable. Success: whether a value lies above a threshold. *any of 45*: 10
alike conditions, one or more of 45 pairs with q up to 5 %. Norms above the budget are not found
(about two in five): *log-rank, eyes* takes all norms for independent; *log-rank, people* is the
method; *solved only* flips signs of log norms over the eyes that both conditions flip. *half
resist*: one condition never flips every second person's eyes, the others at norms alike.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import CensoredData, false_discovery_control, logrank

from fundus_ml.statistics.bootstrap import count_blocks
from fundus_ml.statistics.sign_flips import paired_means
from fundus_ml.statistics.survival import paired_log_rank

Floats = NDArray[np.float64]

LEVEL = 0.05
OF_PERSON, OF_EYE, PERSON_DEPARTS, EYE_DEPARTS = 0.6, 0.3, 0.3, 0.15
EFFECT = 0.15
"""Difference of the conditions where they differ, in logarithms."""
BUDGET = 0.2
"""Log norm beyond which nothing is found."""
CONDITIONS = 10


def main() -> None:
    """Simulate, print, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--people", type=int, nargs="+", default=[30, 100])
    parser.add_argument("--cohorts", type=int, default=2000)
    parser.add_argument("--survival_cohorts", type=int, default=1000)
    parser.add_argument("--permutations", type=int, default=1999)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args()
    rows: list[dict[str, object]] = []
    for people in given.people:
        rng = np.random.default_rng((given.seed, people))
        for found in (_means(rng, people, given), _norms(rng, people, given)):
            rows += [{"people": people, **row} for row in found]
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="{:.1f}".format))
    if given.csv:
        table.to_csv(given.csv, index=False, float_format="%.1f")


def _means(
    rng: np.random.Generator, people: int, given: argparse.Namespace
) -> Iterator[dict[str, object]]:
    """Error and power of each comparison of means, in percent."""
    kinds = {"normal": EFFECT, "skewed": EFFECT, "success": 2 * EFFECT}
    for kind, effect in kinds.items():
        alike, apart = (
            _rejected(_conditions(rng, people, given.cohorts, (by, 0), kind), given)
            for by in (0, effect)
        )
        for method, error in alike.items():
            yield _row(f"means, {kind}", method, error, apart[method], given.cohorts)
    runs = given.cohorts // 4
    values = _conditions(rng, people, runs, (0,) * CONDITIONS, "normal")
    gaps = [one - other for one, other in combinations(values, 2)]
    person = np.repeat(np.arange(people), 2)
    pvalues = [paired_means(gap, person, permutations=given.permutations).pvalue for gap in gaps]
    lowest = false_discovery_control(np.stack(pvalues), axis=0).min(axis=0)
    yield _row("any of 45", "sign flips, people, q", lowest <= LEVEL, None, runs)


def _conditions(
    rng: np.random.Generator, people: int, cohorts: int, effects: Sequence[float], kind: str
) -> list[Floats]:
    """Values of one condition per effect, ``(2·people, cohorts)`` each, on the same eyes."""
    person = np.repeat(np.arange(people), 2)
    shape = people, cohorts
    both = 2 * people, cohorts
    shared = OF_PERSON * rng.normal(size=shape)[person] + OF_EYE * rng.normal(size=both)
    made = []
    for number, effect in enumerate(effects):
        departs = rng.normal(size=shape)
        if kind == "skewed":
            departs = np.zeros(shape) if number else rng.exponential(size=shape) - 1
        own = PERSON_DEPARTS * departs[person] + EYE_DEPARTS * rng.normal(size=both)
        values = shared + effect + own
        made.append((values > BUDGET).astype(float) if kind == "success" else values)
    return made


def _rejected(values: list[Floats], given: argparse.Namespace) -> dict[str, NDArray[np.bool_]]:
    """Which cohorts each method tells apart."""
    one, other = values
    people = len(one) // 2
    person = np.repeat(np.arange(people), 2)
    of_person = [values.reshape(people, 2, -1).mean(axis=1) for values in (one, other)]
    blocks = count_blocks(people, people, resamples=given.resamples, seed=given.seed)
    counts = np.concatenate(list(blocks)) / people
    ends = [
        np.quantile(counts @ means, [LEVEL / 2, 1 - LEVEL / 2], axis=0)
        for means in (*of_person, of_person[0] - of_person[1])
    ]
    gap = one - other
    how = {"permutations": given.permutations, "seed": given.seed}
    return {
        "intervals apart": (ends[0][0] > ends[1][1]) | (ends[1][0] > ends[0][1]),
        "percentile interval": (ends[2][0] > 0) | (ends[2][1] < 0),
        "sign flips, eyes": paired_means(gap, np.arange(len(gap)), **how).pvalue <= LEVEL,
        "sign flips, people": paired_means(gap, person, **how).pvalue <= LEVEL,
    }


def _norms(
    rng: np.random.Generator, people: int, given: argparse.Namespace
) -> Iterator[dict[str, object]]:
    """Error and power of each comparison of norms, in percent."""
    person = np.repeat(np.arange(people), 2)
    told: dict[str, dict[str, NDArray[np.bool_]]] = {}
    for case, effect in (("alike", 0.0), ("differ", EFFECT), ("half resist", 0.0)):
        logs, others = _conditions(rng, people, given.survival_cohorts, (effect, 0), "normal")
        if case == "half resist":
            logs = np.where((person % 2 == 0)[:, None], np.inf, logs)
        found: dict[str, list[float]] = {
            "log-rank, eyes": [],
            "log-rank, people": [],
            "solved only": [],
        }
        for own, other in zip(logs.T, others.T, strict=True):
            norms, other_norms = (
                np.where(each > BUDGET, np.inf, np.exp(each)) for each in (own, other)
            )
            found["log-rank, eyes"].append(_naive(norms, other_norms))
            test = paired_log_rank(norms, other_norms, person, permutations=given.permutations // 2)
            found["log-rank, people"].append(test.pvalue)
            with np.errstate(invalid="ignore"):
                gap = np.log(norms) - np.log(other_norms)
            gap[~np.isfinite(gap)] = np.nan
            solved = paired_means(gap[:, None], person, permutations=given.permutations // 2)
            found["solved only"].append(float(solved.pvalue[0]))
        told[case] = {name: np.asarray(pvalues) <= LEVEL for name, pvalues in found.items()}
    for method, error in told["alike"].items():
        power = told["differ"][method]
        yield _row("norms", method, error, power, given.survival_cohorts)
        resist = told["half resist"][method]
        yield _row("norms, half resist", method, None, resist, given.survival_cohorts)


def _naive(norms: Floats, other_norms: Floats) -> float:
    both = []
    for each in (norms, other_norms):
        solved = np.isfinite(each)
        right = np.full((~solved).sum(), np.exp(BUDGET))
        both.append(CensoredData(uncensored=each[solved], right=right))
    return float(logrank(*both).pvalue)


def _row(
    comparison: str,
    method: str,
    error: NDArray[np.bool_] | None,
    power: NDArray[np.bool_] | None,
    cohorts: int,
) -> dict[str, object]:
    return {
        "comparison": comparison,
        "method": method,
        "cohorts": cohorts,
        "false_positive_percent": np.nan if error is None else 100 * error.mean(),
        "power_percent": np.nan if power is None else 100 * power.mean(),
    }


if __name__ == "__main__":
    main()
