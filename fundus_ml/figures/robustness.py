"""What an attack suite leaves of a network, and how small a change flips an eye."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fundus_ml.errors import InputError
from fundus_ml.figures.budgets import budget_axis, eps_label
from fundus_ml.figures.inputs import check_columns
from fundus_ml.figures.style import BODY_SIZE, FAINT, INK, legend, make_figure, series_styles, tidy

_CLEAN, _WORST = "none", "worst"
MEASURED = {"balanced_accuracy": "balanced accuracy", "auroc": "AUROC"}


def attack_suite_figure(
    table: pd.DataFrame, curve: pd.DataFrame, *, constraint: str, attacks: Sequence[str]
) -> Figure:
    """Balanced accuracy and AUROC under each attack by budget, and the share of eyes flipped.

    Args:
        table: ``attack eps``, ``balanced_accuracy`` and ``auroc``, each with its ``_low`` and
            ``_high``; one row of the attack ``none``, one of each other per budget.
        curve: ``sex eps share low high``.
        constraint: Ball of the attacks, ``l2`` or ``linf``.
        attacks: Names of the attacks in the order of the legend; the table's attack ``worst``, the
            worst of all, is drawn where it is there.

    Returns:
        A panel for each measure, whiskers and, for the worst of all, a band for the interval; the
        smallest changes beside them.

    Raises:
        InputError: A column is missing or the table holds no attack.
    """
    bounds = ("", "_low", "_high")
    check_columns(table, ["attack", "eps", *(name + end for name in MEASURED for end in bounds)])
    named = [name for name in (*attacks, _WORST) if name in set(table["attack"])]
    if not named:
        raise InputError("table: holds no attack")
    figure = make_figure(3.6 * (len(MEASURED) + 1), 3.9)
    styles = dict(zip(attacks, series_styles(len(attacks)), strict=True))
    *panels, beside = figure.subplots(1, len(MEASURED) + 1)
    for axes, (measure, title) in zip(panels, MEASURED.items(), strict=True):
        _attacks(axes, table, named, measure, styles=styles)
        axes.axhline(0.5, color=FAINT, linewidth=1, linestyle="dotted", label="chance")
        tidy(axes, xlabel=eps_label(constraint), ylabel=f"{title} under attack")
        budget_axis(axes, table["eps"].tolist())
        axes.set_ylim(-0.02, 1.02)
    _flipped(beside, curve)
    tidy(beside, xlabel=eps_label(constraint), ylabel="share of eyes flipped")
    beside.set_ylim(-0.02, 1.02)
    legend(beside, loc="lower right")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), frameon=False,
        fontsize=BODY_SIZE - 1,
    )  # fmt: skip
    return figure


def _attacks(
    axes: Axes,
    table: pd.DataFrame,
    named: list[str],
    measure: str,
    *,
    styles: Mapping[str, tuple[str, str]],
) -> None:
    clean = table[table["attack"] == _CLEAN]
    for name in named:
        rows = pd.concat([clean, table[table["attack"] == name]]).sort_values("eps")
        value, low, high = (rows[measure + end] for end in ("", "_low", "_high"))
        if name == _WORST:
            axes.plot(rows["eps"], value, color=INK, linewidth=2, label="worst of all")
            axes.fill_between(rows["eps"], low, high, color=INK, alpha=0.12, linewidth=0)
            continue
        colour, marker = styles[name]
        axes.plot(
            rows["eps"], value, color=colour, marker=marker, markersize=4.5, linewidth=1.2,
            label=name,
        )  # fmt: skip
        axes.vlines(rows["eps"], low, high, color=colour, linewidth=1, alpha=0.5)


def _flipped(axes: Axes, curve: pd.DataFrame) -> None:
    classes = list(dict.fromkeys(curve["class"]))
    for name, (colour, _) in zip(classes, series_styles(len(classes)), strict=True):
        rows = curve[curve["class"] == name]
        axes.plot(rows["eps"], rows["share"], color=colour, label=str(name))
        axes.fill_between(
            rows["eps"], rows["low"], rows["high"], color=colour, alpha=0.18, linewidth=0
        )
    axes.axhline(0.5, color=FAINT, linewidth=1, linestyle="dotted", label="half of the eyes")
