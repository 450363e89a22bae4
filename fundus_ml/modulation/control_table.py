"""A modulation beside its controls: one row each, and what each must be compared on."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.modulation.effects import area_under_path
from fundus_ml.modulation.norm_tables import asked_of
from fundus_ml.statistics.clustered import clustered_mean, clustered_median

MODULATION = "modulation"
"""Condition: pictures that the model itself made."""
CLEAN_MODEL, SHUFFLED_MODEL = "clean model", "shuffled model"
"""Conditions: the same search with a network not trained to be robust, and with one that learned
shuffled labels."""
ENSEMBLE = "ensemble"
"""Condition: the same search with the mean logit of all models and the clean model."""


def control_table(
    effects: Mapping[str, pd.DataFrame],
    min_norms: Mapping[str, NDArray[np.float64]],
    *,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Compare what each condition of change did, with 95 % intervals clustered by person.

    Args:
        effects: By condition, rows of :func:`fundus_ml.modulation.effects.effect_rows` as the
            network that is asked about this condition scored them, with the independent evaluator's
            columns where there is one.
        min_norms: By condition that searched them, ``(N,)`` minimal perturbation norms.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.

    Returns:
        One row per condition: ``condition eyes eps l2`` at the largest budget; there ``success``
        and, with an independent evaluator, ``transferred``; ``area``, the mean of P(target) over
        the budgets, and ``evaluator_area``; ``min_norm``, the median over eyes that did not look
        like the target already. Each with ``_low`` and ``_high``; NaN where it was not measured.
    """
    rows = []
    for condition, eyes in effects.items():
        strongest = eyes[eyes["eps"] == eyes["eps"].max()]
        people = strongest["person_group"].to_numpy()
        mean = partial(clustered_mean, groups=people, resamples=resamples, seed=seed)
        area = partial(area_under_path, eyes, resamples=resamples, seed=seed)
        measured = {"success": mean(strongest["success"].to_numpy(float)), "area": area()}
        if "transferred" in eyes:
            measured["transferred"] = mean(strongest["transferred"].to_numpy(float))
            measured["evaluator_area"] = area(column="evaluator_prob_target")
        asked = (
            asked_of(min_norms[condition])
            if condition in min_norms
            else np.zeros(len(people), np.bool_)
        )
        if asked.any():
            measured["min_norm"] = clustered_median(
                min_norms[condition][asked], people[asked], resamples=resamples, seed=seed
            )
        row: dict[str, object] = {
            "condition": condition,
            "eyes": len(strongest),
            "eps": strongest["eps"].iloc[0],
            "l2": strongest["l2"].mean(),
        }
        for name, interval in measured.items():
            row |= interval.columns(name)
        rows.append(row)
    return pd.DataFrame(rows)
