"""Every condition minus every other on the same eyes: intervals and tests over people, with FDR.

Two intervals that overlap do not say that conditions are alike, and two that do not say more than
is needed: the conditions change the same eyes, so what counts is the difference of each eye.
"""

from collections.abc import Hashable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from fundus_ml.modulation.control_table import MODULATION
from fundus_ml.modulation.effects import areas_under_path
from fundus_ml.modulation.null_distribution import is_shuffled
from fundus_ml.modulation.saliency import GRADIENT
from fundus_ml.statistics.bootstrap import CONFIDENCE
from fundus_ml.statistics.false_discoveries import q_values
from fundus_ml.statistics.sign_flips import paired_means

PERMUTATIONS = 9999
"""Sign vectors behind each p-value: it is never below 1/10,000."""
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
DIFFERENCE_COLUMNS = (
    "condition",
    "other",
    "measure",
    "part",
    "eyes",
    "people",
    "difference",
    "low",
    "high",
    "p",
    "q",
)


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
        ``area``. ``difference`` is the mean over the
        ``eyes`` that both conditions changed, with its 95 % interval; ``p`` flips signs person by
        person, ``q`` is its false discovery rate within the measure. Null models are not compared
        with one another. Each network is asked about its own pictures.

    Source:
        :func:`fundus_ml.statistics.sign_flips.paired_means`; Benjamini and Hochberg 1995.
    """
    measured = {
        condition: _by_eye(rows, shares[condition], eyes) for condition, rows in effects.items()
    }
    pairs = [
        (one, other)
        for one, other in combinations(measured, 2)
        if not (is_shuffled(one) and is_shuffled(other))
    ]
    columns, named = [], []
    for one, other in pairs:
        gap = measured[one] - measured[other]
        columns.append(gap.to_numpy())
        named += [(one, other, *column) for column in gap.columns.to_flat_index()]
    if not named:
        return pd.DataFrame(columns=list(DIFFERENCE_COLUMNS))
    found = paired_means(
        np.concatenate(columns, axis=1),
        eyes["person_group"].to_numpy(),
        permutations=permutations,
        seed=seed,
    )
    rows = pd.DataFrame(named, columns=["condition", "other", "measure", "part"]).assign(
        eyes=found.rows,
        people=found.people,
        difference=found.mean,
        low=found.low,
        high=found.high,
        p=found.pvalue,
    )
    rows = rows[rows["eyes"] > 0].reset_index(drop=True)
    rows["q"] = rows.groupby("measure")["p"].transform(q_values)
    return rows[list(DIFFERENCE_COLUMNS)]


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


def _by_eye(effects: pd.DataFrame, shares: pd.DataFrame, eyes: pd.DataFrame) -> pd.DataFrame:
    """Measures of each eye, ``(N, measures)`` with columns ``(measure, part)``; NaN where none."""
    strongest = effects[effects["eps"] == effects["eps"].max()].set_index("image_id")
    measured = {
        (SUCCESS, ""): strongest["success"].astype(float),
        (AREA, ""): areas_under_path(effects),
    }
    if EVALUATOR in strongest:
        measured[EVALUATOR, ""] = strongest[EVALUATOR].astype(float)
    energy = (255 * strongest["l2"].astype(float)) ** 2
    last = shares[shares["eps"] == shares["eps"].max()]
    for part, rows in last.groupby("part", sort=False):
        by_eye = rows.set_index("image_id")[["energy_share", "area_share"]].astype(float)
        shown = by_eye[by_eye["area_share"] > 0].dropna()
        measured[ENRICHMENT, str(part)] = shown["energy_share"] / shown["area_share"].mean()
        least = NOT_SEEN / energy.reindex(shown.index)
        share = np.maximum(shown["energy_share"], least)
        measured[LOG_ENRICHMENT, str(part)] = np.log(share / shown["area_share"])
    return pd.DataFrame(measured).reindex(eyes["image_id"])
