"""False findings and power of the tests that say where a change goes, by simulation.

    python -m benchmarks.null_tests --csv docs/results/null_tests.csv

A study has one network that is asked and K null models, six parts and three budgets. The logarithm
of the energy per area of a part is the part's mean plus what the network likes there (normal; or
skewed, an exponential, so that a few networks like one place very much; or with zeros, where one
network in ten changes nothing in a part), the same over budgets up to noise; means and spreads of
18 measured shuffled networks. Without a plant the network that is asked is one more of them: any
finding is false. With a plant its energy in that part is multiplied. *interval* is the test before:
5 % of a t of K - 1 degrees of freedom on logarithms, zeros left out, in one part or any of them,
upwards or downwards.
*rank* is the rank among the null models in one part and budget, *rank, largest* against their
largest of all parts and budgets. *over sham* is the paired test of part against sham over people,
whose shares are skewed and go together. Nominal level .05; 1/21 = .048 can be reached with 20.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from fundus_ml.imaging.regions.maps import PARTS
from fundus_ml.modulation.localisation import LEAST_SHARE, enrichment_by_part
from fundus_ml.modulation.null_distribution import rank_pvalues

Floats = NDArray[np.float64]

AREAS = np.array([0.025, 0.07, 0.16, 0.28, 0.24, 0.225])
"""Shares of the square of the parts of painted eyes, in the order of PARTS."""
BUDGETS = 3
LEVEL = 0.05
CENTRES = np.array([4.96, 1.43, 1.10, 1.01, 1.0, 0.5])
SPREADS = np.array([0.88, 0.39, 0.22, 0.44, 0.3, 0.5])
"""Geometric mean of energy per area, and standard deviation over networks of its logarithm: of the
first four parts those of docs/results/null_distribution.csv."""
EYES, PEOPLE = 36, 24
"""Eyes and people of the paired test."""


def main() -> None:
    """Simulate every case and write a row each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args()
    rows = [
        {"nulls": shape, "null_models": networks, "cue": cue, "times": planted, **found}
        for shape in ("normal", "skewed", "zeros")
        for networks in (3, 20, 60)
        for cue, planted in (("none", 1), ("disc", 5), ("disc", 25), ("macula", 5), ("macula", 25))
        for found in tested(shape, networks, cue, planted, runs=given.runs)
    ]
    rows += [
        {"nulls": "none", "null_models": 0, "cue": cue, "times": times, **paired(times, 1000)}
        for cue, times in (("none", 1), ("disc", 2))
    ]
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    if given.csv:
        table.to_csv(given.csv, index=False, lineterminator="\n", float_format="%.4f")


def tested(
    shape: str, networks: int, cue: str, planted: float, *, runs: int
) -> list[dict[str, object]]:
    """Rates at which each test finds the planted part (with none: the disc), or anything."""
    generator = np.random.default_rng((networks, int(planted), len(shape), len(cue)))
    part = PARTS.index("disc" if cue == "none" else cue)
    found: dict[str, list[bool]] = {}
    for _ in range(runs):
        shares = drawn(generator, shape, networks + 1, cue, planted)
        logits = np.log(shares + LEAST_SHARE) - np.log(1 - shares + LEAST_SHARE)
        flat = logits.reshape(networks + 1, -1)
        p, p_max = (each.reshape(BUDGETS, -1) for each in rank_pvalues(flat[0], flat[1:]))
        interval = interval_pvalues(shares / AREAS)
        for name, told in {
            "interval, the part at one budget": interval[0, part] < LEVEL,
            "interval, any part and budget": (interval < LEVEL).any(),
            "rank, the part at one budget": p[0, part] < LEVEL,
            "rank, largest: the part": (p_max[:, part] < LEVEL).any(),
            "rank, largest: any part and budget": (p_max < LEVEL).any(),
        }.items():
            found.setdefault(name, []).append(bool(told))
    return [
        {"test": name, "runs": runs, "found": float(np.mean(told))} for name, told in found.items()
    ]


def drawn(
    generator: np.random.Generator, shape: str, networks: int, cue: str, planted: float
) -> Floats:
    """Shares of energy ``(networks, budgets, parts)``, the network that is asked first."""
    size = (networks, 1, len(PARTS))
    if shape == "skewed":
        liked = generator.exponential(size=size) - 1
    else:
        liked = generator.normal(size=size)
    noise = 0.2 * generator.normal(size=(networks, BUDGETS, len(PARTS)))
    energy = AREAS * CENTRES * np.exp(SPREADS * (liked + noise))
    if shape == "zeros":
        energy *= generator.random(size) > 0.1  # noqa: PLR2004 (one in ten)
    if cue != "none":
        energy[0, :, PARTS.index(cue)] *= planted
    total = energy.sum(axis=2, keepdims=True)
    return np.asarray(np.divide(energy, total, where=total > 0, out=np.zeros_like(energy)))


def interval_pvalues(enrichment: Floats) -> Floats:
    """Two-sided p of the first network by the t on logarithms, ``(budgets, parts)``; 1 if none."""
    with np.errstate(divide="ignore"):
        logs = np.log(enrichment)
    logs[~np.isfinite(logs)] = np.nan
    networks = (~np.isnan(logs[1:])).sum(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        centre, spread = np.nanmean(logs[1:], axis=0), np.nanstd(logs[1:], axis=0, ddof=1)
        reach = spread * np.sqrt((networks + 1) / networks)
        p = 2 * stats.t.sf(np.abs(logs[0] - centre) / reach, networks - 1)
    return np.where(np.isnan(p), 1.0, p)


def paired(planted: float, runs: int) -> dict[str, object]:
    """Rate at which the disc is told from its sham over people."""
    generator = np.random.default_rng(int(planted))
    person = np.arange(EYES) % PEOPLE
    eyes = pd.DataFrame(
        {"image_id": [str(eye) for eye in range(EYES)], "person_group": person.astype(str)}
    )
    told = []
    for run in range(runs):
        both = 0.5 * generator.normal(size=(PEOPLE, 1))[person]
        each = generator.exponential(size=(PEOPLE, 2))[person] + 0.3 * generator.normal(
            size=(EYES, 2)
        )
        own, sham = (0.02 * np.exp(both + each)).clip(0, 0.4).T
        shares = pd.DataFrame(
            {
                "image_id": eyes["image_id"], "eps": 1.0, "part": "disc",
                "energy_share": (planted * own).clip(0, 0.9), "area_share": 0.033,
                "enrichment": planted * own / 0.033, "sham_energy_share": sham,
                "sham_area_share": 0.024,
            }
        )  # fmt: skip
        shares["sham_energy_share"] *= 0.024 / 0.033
        row = enrichment_by_part(shares, eyes, resamples=999, seed=run).iloc[0]
        told.append(row["over_sham_p"] < LEVEL)
    return {"test": "over sham", "runs": runs, "found": float(np.mean(told))}


if __name__ == "__main__":
    main()
