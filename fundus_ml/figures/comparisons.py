"""Several scorers on the same eyes: the AUROC of each, and how far it lies from one of them."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fundus_ml.errors import InputError
from fundus_ml.figures.inputs import check_columns
from fundus_ml.figures.style import BODY_SIZE, COLOURS, FAINT, INK, make_figure, tidy

COLUMNS = (
    "per", "model", "count", "people", "auroc", "auroc_low", "auroc_high",
    "difference", "difference_low", "difference_high",
)  # fmt: skip
LOOKS = {"eye": (COLOURS[0], "o", -0.14), "person": (COLOURS[1], "s", 0.14)}
"""Colour, marker and place beside the line of each unit."""


def comparison_forest(frame: pd.DataFrame, *, reference: str, eyes: str) -> Figure:
    """Draw one line per scorer, per eye and per person, from top to bottom in the frame's order.

    Args:
        frame: As :func:`~fundus_ml.model_selection.comparison.compare_scorers` returns it.
        reference: The scorer that the others are subtracted from.
        eyes: What was scored, for the title, such as ``test split of odir``.

    Returns:
        Two panels with points and 95 % intervals: AUROC; AUROC of ``reference`` minus the
        scorer's, with the line of no difference.

    Raises:
        InputError: A column is missing, the frame is empty or ``reference`` is not in it.
    """
    check_columns(frame, COLUMNS)
    names = list(dict.fromkeys(frame["model"]))
    if reference not in names:
        raise InputError(f"reference={reference}: allowed: {', '.join(names)}")
    figure = make_figure(8.5, 1.5 + 0.48 * len(names))
    own, apart = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1))
    for row in frame.to_dict("records"):
        place = names.index(str(row["model"]))
        _interval(own, row, "auroc", place)
        if row["model"] != reference:
            _interval(apart, row, "difference", place)
    apart.text(
        0.5, names.index(reference), "the others are subtracted from this",
        transform=apart.get_yaxis_transform(), ha="center", va="center",
        fontsize=BODY_SIZE - 1, color=FAINT, backgroundcolor="white", zorder=3,
    )  # fmt: skip
    apart.axvline(0, color=INK, linewidth=1.2)
    own.set_yticks(range(len(names)), names, parse_math=False)
    own.set_ylim(len(names) - 0.5, -0.5)
    tidy(own, xlabel="AUROC", ylabel="")
    tidy(
        apart,
        xlabel=f"AUROC of {reference} minus this one's\n(right of 0: {reference} is higher)",
        ylabel="",
    )
    for axes in (own, apart):
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    _title(figure, own, frame, eyes)
    return figure


def _interval(axes: Axes, row: Mapping[Hashable, Any], measure: str, place: int) -> None:
    colour, marker, aside = LOOKS[str(row["per"])]
    line = place + aside
    low, high = float(row[f"{measure}_low"]), float(row[f"{measure}_high"])
    axes.hlines(line, low, high, color=colour, linewidth=2.2)
    axes.plot(float(row[measure]), line, color=colour, marker=marker, markersize=6)


def _title(figure: Figure, axes: Axes, frame: pd.DataFrame, eyes: str) -> None:
    counts = frame.drop_duplicates("per").set_index("per")["count"]
    keys = [
        axes.plot([], [], color=LOOKS[unit][0], marker=LOOKS[unit][1], linewidth=2.2)[0]
        for unit in counts.index
    ]
    figure.legend(
        keys,
        [f"per {unit}, n = {count}" for unit, count in counts.items()],
        loc="outside upper left",
        ncols=2,
        frameon=False,
        fontsize=BODY_SIZE - 1,
        title=f"{eyes}; 95 % intervals by resampling people",
        title_fontsize=BODY_SIZE,
        alignment="left",
    )
