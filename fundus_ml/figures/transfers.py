"""Who sees whose pictures as the target: one heat map with numbers."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fundus_ml.figures.budgets import BALLS
from fundus_ml.figures.inputs import check_columns
from fundus_ml.figures.style import BODY_SIZE, INK, make_figure, tidy
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.numerals import plain

TRANSFER_MAP = "Blues"
"""One hue, darker for more."""
COLUMNS = ("condition", "evaluator", "eps", "eyes", "success", "success_low", "success_high",
           "success_before")  # fmt: skip
UNCHANGED = "(unchanged eyes)"
DARK = 0.6
"""Share from which on the numbers are white."""
CELL = 0.8
"""Side of a cell, in inches."""


def transfer_figure(frame: pd.DataFrame, *, constraint: str = "l2") -> Figure:
    """Draw a transfer matrix at its largest budget.

    Args:
        frame: Rows of :func:`fundus_ml.modulation.transfer_matrix.transfer_matrix`.
        constraint: What the size of a change is, ``l2`` or ``linf``.

    Returns:
        A row per network that made pictures, a column per network that evaluates, both in the
        frame's order; in each cell the share of eyes seen as the target, and below it its interval.
        The last row is what each sees in the unchanged eyes.

    Raises:
        InputError: A column is missing or the frame is empty.
    """
    check_columns(frame, COLUMNS)
    last = frame[frame["eps"] == frame["eps"].max()]
    makers, evaluators = (list(dict.fromkeys(last[name])) for name in ("condition", "evaluator"))
    cells = last.set_index(["condition", "evaluator"])
    shares = np.array(
        [[cells.loc[(made, seen), "success"] for seen in evaluators] for made in makers]
        + [[cells.loc[(makers[0], seen), "success_before"] for seen in evaluators]],
        float,
    )
    figure = make_figure(2.6 + CELL * len(evaluators), 2.2 + CELL * (len(makers) + 1))
    axes = figure.subplots()
    axes.imshow(shares, cmap=TRANSFER_MAP, vmin=0, vmax=1, aspect="auto")
    for row, made in enumerate(makers):
        for column, seen in enumerate(evaluators):
            _write(axes, row, column, Interval.of(cells.loc[(made, seen)], "success"))
    for column, share in enumerate(shares[-1]):
        _write(axes, len(makers), column, Interval(share, np.nan, np.nan))
    axes.set_xticks(range(len(evaluators)), evaluators, rotation=40, ha="right", parse_math=False)
    axes.set_yticks(range(len(makers) + 1), [*makers, UNCHANGED], parse_math=False)
    budget, eyes = plain(float(last["eps"].iloc[0])), int(last["eyes"].iloc[0])
    tidy(
        axes,
        xlabel="network that evaluates",
        ylabel="network that made the pictures",
        title=f"eyes seen as the target, %\n{eyes} eyes, eps {budget} ({BALLS[constraint]})",
    )
    axes.grid(visible=False)
    axes.axhline(len(makers) - 0.5, color="white", linewidth=4)
    axes.tick_params(length=0, labelcolor=INK)
    axes.spines[:].set_visible(False)
    return figure


def _write(axes: Axes, row: int, column: int, share: Interval) -> None:
    """Write a share, and its interval below where it has one, into a cell."""
    light, known = share.value > DARK, bool(np.isfinite(share.low))
    axes.text(
        column, row - 0.1 * known, f"{100 * share.value:.0f}",
        ha="center", va="center", fontsize=BODY_SIZE + 1, color="white" if light else INK,
    )  # fmt: skip
    if known:
        axes.text(
            column, row + 0.24, f"{100 * share.low:.0f} to {100 * share.high:.0f}",
            ha="center", va="center", fontsize=BODY_SIZE - 2, color="white" if light else INK,
        )  # fmt: skip
