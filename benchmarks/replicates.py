"""Networks are a sample too: coverage of both intervals, null models by where they start.

    python -m benchmarks.replicates --part intervals --csv docs/results/replicates.csv
    python -m benchmarks.replicates --part networks --out /scratch --csv docs/results/replicates.csv

`intervals` simulates K networks asked about the same 60 people (two eyes each): network k says of
an eye N_k + person + noise, of SD 0 or 0.5, 1 and 0.5. Of 500 simulated studies each: how often the
interval over people, Owen's pigeonhole bootstrap (percentiles) and the interval over both of
`crossed_mean` exclude the mean over all people and networks (nominal 0.05), and how often they lie
above 0 where that mean is 0.4 (power). The same for the AUROC of five networks, 0.5 or 0.69.

`networks` trains small networks on painted eyes with a sexed disc (64 pixels). Three null models
start from the network that learned the true labels, as `robustify labels=shuffled` once did by
default, three from random weights: AUROC on the true labels of the test split. Of more null models
and of networks of true labels: the mean, its interval over both, and the variance between networks
over the variance over people; of the latter that of the enrichment in the disc too.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from fundus_ml.statistics.bootstrap import cluster_counts
from fundus_ml.statistics.clustered import weighted_auroc
from fundus_ml.statistics.crossed import Crossed, crossed_auroc, crossed_mean, crossed_ratio

if TYPE_CHECKING:
    from benchmarks.replicate_networks import Networks

PEOPLE, RESAMPLES = 60, 300
EFFECTS = {"mean": 0.4, "AUROC": 0.8}
OWNERS = np.repeat(np.arange(PEOPLE), 2)
NO_SKILL = 0.5
Row = dict[str, object]
NOISE = 0.5
"""SD of a network's opinion of one eye, beside that of the person, 1."""
STARTS = ("true labels", "random weights")


def main() -> None:
    """Run from the command line."""
    given = _given()
    found = _intervals(given.studies) if given.part == "intervals" else _networks(given)
    rows: list[Row] = []
    for row in found:
        print(*row.values(), flush=True)
        rows.append(row)
        if given.csv is not None:
            _write(rows, given.csv, part=given.part)


def _write(rows: list[Row], file: Path, *, part: str) -> None:
    """Put the rows so far in place of those of an earlier run of the same part."""
    table = pd.DataFrame(rows)
    if file.is_file():
        kept = pd.read_csv(file)
        table = pd.concat([kept[kept["part"] != part], table], ignore_index=True)
    table.sort_values("part", kind="stable").to_csv(file, index=False, float_format="%.4g")


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["intervals", "networks"], required=True)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--nulls", type=int, default=20)
    parser.add_argument("--trues", type=int, default=5)
    return parser.parse_args()


def _intervals(studies: int) -> Iterator[Row]:
    cells = [("mean", networks, spread) for networks in (3, 5, 20) for spread in (0.0, 0.5)]
    for statistic, networks, spread in [*cells, ("AUROC", 5, 0.5)]:
        study = _mean_study if statistic == "mean" else _auroc_study
        setting = {"part": "intervals", "setting": f"{statistic}, {networks} networks, SD {spread}"}
        for effect in (0.0, EFFECTS[statistic]):
            truth = _truth(effect, spread) if statistic == "AUROC" else effect
            nothing = NO_SKILL if statistic == "AUROC" else 0.0
            found = [study(networks, spread, effect, seed) for seed in range(studies)]
            for interval, ends in pd.DataFrame(found).items():
                low, high = np.array(ends.to_list()).T
                share = ((low > truth) | (high < truth)) if not effect else low > nothing
                what = "power" if effect else "excludes the truth"
                yield setting | {
                    "measure": f"{what}, {interval}",
                    "value": share.mean(),
                    "error": np.sqrt(share.mean() * (1 - share.mean()) / studies),
                    "n": studies,
                }


def _truth(effect: float, spread: float) -> float:
    """AUROC of all such networks: theirs is normal in the effect, whose mean has a closed form."""
    return float(norm.cdf(effect / np.sqrt(2 * (1 + NOISE**2) + spread**2)))


