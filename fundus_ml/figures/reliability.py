"""Whether a probability means what it says: how often it comes true, and of how many eyes."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fundus_ml.errors import InputError
from fundus_ml.figures.inputs import check_columns
from fundus_ml.figures.style import FAINT, legend, make_figure, series_styles, tidy

FEW = 10
"""Bins of fewer eyes are drawn hollow: their share is mostly chance."""


def reliability_figure(
    tables: Mapping[str, pd.DataFrame], *, ece: Mapping[str, float], of: str
) -> Figure:
    """Reliability diagram of several readings of the same eyes, with the eyes in each bin.

    Args:
        tables: Per name, one row per bin that holds eyes: its edges ``low`` and ``high``, all of
            one width, the mean ``prob``, the ``share`` of the second class, and ``eyes``.
        ece: Per name, the expected calibration error.
        of: Name of the second class.

    Returns:
        Above, the share of the class against its probability by bin, the diagonal where the two
        agree, and the expected calibration error in the legend; bins of fewer than :data:`FEW` eyes
        hollow.
        Below, how many eyes each bin holds.

    Raises:
        InputError: ``tables`` is empty or lacks a column.
    """
    if not tables:
        raise InputError("tables: empty, at least one is needed")
    for table in tables.values():
        check_columns(table, ["low", "high", "prob", "share", "eyes"])
    first = next(iter(tables.values()))
    bins_drawn = round(1 / (first["high"] - first["low"]).mean())
    figure = make_figure(5.2, 6.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    width = 1 / bins_drawn / len(tables)
    for place, ((name, table), (colour, marker)) in enumerate(
        zip(tables.items(), series_styles(len(tables)), strict=True)
    ):
        label = f"{name}: ECE {ece[name]:.3f}"
        above.plot(table["prob"], table["share"], color=colour, linewidth=1.4, label=label)
        for few, face in ((False, colour), (True, "white")):
            bins = table[(table["eyes"] < FEW) == few]
            above.plot(
                bins["prob"],
                bins["share"],
                linestyle="none",
                marker=marker,
                markersize=5.5,
                color=colour,
                markerfacecolor=face,
            )
        left = table["low"].to_numpy() + (place + 0.5) * width
        below.bar(left, table["eyes"], width=0.9 * width, color=colour, linewidth=0)
    above.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="dotted", label="perfect")
    above.set(xlim=(-0.01, 1.01), ylim=(-0.02, 1.02))
    tidy(above, xlabel="", ylabel=f"share of eyes that are {of}")
    tidy(below, xlabel=f"P({of})", ylabel="eyes")
    below.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    legend(above, title=f"{bins_drawn} bins; hollow: fewer than {FEW} eyes")
    return figure
