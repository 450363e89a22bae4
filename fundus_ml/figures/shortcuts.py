"""Every shortcut's AUROC against what shuffled labels reach and against the shortcut baseline."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fundus_ml.figures.inputs import check_columns
from fundus_ml.figures.style import BODY_SIZE, COLOURS, FAINT, GRID, INK, make_figure, tidy

LOOKS = {
    "named": (COLOURS[1], "D"),
    "open": (COLOURS[0], "P"),
    "explained": (COLOURS[4], "s"),
    "hint": (COLOURS[3], "^"),
    "dismissed": (FAINT, "o"),
}
"""Colour and marker of each verdict."""


def shortcut_forest(
    frame: pd.DataFrame, *, shortcut_baseline: float, chance: float, contrast: str = "sex"
) -> Figure:
    """Draw one line per shortcut, from top to bottom in the frame's order.

    Args:
        frame: ``name verdict auroc low high null_high``; rows without ``auroc`` were not judged and
            say so.
        shortcut_baseline: AUROC below which a model has shown nothing.
        chance: AUROC that chance stays below 95 times in 100 on the test split.
        contrast: What the shortcuts predict.

    Returns:
        Point and 95 % interval of each, a bar up to where 95 % of shuffled labels stay below, and
        the lines of 0.5, chance and the shortcut baseline.

    Raises:
        InputError: A column is missing or the frame is empty.
    """
    check_columns(frame, ("name", "verdict", "auroc", "low", "high", "null_high"))
    figure = make_figure(7.5, 1.5 + 0.34 * len(frame))
    axes = figure.subplots()
    for place, row in enumerate(frame.to_dict("records")):
        if pd.isna(row["auroc"]):
            axes.text(0.5, place, " not judged", va="center", fontsize=BODY_SIZE - 1, color=FAINT)
            continue
        colour, marker = LOOKS[str(row["verdict"])]
        axes.barh(place, row["null_high"] - 0.5, left=0.5, height=0.62, color=GRID, zorder=1)
        axes.hlines(place, row["low"], row["high"], color=colour, linewidth=2.2, zorder=3)
        axes.plot(row["auroc"], place, color=colour, marker=marker, markersize=7, zorder=4)
    axes.axvline(0.5, color=FAINT, linewidth=1, linestyle="dotted")
    axes.axvline(chance, color=FAINT, linewidth=1, linestyle="dashed")
    axes.axvline(shortcut_baseline, color=INK, linewidth=1.6)
    axes.set_yticks(range(len(frame)), frame["name"], parse_math=False)
    axes.set_ylim(len(frame) - 0.5, -0.5)
    tidy(axes, xlabel=f"AUROC for {contrast}, cross-validated by person", ylabel="")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    figure.legend(
        handles=_key(set(frame["verdict"]), shortcut_baseline, chance),
        loc="outside upper left",
        ncols=4,
        fontsize=BODY_SIZE - 1,
        frameon=False,
    )
    return figure


def _key(shown: set[str], shortcut_baseline: float, chance: float) -> list[Line2D | Patch]:
    verdicts = [
        Line2D([], [], color=colour, marker=marker, linewidth=2.2, markersize=6, label=verdict)
        for verdict, (colour, marker) in LOOKS.items()
        if verdict in shown
    ]
    return [
        *verdicts,
        Patch(color=GRID, label="95 % of shuffled labels"),
        Line2D([], [], color=FAINT, linestyle="dashed", label=f"chance on test eyes, {chance:.3f}"),
        Line2D(
            [], [], color=INK, linewidth=1.6, label=f"shortcut baseline, {shortcut_baseline:.3f}"
        ),
    ]
