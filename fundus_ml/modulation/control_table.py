"""A modulation beside its controls: one row each, and what each must be compared on."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.modulation.effects import area_under_path
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.clustered import clustered_mean, clustered_median

MODULATION = "modulation"
"""Origin of the pictures that the model itself made."""
CLEAN_MODEL, SHUFFLED_MODEL = "clean model", "shuffled model"
"""Origins: the same search with a network not trained to be robust, and with one that learned
shuffled labels."""


def control_table(
    effects: Mapping[str, pd.DataFrame],
    least: Mapping[str, NDArray[np.float64]],
    *,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Compare what each origin of change did, with 95 % intervals clustered by person.

    Args:
        effects: By origin, rows of :func:`fundus_ml.modulation.effects.effect_rows` as the network
            that is asked about this origin scored them, with the judge's columns where there is
            one.
        least: By origin that searched them, ``(N,)`` least budgets.
        resamples: Bootstrap resamples of people.
        seed: Of the bootstrap.

    Returns:
        One row per origin: ``origin eyes eps l2`` at the largest budget; there ``success`` and,
        with a judge, ``transfer``; ``area``, the mean of P(target) over the budgets, and
        ``judge_area``; ``least_eps``, the median over eyes that did not look like the target
        already. Each with ``_low`` and ``_high``; NaN where it was not measured.
    """
    rows = []
    for origin, eyes in effects.items():
        strongest = eyes[eyes["eps"] == eyes["eps"].max()]
        people = strongest["patient_id"].to_numpy()
        mean = partial(clustered_mean, groups=people, resamples=resamples, seed=seed)
        area = partial(area_under_path, eyes, resamples=resamples, seed=seed)
        measured = {"success": mean(strongest["success"].to_numpy(float)), "area": area()}
        if "transfer" in eyes:
            measured["transfer"] = mean(strongest["transfer"].to_numpy(float))
            measured["judge_area"] = area(column="judge_prob_target")
        asked = _asked(least[origin]) if origin in least else np.zeros(len(people), np.bool_)
        if asked.any():
            measured["least_eps"] = clustered_median(
                least[origin][asked], people[asked], resamples=resamples, seed=seed
            )
        row: dict[str, object] = {
            "origin": origin,
            "eyes": len(strongest),
            "eps": strongest["eps"].iloc[0],
            "l2": strongest["l2"].mean(),
        }
        for name, interval in measured.items():
            row |= _columns(name, interval)
        rows.append(row)
    return pd.DataFrame(rows)


def least_budget_table(
    least: Mapping[str, Mapping[str, NDArray[np.float64]]],
    eyes: pd.DataFrame,
    *,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Compare the least budgets that turn the eyes, by origin and by region that may change.

    Args:
        least: By origin and region, ``(N,)`` least budgets.
        eyes: Manifest rows of the N eyes.
        resamples: Bootstrap resamples of people.
        seed: Of the bootstrap.

    Returns:
        One row each: ``origin region eyes turned least_eps least_eps_low least_eps_high``: ``eyes``
        that show the region and did not already look like the target, the share of them that
        some change turned, and their median, inf where fewer than half were.
    """
    people = eyes["patient_id"].to_numpy()
    rows = []
    for origin, by_region in least.items():
        for region, found in by_region.items():
            asked = _asked(found)
            if not asked.any():
                continue
            median = clustered_median(found[asked], people[asked], resamples=resamples, seed=seed)
            rows.append(
                {
                    "origin": origin,
                    "region": region,
                    "eyes": int(asked.sum()),
                    "turned": float(np.isfinite(found[asked]).mean()),
                    **_columns("least_eps", median),
                }
            )
    columns = ("origin", "region", "eyes", "turned", "least_eps", "least_eps_low", "least_eps_high")
    return pd.DataFrame(rows, columns=list(columns))


def _asked(least: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which eyes show the region and did not look like the target already."""
    return ~np.isnan(least) & (least > 0)


def _columns(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
