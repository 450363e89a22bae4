"""How well a classifier tells the sexes apart: while it trains, and on the test eyes."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from sklearn.metrics import roc_curve

from fundus_ml.errors import InputError
from fundus_ml.figures.inputs import check_columns
from fundus_ml.figures.style import FAINT, INK, legend, make_figure, series_styles, tidy
from fundus_ml.statistics.clustered import Interval

LOSSES = {"train_loss": "train", "val_loss": "validation"}
AUROCS = {"val_auroc": "validation", "robust_val_auroc": "validation, attacked"}


def training_curves(history: pd.DataFrame, *, best_by: str = "val_auroc") -> Figure:
    """Loss and validation AUROC by epoch, the best epoch marked.

    Args:
        history: One row per epoch: ``epoch train_loss val_loss val_auroc`` and, where it was
            measured, ``robust_val_auroc``.
        best_by: The AUROC column whose largest value marks the best epoch.

    Returns:
        Two panels: losses; AUROC with the line of chance.

    Raises:
        InputError: A column is missing, ``history`` is empty or ``best_by`` holds no number.
    """
    check_columns(history, ("epoch", *LOSSES, "val_auroc", best_by))
    measured = history[["epoch", best_by]].dropna().to_numpy(dtype=np.float64)
    if not len(measured):
        raise InputError(f"frame: column {best_by} holds no number")
    best_epoch, best_auroc = measured[measured[:, 1].argmax()]
    figure = make_figure(8, 3.2)
    loss_panel, auroc_panel = figure.subplots(1, 2)
    for panel, columns in ((loss_panel, LOSSES), (auroc_panel, AUROCS)):
        shown = [name for name in columns if name in history]
        for name, (colour, marker) in zip(shown, series_styles(len(shown)), strict=True):
            rows = history.dropna(subset=[name])
            label = columns[name]
            panel.plot(
                rows["epoch"], rows[name], color=colour, marker=marker, markersize=4, label=label
            )
        panel.axvline(best_epoch, color=FAINT, linewidth=1, linestyle="dashed")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    auroc_panel.axhline(0.5, color=FAINT, linewidth=1, linestyle="dotted", label="chance")
    auroc_panel.plot(
        best_epoch,
        best_auroc,
        linestyle="none",
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor=INK,
        label=f"best: epoch {best_epoch:.0f}, {best_auroc:.3f}",
    )
    tidy(loss_panel, xlabel="epoch", ylabel="loss (cross-entropy)", title="Loss")
    tidy(auroc_panel, xlabel="epoch", ylabel="AUROC", title="Telling the classes apart")
    for panel in (loss_panel, auroc_panel):
        legend(panel)
    return figure


def roc_figure(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    intervals: Mapping[str, Interval],
    *,
    called: str,
    people: tuple[str, str],
) -> Figure:
    """ROC curves of several classifiers, each with its AUROC and interval in the legend.

    Args:
        curves: Per name, labels ``(n,)`` of 0 and 1 and scores ``(n,)``, larger for 1.
        intervals: AUROC with its interval, for each name of ``curves``.
        called: Name of the class of label 1.
        people: What the people of label 0 and 1 are called.

    Returns:
        One square panel with the line of chance.

    Raises:
        InputError: ``curves`` is empty, or a name has no interval.
    """
    if not curves:
        raise InputError("curves: empty, at least one is needed")
    missing = [name for name in curves if name not in intervals]
    if missing:
        raise InputError(f"intervals: missing for {', '.join(missing)}")
    figure = make_figure(5.2, 5.2)
    axes = figure.subplots()
    for (name, (labels, scores)), (colour, _) in zip(
        curves.items(), series_styles(len(curves)), strict=True
    ):
        false_positives, true_positives, _thresholds = roc_curve(
            np.asarray(labels), np.asarray(scores), drop_intermediate=False
        )
        label = f"{name}: {intervals[name]:.3f}"
        axes.plot(false_positives, true_positives, color=colour, linewidth=1.8, label=label)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="dotted", label="chance")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    tidy(
        axes,
        xlabel=f"{people[0]} called {called} (false positive rate)",
        ylabel=f"{people[1]} called {called} (true positive rate)",
    )
    legend(axes, loc="lower right", title="AUROC (95 % interval)")
    return figure
