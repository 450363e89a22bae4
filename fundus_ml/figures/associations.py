"""How far each biomarker lies apart between two groups, by structure, as papers print it."""

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fundus_ml.errors import InputError
from fundus_ml.figures.inputs import check_columns
from fundus_ml.figures.style import BODY_SIZE, COLOURS, FAINT, GRID, INK, make_figure, tidy

COLUMNS = (
    "label", "structure", "eyes", "difference", "difference_low", "difference_high", "q",
    "direction", "reason",
)  # fmt: skip
FALSE_DISCOVERIES = 0.05
"""Rate of false discoveries below which a point is filled."""
_ARROWS = {1: "\u25b6", -1: "\u25c0"}
_LEAST_Q = 0.001
"""Smallest q written out."""
_Q = 0.78
"""Where the last column of numbers begins, in their width."""


class _Line(NamedTuple):
    place: float
    row: Mapping[Hashable, Any]


def association_forest(
    frame: pd.DataFrame, *, classes: tuple[str, str], eyes: str, adjusted: str = "age"
) -> Figure:
    """Draw one line per biomarker under the name of its structure.

    Args:
        frame: As :func:`~fundus_ml.biomarkers.associations.associate` returns it: :data:`COLUMNS`;
            rows without ``difference`` say their ``reason``.
        classes: What labels 0 and 1 are called.
        eyes: What was measured, for the title, such as ``test split of odir``.
        adjusted: What is held equal, for the axis.

    Returns:
        Standardised difference and 95 % interval of each, filled where ``q`` is below 0.05, the
        published direction as an arrow, and the numbers beside it.

    Raises:
        InputError: A column is missing or the frame is empty.
    """
    check_columns(frame, COLUMNS)
    if not frame["direction"].isin((-1, 0, 1)).all():
        raise InputError("direction: each must be -1, 0 or 1")
    headings, lines, places = _lines(frame)
    figure = make_figure(8.6, 1.6 + 0.235 * places)
    axes, numbers = figure.subplots(1, 2, sharey=True, width_ratios=(1, 0.42))
    ends = frame[["difference_low", "difference_high"]].to_numpy(np.float64)
    limit = 1.08 * float(np.nanmax(np.abs(ends), initial=0.0)) or 1.0
    axes.axvline(0, color=INK, linewidth=1.2)
    for place in headings.values():
        axes.axhline(place, color=GRID, linewidth=0.7, zorder=0)
    for line in lines:
        _draw(axes, line, limit)
        _write(numbers, line)
    names = [(place, heading.capitalize()) for heading, place in headings.items()]
    names += [(line.place, str(line.row["label"])) for line in lines]
    names.sort()
    axes.set_yticks([place for place, _ in names], [name for _, name in names], parse_math=False)
    for tick, (place, _) in zip(axes.get_yticklabels(), names, strict=True):
        tick.set_fontweight("bold" if place in headings.values() else "normal")
    axes.set_ylim(places - 0.4, -1.6)
    axes.set_xlim(-limit, limit)
    tidy(axes, xlabel=_axis(classes, adjusted), ylabel="")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    numbers.set_axis_off()
    _text(numbers, 0, -1.0, "difference [95 % CI]")
    _text(numbers, _Q, -1.0, "q")
    figure.legend(
        handles=_key(frame),
        loc="outside upper left",
        ncols=3,
        fontsize=BODY_SIZE - 1,
        frameon=False,
        title=f"{eyes}; 95 % intervals by resampling people",
        title_fontsize=BODY_SIZE,
        alignment="left",
    )
    return figure


def _lines(frame: pd.DataFrame) -> tuple[dict[str, float], list[_Line], int]:
    """Place headings and lines from top to bottom, structures in the order of the frame."""
    headings: dict[str, float] = {}
    lines, place = [], 0
    for structure, part in frame.groupby("structure", sort=False):
        headings[str(structure)] = place
        place += 1
        for row in part.to_dict("records"):
            lines.append(_Line(place, row))
            place += 1
    return headings, lines, place


def _draw(axes: Axes, line: _Line, limit: float) -> None:
    row, place = line.row, line.place
    if pd.isna(row["difference"]):
        return
    found = row["q"] < FALSE_DISCOVERIES
    colour = COLOURS[0] if found else FAINT
    axes.hlines(place, row["difference_low"], row["difference_high"], color=colour, linewidth=1.8)
    axes.plot(
        row["difference"], place, color=colour, marker="o", markersize=5.5,
        markerfacecolor=colour if found else "white",
    )  # fmt: skip
    if row["direction"]:
        axes.text(
            0.97 * limit * row["direction"], place, _ARROWS[int(row["direction"])],
            ha="center", va="center", color=COLOURS[1], fontsize=BODY_SIZE - 2,
        )  # fmt: skip


def _write(numbers: Axes, line: _Line) -> None:
    row, place = line.row, line.place
    if pd.isna(row["difference"]):
        _text(numbers, 0, place, str(row["reason"]), colour=FAINT)
        return
    value, low, high = (_signed(row[f"difference{end}"]) for end in ("", "_low", "_high"))
    _text(numbers, 0, place, f"{value} [{low}, {high}]")
    _text(numbers, _Q, place, "<0.001" if row["q"] < _LEAST_Q else f"{row['q']:.3f}")


def _signed(number: float) -> str:
    return f"{round(number, 2) + 0.0:+.2f}".replace("-", "\u2212")


def _text(numbers: Axes, start: float, place: float, text: str, *, colour: str = INK) -> None:
    numbers.text(
        start, place, text, transform=numbers.get_yaxis_transform(), va="center",
        fontsize=BODY_SIZE - 2, color=colour, parse_math=False,
    )  # fmt: skip


def _axis(classes: tuple[str, str], adjusted: str) -> str:
    held = f", {adjusted} held equal" if adjusted else ""
    return (
        f"{classes[1]} less {classes[0]}, in standard deviations within a class{held}\n"
        f"(right of 0: larger in {classes[1]})"
    )


def _key(frame: pd.DataFrame) -> list[Line2D]:
    found = Line2D([], [], color=COLOURS[0], marker="o", markersize=5.5, label="q < 0.05")
    other = Line2D([], [], color=FAINT, marker="o", markersize=5.5, label="q 0.05 or more")
    other.set_markerfacecolor("white")
    said = Line2D([], [], color=COLOURS[1], marker=">", linewidth=0, label="published direction")
    return [found, other, said] if frame["direction"].ne(0).any() else [found, other]
