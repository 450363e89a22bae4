"""What a measured split leaves on its run: tables, figures, the calibration, a table to read."""

from collections.abc import Mapping, Sequence

import pandas as pd
from numpy.typing import ArrayLike

from fundus_ml.data.contrasts import Contrast
from fundus_ml.evaluation.calibration import (
    Calibration,
    calibration_effect,
    ece,
    probabilities,
    reliability,
)
from fundus_ml.evaluation.metrics import MEASURES
from fundus_ml.evaluation.scores import CLEAN, long_scores
from fundus_ml.figures import auroc_by_eps, reliability_figure, roc_figure, subgroup_forest
from fundus_ml.statistics.clustered import Interval
from tracking.runs import Run

SCORES = "scores.json"
"""Every measure of a run with its interval, per eye and per person, clean and attacked."""
THRESHOLD_CHOICE = "the largest sensitivity + specificity - 1 on the validation eyes"


def subgroup_columns(people: tuple[str, str]) -> list[str]:
    """Name the columns of a table of subgroups that are shown."""
    counts = ["attribute", "group", "eyes", "people", *people]
    return [*counts, "auroc", "auroc_low", "auroc_high", "apart", "apart_q", "reason"]


def log_scores(
    run: Run,
    predicted: pd.DataFrame,
    table: pd.DataFrame,
    *,
    beside: Sequence[pd.DataFrame],
    name: str,
    constraint: str,
    contrast: Contrast,
) -> None:
    """Store every measure, the ROC curves and, where there were attacks, AUROC by budget.

    Args:
        run: Gets ``scores.json`` and the figures.
        predicted: One row per eye and attack.
        table: One row of measures per attack.
        beside: Rows of further measures, laid out as in ``scores.json``.
        name: What the figures call the network.
        constraint: Ball of the attacks.
        contrast: What the logits answer.
    """
    run.log_table(pd.concat([long_scores(table), *beside]), SCORES)
    curves, intervals = _curves(predicted, table)
    run.log_figure(
        roc_figure(curves, intervals, called=contrast.classes[1], people=contrast.people), "roc.png"
    )
    if len(table) > 1:
        by_eps = auroc_by_eps(_by_eps(table, name), constraint=constraint)
        run.log_figure(by_eps, "auroc_by_eps.png")


def log_subgroups(run: Run, subgroups: pd.DataFrame, *, title: str) -> None:
    """Store the scores of the subgroups and, where any could be measured, their forest plot."""
    run.log_table(subgroups, "subgroups.json")
    if subgroups["reason"].eq("").any():
        run.log_figure(subgroup_forest(subgroups, title=title), "subgroups.png")


def log_calibration(
    run: Run,
    calibration: Calibration,
    parts: Mapping[str, pd.DataFrame],
    *,
    fitted_on: str,
    scored: str,
    contrast: Contrast,
) -> None:
    """Store a calibration, what it does to each split, and the reliability diagram of one.

    Args:
        run: Gets ``calibration.json`` and ``reliability.png``.
        calibration: Temperature and threshold.
        parts: Clean predictions of each split.
        fitted_on: Where the calibration comes from.
        scored: The split of the diagram.
        contrast: What the logits answer.
    """
    record = {
        "temperature": calibration.temperature,
        "temperature_at_limit": calibration.at_limit,
        "threshold": calibration.threshold,
        "threshold_chosen_by": THRESHOLD_CHOICE,
        "fitted_on": fitted_on,
        "effect": {
            split: calibration_effect(eyes["label"], eyes["logit"], calibration)
            for split, eyes in parts.items()
        },
    }
    run.log_json(record, "calibration.json")
    labels, logits = parts[scored]["label"], parts[scored]["logit"]
    scaled = probabilities(logits, temperature=calibration.temperature)
    readings = {
        "as trained": probabilities(logits),
        f"temperature {calibration.temperature:.3g}": scaled,
    }
    figure = reliability_figure(
        {name: reliability(labels, prob) for name, prob in readings.items()},
        ece={name: ece(labels, prob) for name, prob in readings.items()},
        of=contrast.classes[1],
    )
    run.log_figure(figure, "reliability.png")


def readable_scores(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out a table of scores for a screen: a line per measure, a column per attack and level."""
    rows = long_scores(table)
    attack = [_name(row) for row in rows.to_dict("records")]
    text = {
        "column": [f"{name}, per {per}" for name, per in zip(attack, rows["per"], strict=True)],
        "cell": [
            f"{Interval(*ends):.3f}"
            for ends in rows[["value", "low", "high"]].itertuples(index=False)
        ],
    }
    columns = list(dict.fromkeys(text["column"]))
    wide = rows.assign(**text).pivot_table(
        index="measure", columns="column", values="cell", aggfunc="first"
    )
    return wide.loc[list(MEASURES), columns].rename_axis(columns=None).reset_index()


def under_attack(table: pd.DataFrame) -> str:
    """Say the AUROC at each budget, to follow that of clean eyes; empty without attacks."""
    attacked = table[table["attack"] != CLEAN]
    return "".join(
        f"; {_name(row)}: {Interval.of(row, 'auroc'):.3f}" for row in attacked.to_dict("records")
    )


def counted(table: pd.DataFrame) -> str:
    """Say how many eyes and people a table of scores stands on."""
    row = table.iloc[0]
    line = (
        f"{row['eyes']} eyes of {row['people']} people; always naming the commoner class is right "
        f"for {row['majority']:.1%} of the eyes"
    )
    if row["contradicting"]:
        line += f"; {row['contradicting']} of both classes count per eye only"
    return line


def _name(row: Mapping[object, object]) -> str:
    return "clean" if row["attack"] == CLEAN else f"PGD, eps {row['eps']:g}"


def _curves(
    predicted: pd.DataFrame, table: pd.DataFrame
) -> tuple[dict[str, tuple[ArrayLike, ArrayLike]], dict[str, Interval]]:
    curves: dict[str, tuple[ArrayLike, ArrayLike]] = {}
    intervals: dict[str, Interval] = {}
    for row in table.to_dict("records"):
        eyes = predicted[(predicted["eps"] == row["eps"]) & (predicted["attack"] == row["attack"])]
        curves[_name(row)] = (eyes["label"].to_numpy(), eyes["logit"].to_numpy())
        intervals[_name(row)] = Interval.of(row, "auroc")
    return curves, intervals


def _by_eps(table: pd.DataFrame, model: str) -> pd.DataFrame:
    columns = {"auroc_low": "low", "auroc_high": "high"}
    return table.rename(columns=columns)[["eps", "auroc", "low", "high"]].assign(model=model)
