"""Every condition minus every other on the same eyes, and what that says of the modulation."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from fundus_ml.imaging.regions.energy_shares import OUTSIDE
from fundus_ml.modulation.control_table import MODULATION
from fundus_ml.modulation.effects import areas_under_path
from fundus_ml.modulation.null_distribution import is_shuffled
from fundus_ml.modulation.saliency import GRADIENT
from fundus_ml.statistics.bootstrap import CONFIDENCE, Floats
from fundus_ml.statistics.pairwise import PERMUTATIONS, Measure, pairwise_differences

NOT_SEEN = 0.5
"""Energy, in squared grey levels, that stands for none: half of what one value's one level has."""
ENRICHMENT, LOG_ENRICHMENT, SUCCESS, AREA, EVALUATOR = (
    "enrichment",
    "log_enrichment",
    "success",
    "area",
    "evaluator_prob_target",
)
"""Measures."""


def paired_differences(
    effects: Mapping[str, pd.DataFrame],
    shares: Mapping[str, pd.DataFrame],
    eyes: pd.DataFrame,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Subtract the conditions from one another, eye by eye, and test the means over people.

    Args:
        effects: By condition, rows of :func:`fundus_ml.modulation.effects.effect_rows`, with the
            independent evaluator's columns where there is one.
        shares: By condition, rows of :func:`fundus_ml.modulation.localisation.region_shares`.
        eyes: Manifest rows of the N eyes: ``image_id person_group``.
        permutations: Sign vectors drawn.
        seed: Seed of the draw.

    Returns:
        One row per pair of conditions, measure and part: ``condition other measure part eyes people
        difference low high p q``. Measures: at the largest budget ``enrichment`` by part, each
        eye's share of energy over the mean share of area, so that the mean is the pooled
        enrichment, ``log_enrichment``, the natural logarithm of each eye's own, ``success`` and
        ``evaluator_prob_target``, the independent evaluator's P(target); over all budgets
        ``area``. The mean share of area is that of all eyes which show the part, one figure for all
        conditions. ``difference`` is the mean over the ``eyes`` that both conditions changed, with
        its 95 % interval; ``p`` flips signs person by person, ``q`` is its false discovery rate
        within the measure. Null models are not compared with one another. Each network is asked
        about its own pictures.

    Source:
        :func:`fundus_ml.statistics.pairwise.pairwise_differences`.
    """
    areas = _mean_areas(shares.values())
    measured = {
        condition: _by_eye(rows, shares[condition], eyes, areas=areas)
        for condition, rows in effects.items()
    }
    found = pairwise_differences(
        measured,
        eyes["person_group"],
        apart=[condition for condition in measured if is_shuffled(condition)],
        permutations=permutations,
        seed=seed,
    )
    return found[found["eyes"] > 0].reset_index(drop=True)


def beyond_one_gradient(differences: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows that the claim rests on: modulation minus gradient squared."""
    own = (differences["condition"] == MODULATION) & (differences["other"] == GRADIENT)
    return differences[own].reset_index(drop=True)


def gradient_words(differences: pd.DataFrame) -> str:
    """Say in one sentence where a modulation shows more than one gradient, or less.

    Args:
        differences: Rows of :func:`paired_differences`; enrichments are told as differences of the
            pooled ones.

    Returns:
        Empty where gradient squared is not among the conditions.
    """
    rows = beyond_one_gradient(differences)
    rows = rows[rows["measure"] != LOG_ENRICHMENT]
    if rows.empty:
        return ""
    level = 1 - CONFIDENCE
    told = rows["q"] < level
    groups = {
        "more": rows[told & (rows["difference"] > 0)],
        "less": rows[told & (rows["difference"] < 0)],
        "no difference in": rows[~told],
    }
    words = [
        f"{sign} {', '.join(_named(row, shown=sign != 'no difference in') for row in found)}"
        for sign, found in ((name, part.to_dict("records")) for name, part in groups.items())
        if found
    ]
    return f"{MODULATION} minus {GRADIENT} (q < {level:.2g}): {'; '.join(words)}"


def _named(row: Mapping[Hashable, Any], *, shown: bool) -> str:
    """One measure in words, with its difference where it is told from none."""
    words = " ".join(filter(None, (str(row["part"]), str(row["measure"]).replace("_", " "))))
    return f"{words} {float(row['difference']):+.2f}" if shown else words


def _mean_areas(shares: Iterable[pd.DataFrame]) -> "pd.Series[float]":
    """Mean share of area of each part, over the eyes that show it, changed or not."""
    known = pd.concat([found[["image_id", "part", "area_share"]] for found in shares])
    known = known[known["area_share"] > 0].drop_duplicates(["image_id", "part"])
    return known.groupby("part")["area_share"].mean()


def _by_eye(
    effects: pd.DataFrame,
    shares: pd.DataFrame,
    eyes: pd.DataFrame,
    *,
    areas: "pd.Series[float]",
) -> dict[Measure, Floats]:
    """Give each eye its measures, ``(N,)`` each; NaN where it has none."""
    strongest = effects[effects["eps"] == effects["eps"].max()].set_index("image_id")
    measured = {
        (SUCCESS, ""): strongest["success"].astype(float),
        (AREA, ""): areas_under_path(effects),
    }
    if EVALUATOR in strongest:
        measured[EVALUATOR, ""] = strongest[EVALUATOR].astype(float)
    energy = (255 * strongest["l2"].astype(float)) ** 2
    last = shares[shares["eps"] == shares["eps"].max()]
    off = last[last["part"] == OUTSIDE].set_index("image_id")["energy_share"].astype(float)
    on_retina = energy * (1 - off.reindex(energy.index).fillna(0))
    for part, rows in last.groupby("part", sort=False):
        by_eye = rows.set_index("image_id")[["energy_share", "area_share"]].astype(float)
        shown = by_eye[by_eye["area_share"] > 0].dropna()
        measured[ENRICHMENT, str(part)] = shown["energy_share"] / areas.get(part, np.nan)
        whole = energy if part == OUTSIDE else on_retina
        least = NOT_SEEN / whole.reindex(shown.index)
        share = np.maximum(shown["energy_share"], least)
        measured[LOG_ENRICHMENT, str(part)] = np.log(share / shown["area_share"])
    return {name: by_eye.reindex(eyes["image_id"]).to_numpy() for name, by_eye in measured.items()}
