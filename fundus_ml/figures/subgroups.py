"""How a classifier does in each part of the eyes, one line each, with the people behind it."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fundus_ml.errors import InputError
from fundus_ml.figures.inputs import check_columns
from fundus_ml.figures.style import (
    BODY_SIZE,
    COLOURS,
    FAINT,
    GRID,
    INK,
    legend,
    make_figure,
    tidy,
)
from fundus_ml.statistics.bootstrap import Floats

LINE = 0.215
"""Inches per line of text."""
HEAD = -1.0
"""Line of the heads of the columns."""
COLUMNS = ("eyes", "people", "value (95 % interval)")
LONGEST = 28
"""Letters of a group's name that fit beside the panel; a longer one is cut."""


def subgroup_forest(frame: pd.DataFrame, *, measure: str = "auroc", title: str = "") -> Figure:
    """Forest plot: a measure in every subgroup, with its interval, eyes and people.

    Args:
        frame: Rows of :func:`fundus_ml.evaluation.subgroups.subgroup_scores`: ``attribute group
            eyes people reason`` and the measure with its ``_low`` and ``_high``; the first row is
            the whole.
        measure: Which to draw, a number in [0, 1].
        title: Stands above the panel.

    Returns:
        One panel, groups from top to bottom under their attribute, the whole as a band behind
        them; a group that was not measured says why in its line.

    Raises:
        InputError: A column is missing, or the frame is empty or measures no group.
    """
    low, high = f"{measure}_low", f"{measure}_high"
    check_columns(frame, ("attribute", "group", "eyes", "people", "reason", measure, low, high))
    measured = frame[frame["reason"] == ""]
    if measured.empty:
        raise InputError("frame: no group was measured")
    places = _places(frame)
    figure = make_figure(8.6, 1.2 + LINE * (places.max() + 1))
    axes, beside = figure.subplots(1, 2, sharey=True, width_ratios=[5, 3.5])
    axes.set_xlim(min(0.5, measured[low].min()) - 0.03, 1.01)
    _whole(axes, frame.iloc[0], measure)
    shown = (frame["reason"] == "").to_numpy()
    axes.hlines(places[shown], measured[low], measured[high], color=COLOURS[0], linewidth=2)
    axes.plot(
        measured[measure],
        places[shown],
        color=COLOURS[0],
        marker="o",
        markersize=5,
        linestyle="none",
    )
    _names(axes, frame, places)
    _counts(beside, frame, places, measure)
    if measure == "auroc":
        axes.axvline(0.5, color=FAINT, linewidth=1, linestyle="dotted", label="chance")
    legend(axes)
    axes.set_ylim(places.max() + 0.8, -1.4)
    label = "AUROC" if measure == "auroc" else measure.replace("_", " ")
    tidy(axes, xlabel=f"{label} per eye (95 % interval over people)", ylabel="", title=title)
    axes.grid(visible=False, axis="y")
    return figure


def _places(frame: pd.DataFrame) -> Floats:
    """One line per group, and half a line free before each attribute."""
    begins = frame["attribute"].ne(frame["attribute"].shift()).to_numpy()
    return np.arange(len(frame)) + 0.6 * (np.cumsum(begins) - 1)


def _whole(axes: Axes, row: pd.Series, measure: str) -> None:
    if row["reason"] == "":
        axes.axvspan(
            row[f"{measure}_low"],
            row[f"{measure}_high"],
            color=GRID,
            alpha=0.7,
            linewidth=0,
            label="all eyes",
        )
        axes.axvline(row[measure], color=FAINT, linewidth=1, linestyle="dashed")


def _names(axes: Axes, frame: pd.DataFrame, places: Floats) -> None:
    names = [_shortened(str(group)) for group in frame["group"]]
    begins = frame["attribute"].ne(frame["attribute"].shift())
    labels = [
        f"{attribute}:  {name}" if first and attribute != "all" else name
        for attribute, name, first in zip(frame["attribute"], names, begins, strict=True)
    ]
    axes.set_yticks(places, labels, parse_math=False)


def _counts(
    axes: Axes,
    frame: pd.DataFrame,
    places: Floats,
    measure: str,
) -> None:
    """Eyes, people and the measure in figures, in columns beside the panel."""
    axes.set_axis_off()
    values = [row["reason"] or _interval(row, measure) for row in frame.to_dict("records")]
    columns = ([f"{n:,}" for n in frame["eyes"]], [f"{n:,}" for n in frame["people"]], values)
    reasons = set(frame["reason"])
    for end, head, texts in zip((0.12, 0.32, 1.0), COLUMNS, columns, strict=True):
        for place, text in zip((HEAD, *places), (head, *texts), strict=True):
            colour = FAINT if place == HEAD or text in reasons else INK
            size = BODY_SIZE - 1
            axes.text(end, place, text, fontsize=size, color=colour, ha="right", va="center")


def _interval(row: Mapping[Hashable, Any], measure: str) -> str:
    return f"{row[measure]:.2f} ({row[f'{measure}_low']:.2f} to {row[f'{measure}_high']:.2f})"


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
