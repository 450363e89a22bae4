"""How small a change flips the eyes, where only a part of them may change."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from fundus_ml.figures.budgets import eps_label
from fundus_ml.figures.inputs import check_columns
from fundus_ml.figures.style import legend, make_figure, series_styles, tidy


def min_norm_figure(frame: pd.DataFrame, *, constraint: str = "l2") -> Figure:
    """Median minimal perturbation norm by the region that may change, per condition.

    Args:
        frame: One row per condition and region: ``condition region flipped min_norm min_norm_low
            min_norm_high``; inf where fewer than half of the eyes were flipped.
        constraint: What the size of a change is, ``l2`` or ``linf``.

    Returns:
        One panel, regions from top to bottom in the frame's order, a point with its interval per
        condition; where fewer than half were flipped, the share that was is written instead.

    Raises:
        InputError: A column is missing or the frame is empty.
    """
    check_columns(
        frame, ("condition", "region", "flipped", "min_norm", "min_norm_low", "min_norm_high")
    )
    regions = list(dict.fromkeys(frame["region"]))
    conditions = list(dict.fromkeys(frame["condition"]))
    figure = make_figure(6.5, 1.4 + 0.22 * len(regions) * (len(conditions) + 0.6))
    axes = figure.subplots()
    finite = frame[["min_norm", "min_norm_low", "min_norm_high"]].to_numpy(float)
    known = finite[np.isfinite(finite) & (finite > 0)]
    right = 1.6 * float(known.max()) if len(known) else 1.0
    offsets = np.linspace(-1, 1, len(conditions)) * 0.2 if len(conditions) > 1 else np.zeros(1)
    styles = series_styles(len(conditions))
    for condition, offset, (colour, marker) in zip(conditions, offsets, styles, strict=True):
        rows = frame[frame["condition"] == condition]
        places = np.array([regions.index(region) for region in rows["region"]]) + offset
        ends = rows["min_norm_high"].clip(upper=right)
        axes.hlines(places, rows["min_norm_low"].clip(upper=right), ends, color=colour, lw=2.2)
        axes.plot(
            rows["min_norm"].where(np.isfinite(rows["min_norm"])),
            places,
            color=colour,
            marker=marker,
            markersize=6,
            linestyle="none",
            label=str(condition),
        )
        for place, flipped, min_norms in zip(
            places, rows["flipped"], rows["min_norm"], strict=True
        ):
            if not np.isfinite(min_norms):
                axes.annotate(
                    f"{flipped:.0%} flipped", (right, place), color=colour, ha="right", va="center"
                )
    axes.set_xscale("log")
    axes.set_xlim(right=right)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(range(len(regions)), regions)
    axes.set_ylim(len(regions) - 0.5, -0.5)
    tidy(
        axes, xlabel=f"minimal norm that flips half of the eyes: {eps_label(constraint)}", ylabel=""
    )
    axes.grid(visible=False, axis="y")
    legend(axes, beside=True)
    return figure