def _mean_study(
    networks: int, spread: float, effect: float, seed: int
) -> dict[str, tuple[float, float]]:
    draw = np.random.default_rng(seed)
    values = effect + spread * draw.standard_normal((networks, 1)) + _opinions(networks, draw)
    weights = cluster_counts(OWNERS, resamples=RESAMPLES, seed=seed)
    each = values @ weights.T / weights.sum(axis=1)
    return _ends(crossed_mean(values, OWNERS, resamples=RESAMPLES, seed=seed), each, draw)


def _auroc_study(
    networks: int, spread: float, effect: float, seed: int
) -> dict[str, tuple[float, float]]:
    draw = np.random.default_rng(seed)
    labels = OWNERS % 2
    own = effect + spread * draw.standard_normal((networks, 1))
    scores = labels * own + _opinions(networks, draw)
    weights = cluster_counts(OWNERS, resamples=RESAMPLES, seed=seed)
    each = np.stack([weighted_auroc(labels, one, weights) for one in scores])
    found = crossed_auroc(labels, scores, OWNERS, resamples=RESAMPLES, seed=seed)
    return _ends(found, each, draw)


def _opinions(networks: int, draw: np.random.Generator) -> NDArray[np.float64]:
    """What networks say of eyes beside what they are asked: of the person, and by chance."""
    return draw.standard_normal(PEOPLE)[OWNERS] + NOISE * draw.standard_normal(
        (networks, len(OWNERS))
    )


def _ends(
    found: Crossed, each: NDArray[np.float64], draw: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """Ends of the three intervals; the pigeonhole bootstrap draws networks for each draw of people.

    ``each`` holds ``(K, resamples)``, a network's value on each draw of people.
    """
    networks = len(each)
    drawn = draw.multinomial(networks, np.full(networks, 1 / networks), size=each.shape[1])
    low, high = np.quantile((drawn.T * each).sum(axis=0) / networks, [0.025, 0.975])
    return {
        "people": (found.over_people.low, found.over_people.high),
        "pigeonhole": (float(low), float(high)),
        "people and networks": (found.over_both.low, found.over_both.high),
    }


def _networks(given: argparse.Namespace) -> Iterator[Row]:
    from benchmarks import replicate_networks  # noqa: PLC0415 (torch takes seconds)

    made = replicate_networks.Networks(given.out, epochs=given.epochs)

    def told(setting: str, measure: str, value: float, error: float, n: int) -> Row:
        row: Row = {"part": "networks", "setting": setting, "measure": measure}
        return row | {"value": value, "error": error, "n": n}

    own = _aurocs(made, made.true(0)[None]).over_people.value
    yield told("network of true labels that they start from", "AUROC", own, np.nan, 1)
    for start in STARTS:
        logits = np.stack([made.null(seed, start=start) for seed in range(1, 4)])
        for seed, auroc in enumerate(_aurocs(made, logits).each, 1):
            yield told(f"null model {seed} from {start}", "AUROC on true labels", auroc, np.nan, 1)
    nulls = np.stack([made.cheap_null(seed) for seed in range(1, given.nulls + 1)])
    found = _aurocs(made, nulls)
    yield told("null models", "mean AUROC on true labels", *_half(found), given.nulls)
    yield told("null models", "SD of the AUROC", found.between, np.nan, given.nulls)
    yield told("null models", "AUROC: variance ratio", found.variance_ratio, np.nan, given.nulls)
    trues = np.stack([made.true(seed) for seed in range(given.trues)])
    found = _aurocs(made, trues)
    yield told("true labels", "mean AUROC", *_half(found), len(trues))
    yield told("true labels", "AUROC: variance ratio", found.variance_ratio, np.nan, len(trues))
    energy, area, people = made.disc_shares(range(given.trues))
    disc = crossed_ratio(energy, area, people)
    yield told("true labels", "enrichment in the disc", *_half(disc), len(trues))
    yield told("true labels", "enrichment: variance ratio", disc.variance_ratio, np.nan, len(trues))


def _aurocs(made: "Networks", logits: NDArray[np.float64]) -> Crossed:
    return crossed_auroc(made.labels, logits, made.people)


def _half(found: Crossed) -> tuple[float, float]:
    """Value and half the width of the interval over both."""
    both = found.over_both
    return both.value, (both.high - both.low) / 2


if __name__ == "__main__":
    main()
