"""Minimal perturbation norms as survival times: an eye that nothing flipped is censored, not lost.

An eye is *asked* where it shows the region and does not look like the target as it is. Each eye
asked counts, whether it was flipped or not: norms of the flipped ones alone say that a network
which resists most eyes is easily moved by the rest.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.statistics.clustered import clustered_median
from fundus_ml.statistics.false_discoveries import q_values
from fundus_ml.statistics.survival import paired_log_rank, survival_curve

NORM_COLUMNS = (
    "condition",
    "region",
    "eyes",
    "already",
    "flipped",
    "min_norm",
    "min_norm_low",
    "min_norm_high",
    "log_rank",
    "p",
    "q",
)
ROUNDING = 1e-5
"""Relative error of a norm that was computed in 32 bits."""
FLIPPED_COLUMNS = ("condition", "region", "eps", "eyes", "flipped", "flipped_low", "flipped_high")

ByCondition = Mapping[str, Mapping[str, NDArray[np.float64]]]
"""``(N,)`` minimal perturbation norms by condition and region."""


def min_norm_table(
    min_norms: ByCondition,
    eyes: pd.DataFrame,
    *,
    against: str,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Compare minimal perturbation norms by condition and by the region that may change.

    Args:
        min_norms: By condition and region, ``(N,)`` minimal perturbation norms.
        eyes: Manifest rows of the N eyes.
        against: Condition that each other one is tested against.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap and of the permutations.

    Returns:
        One row each: ``condition region eyes already flipped min_norm min_norm_low min_norm_high
        log_rank p q``. ``eyes`` are asked, ``already`` look like the target as they are;
        ``flipped`` is the share of those asked that some change flipped; ``min_norm`` their median
        by Kaplan-Meier, inf where fewer than half were. ``log_rank`` is by how much more eyes
        ``against`` flips than it would, were both alike (above 1: by smaller changes), over the
        eyes asked of both; ``p`` exchanges the two person by person, ``q`` is its false discovery
        rate over the table.
    """
    people = eyes["person_group"].to_numpy()
    rows = []
    for condition, region, found, asked in _searched(min_norms):
        # No eye is censored before the end of the search: the median is Kaplan-Meier's.
        median = clustered_median(found[asked], people[asked], resamples=resamples, seed=seed)
        rows.append(
            {
                "condition": condition,
                "region": region,
                "eyes": int(asked.sum()),
                "already": int((found == 0).sum()),
                "flipped": float(np.isfinite(found[asked]).mean()),
                **median.columns("min_norm"),
                **_test(min_norms.get(against, {}).get(region), found, people, seed=seed),
            }
        )
    table = pd.DataFrame(rows, columns=[name for name in NORM_COLUMNS if name != "q"])
    return table.assign(q=q_values(table["p"]))[list(NORM_COLUMNS)]


def flipped_table(
    min_norms: ByCondition,
    eyes: pd.DataFrame,
    *,
    eps: Sequence[float],
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Share of the eyes asked that a change no larger than each budget flips.

    Args:
        min_norms: As in :func:`min_norm_table`.
        eyes: Manifest rows of the N eyes.
        eps: Budgets.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.

    Returns:
        One row per condition, region and budget: ``condition region eps eyes flipped flipped_low
        flipped_high``, 1 less Kaplan-Meier's curve with 95 % intervals clustered by person.
    """
    people = eyes["person_group"].to_numpy()
    rows = []
    for condition, region, found, asked in _searched(min_norms):
        curve = survival_curve(found[asked], people[asked], resamples=resamples, seed=seed)
        left = curve[["unsolved", "unsolved_high", "unsolved_low"]].to_numpy(float)
        reached = np.asarray(eps, float) * (1 + ROUNDING)
        places = np.searchsorted(curve["norm"].to_numpy(float), reached, side="right")
        for budget, place in zip(eps, places, strict=True):
            shares = 1 - left[place - 1] if place else np.zeros(3)
            named = dict(zip(FLIPPED_COLUMNS[-3:], shares.tolist(), strict=True))
            rows.append(
                {"condition": condition, "region": region, "eps": budget,
                 "eyes": int(asked.sum()), **named}
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(FLIPPED_COLUMNS))


def asked_of(min_norms: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which eyes show the region and do not look like the target as they are, ``(N,)``."""
    return ~np.isnan(min_norms) & (min_norms > 0)


def _searched(
    min_norms: ByCondition,
) -> Iterator[tuple[str, str, NDArray[np.float64], NDArray[np.bool_]]]:
    """Condition, region, norms and which eyes were asked, where any was."""
    for condition, by_region in min_norms.items():
        for region, found in by_region.items():
            asked = asked_of(found)
            if asked.any():
                yield condition, region, found, asked


def _test(
    own: NDArray[np.float64] | None,
    other: NDArray[np.float64],
    people: NDArray[np.generic],
    *,
    seed: int,
) -> dict[str, float]:
    """Log-rank of ``own`` against ``other``, over the eyes that both were asked of."""
    both = asked_of(other) if own is None else asked_of(own) & asked_of(other)
    if own is None or own is other or not both.any():
        return {"log_rank": np.nan, "p": np.nan}
    test = paired_log_rank(own[both], other[both], people[both], seed=seed)
    return {"log_rank": test.ratio, "p": test.pvalue}
