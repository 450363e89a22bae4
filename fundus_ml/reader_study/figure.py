"""Readers one below the other: their accuracy and sensitivity, and both without their lapses."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fundus_ml.figures.inputs import check_columns
from fundus_ml.figures.style import BODY_SIZE, COLOURS, FAINT, INK, make_figure, tidy
from fundus_ml.reader_study.wording import SHOWN
from fundus_ml.statistics.bootstrap import Floats

LOOKS = {
    "": (COLOURS[0], "o", -0.14, "as answered"),
    "corrected_": (COLOURS[1], "s", 0.14, "corrected for lapses"),
}
"""Colour, marker, place beside the line and name of each kind of measure."""
PANELS = {"accuracy": (0.0, 1.0), "d_prime": (-1.5, 4.5)}
"""What lies beyond the ends of a panel is drawn at its edge."""
COLUMNS = (
    "condition", "reader", "readers", "trials", "flagged", "catch_trials", "catch_failed",
    *(f"{kind}{panel}{end}" for kind in LOOKS for panel in PANELS for end in ("", "_low", "_high")),
)  # fmt: skip


def reader_forest(table: pd.DataFrame, *, title: str) -> Figure:
    """Draw one line per condition and reader, the pooled ones below.

    Args:
        table: As :func:`~fundus_ml.reader_study.scoring.score_readers` returns it.
        title: What was asked.

    Returns:
        Two panels with points and 95 % intervals, accuracy and d', dotted where guessing lies; an
        arrow where an interval goes on beyond the panel.

    Raises:
        InputError: A column is missing or the table is empty.
    """
    check_columns(table, COLUMNS)
    begins = table["condition"].ne(table["condition"].shift()).to_numpy()
    places = np.arange(len(table), dtype=np.float64) + np.cumsum(begins)
    figure = make_figure(8.6, 1.5 + 0.34 * (places[-1] + 1))
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, measure in ((left, "accuracy"), (right, "d_prime")):
        for kind in LOOKS:
            for place, row in zip(places, table.to_dict("records"), strict=True):
                _interval(axes, row, kind, measure, place)
    lowest = np.nanmin(table[["accuracy_low", "corrected_accuracy_low"]].to_numpy(np.float64))
    left.set_xlim(min(0.3, lowest) - 0.02, PANELS["accuracy"][1] + 0.02)
    right.set_xlim(*PANELS["d_prime"])
    tidy(left, xlabel="share of right answers (95 % interval)", ylabel="")
    tidy(right, xlabel="sensitivity d' (95 % interval)", ylabel="")
    for axes, guessing in ((left, 0.5), (right, 0.0)):
        axes.axvline(guessing, color=INK, linewidth=1, linestyle="dotted")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0, labelcolor=INK)
    _name_lines(left, table, places, begins)
    _title(figure, left, title)
    return figure


def _interval(
    axes: Axes, row: Mapping[Hashable, Any], kind: str, measure: str, place: float
) -> None:
    value, low, high = (float(row[f"{kind}{measure}{end}"]) for end in ("", "_low", "_high"))
    if np.isnan(value):
        return
    colour, marker, aside, _ = LOOKS[kind]
    first, last = PANELS[measure]
    line = place + aside
    axes.hlines(line, max(low, first), min(high, last), color=colour, linewidth=2)
    for end, edge, arrow in ((low, first, "<"), (high, last, ">")):
        if (end < first) if arrow == "<" else (end > last):
            axes.plot(edge, line, color=colour, marker=arrow, markersize=5, clip_on=False)
    axes.plot(np.clip(value, first, last), line, color=colour, marker=marker, markersize=5.5)


def _name_lines(
    axes: Axes, table: pd.DataFrame, places: Floats, begins: "np.ndarray[Any, Any]"
) -> None:
    """Name the readers and, above the first of each condition, what they were shown."""
    heads = places[begins] - 1
    names = [SHOWN[each] for each in table["condition"][begins]]
    axes.set_yticks([*places, *heads], [*map(_line_name, table.to_dict("records")), *names])
    for label in axes.get_yticklabels()[len(places) :]:
        label.set_color(FAINT)
        label.set_fontstyle("italic")
    axes.set_ylim(places[-1] + 0.7, -0.6)


def _line_name(row: Mapping[Hashable, Any]) -> str:
    name = f"{row['reader']}, n = {row['trials']}"
    if row["readers"] == 1 and row["flagged"]:
        name += f"\n{row['catch_failed']} of {row['catch_trials']} catch trials failed"
    return name


def _title(figure: Figure, axes: Axes, title: str) -> None:
    keys = [
        axes.plot([], [], color=colour, marker=marker, linewidth=2)[0]
        for colour, marker, _, _ in LOOKS.values()
    ]
    figure.legend(
        keys,
        [name for _, _, _, name in LOOKS.values()],
        loc="outside upper left",
        ncols=2,
        frameon=False,
        fontsize=BODY_SIZE - 1,
        title=f"{title} (dotted: guessing)",
        title_fontsize=BODY_SIZE,
        alignment="left",
    )
