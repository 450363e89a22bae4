"""What happens as the budget grows: AUROC under attack, and success of modulation."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fundus_ml.attacks.options import per_value_rms
from fundus_ml.errors import InputError
from fundus_ml.figures.inputs import check_columns
from fundus_ml.figures.style import (
    BODY_SIZE,
    FAINT,
    GRID,
    legend,
    make_figure,
    series_styles,
    tidy,
)

BALLS = {"l2": "L2", "linf": "L∞"}
"""How a constraint is written on an axis."""
DECADE = 10.0
"""Budgets whose largest is this many times the smallest are drawn on a logarithmic axis."""
MANY = 3
"""Series beyond which their names stand beside the panels, once."""
EDGE = 0.04
"""Share of the axis left free beyond the smallest and the largest budget."""


def auroc_by_eps(frame: pd.DataFrame, *, constraint: str = "l2") -> Figure:
    """AUROC of each model under attack, by budget.

    Args:
        frame: One row per model and budget: ``model eps auroc low high``; ``eps`` 0 is clean.
        constraint: Ball of the attack, ``l2`` or ``linf``.

    Returns:
        One panel, one line with its interval per model, and the line of chance.

    Raises:
        InputError: A column is missing, the frame is empty or an ``eps`` is below 0.
    """
    check_columns(frame, ("model", "eps", "auroc", "low", "high"))
    figure = make_figure(6, 3.8)
    axes = figure.subplots()
    _lines(axes, frame, "auroc", "low", "high")
    axes.axhline(0.5, color=FAINT, linewidth=1, linestyle="dotted", label="chance")
    tidy(axes, xlabel=eps_label(constraint), ylabel="AUROC under attack")
    budget_axis(axes, frame["eps"].tolist())
    axes.set_ylim(-0.02, 1.02)
    legend(axes)
    return figure


def success_curve(frame: pd.DataFrame, *, size: int, constraint: str = "l2") -> Figure:
    """Flip rate and mean P(target) of the pictures by budget.

    Args:
        frame: One row per model and budget: ``model eps``, ``success`` and ``prob_target``, each
            with its ``_low`` and ``_high``, all but ``eps`` in [0, 1].
        size: Side of the square images, in pixels: turns an L2 eps into per-value RMS.
        constraint: Ball the change stays in, ``l2`` or ``linf``.

    Returns:
        Two panels, one line with its band per model; below, eps; above, for ``l2``, eps / sqrt(3
        size²).

    Raises:
        InputError: A column is missing, the frame is empty, an ``eps`` is below 0 or ``size`` is
            below 1.
    """
    titles = {"success": "share flipped to the target", "prob_target": "mean P(target)"}
    suffixes = ("", "_low", "_high")
    check_columns(frame, ["model", "eps", *(name + end for name in titles for end in suffixes)])
    if size < 1:
        raise InputError(f"size={size}: must be 1 or more pixels")
    many = frame["model"].nunique() > MANY
    figure = make_figure(9.6 if many else 8, 3.6)
    panels = figure.subplots(1, 2)
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        _lines(axes, frame, name, f"{name}_low", f"{name}_high")
        tidy(axes, xlabel=eps_label(constraint), ylabel=title)
        axes.set_ylim(-0.02, 1.02)
        budget_axis(axes, frame["eps"].tolist())
        if constraint == "l2":
            rms_axis(axes, size=size)
        if not many:
            legend(axes)
    if many:
        legend(panels[-1], beside=True)
    return figure


def eps_label(constraint: str) -> str:
    """Write a budget's name, ball and unit on its axis."""
    return f"eps ({BALLS[constraint]}, pixels in 0 to 1)"


def budget_axis(axes: Axes, eps: Sequence[float], *, closest: float = 0.09) -> None:
    """Put ticks at the budgets measured; logarithmic when they span a decade, 0 kept.

    Args:
        axes: Already drawn on.
        eps: Budgets, in any order.
        closest: Ticks nearer to each other than this share of the axis are thinned.

    Raises:
        InputError: A budget is below 0 or not finite.
    """
    budgets = sorted(set(eps))
    if not all(0 <= budget < math.inf for budget in budgets):
        raise InputError(f"eps={budgets[0]}: must be a finite number, 0 or more")
    positive = [budget for budget in budgets if budget > 0]
    if positive and positive[-1] >= DECADE * positive[0]:
        if len(positive) < len(budgets):
            axes.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
        else:
            axes.set_xscale("log")
    scale = axes.xaxis.get_transform()
    places = scale.transform(np.asarray(budgets, dtype=np.float64))
    span = float(np.ptp(places)) or 1.0
    margin = np.array([-EDGE, EDGE]) * span
    axes.set_xlim(*scale.inverted().transform(places[[0, -1]] + margin))
    ticks = [budgets[index] for index in _apart(places / span, closest)]
    axes.set_xticks(ticks, [f"{budget:g}" for budget in ticks])
    axes.set_xticks([], minor=True)


def rms_axis(axes: Axes, *, size: int) -> None:
    """Repeat the ticks of :func:`budget_axis` on top, as per-value RMS."""
    top = axes.secondary_xaxis("top")
    ticks = axes.get_xticks()
    top.set_xticks(ticks, [f"{per_value_rms('l2', tick, size=size):.2g}" for tick in ticks])
    top.set_xticks([], minor=True)
    top.set_xlabel(f"per-value RMS at {size} px", fontsize=BODY_SIZE - 1, color=FAINT)
    top.tick_params(labelsize=BODY_SIZE - 1, colors=FAINT)
    top.spines["top"].set_color(GRID)


def _apart(places: NDArray[np.float64], closest: float) -> list[int]:
    kept = [0]
    for index in range(1, len(places)):
        if places[index] - places[kept[-1]] >= closest:
            kept.append(index)
    return kept


def _lines(axes: Axes, frame: pd.DataFrame, value: str, low: str, high: str) -> None:
    names = list(dict.fromkeys(frame["model"]))
    for above, (name, (colour, marker)) in enumerate(
        zip(names, series_styles(len(names)), strict=True)
    ):
        front = 3 - above / len(names)  # the first lies above the others
        rows = frame[frame["model"] == name].sort_values("eps")
        axes.plot(
            rows["eps"],
            rows[value],
            color=colour,
            marker=marker,
            markersize=5,
            label=str(name),
            zorder=front,
        )
        axes.fill_between(rows["eps"], rows[low], rows[high], color=colour, alpha=0.18, linewidth=0)
