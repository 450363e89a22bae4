"""Where the change of several contrasts goes: each part against null models, sham and gradient."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fundus_ml.figures.inputs import check_columns
from fundus_ml.figures.style import BODY_SIZE, COLOURS, FAINT, GRID, INK, make_figure, tidy

if TYPE_CHECKING:
    from matplotlib.artist import Artist

MARKERS = ("o", "D", "v")
"""Networks of one contrast, in their order."""
TICKS = (0.25, 0.5, 1, 2, 4, 8)
LEVEL = 0.05
"""p-values below it are set in bold."""
COLUMNS = (
    "contrast",
    "part",
    "known",
    "network",
    "enrichment",
    "low",
    "high",
    "sham",
    "gradient",
    "null_low",
    "null_high",
    "p_max",
)


def enrichment_by_contrast_figure(frame: pd.DataFrame, *, parts: Sequence[str]) -> Figure:
    """Enrichment of change per contrast, part and network, on a logarithmic axis.

    Args:
        frame: One row per contrast, part and network: ``contrast part known network enrichment
            low high sham gradient null_low null_high p_max``; a network's sham, and the range of
            the null models, may be NaN. ``known`` marks the place where the disease shows.
        parts: Parts from top to bottom; one that no contrast has is left out.

    Returns:
        A panel per contrast, and in each part: the null models' range as a grey bar, each
        network with its interval, its sham hollow, the squared gradient as a triangle, the p-value
        of the first network on the right, the known place shaded.

    Raises:
        InputError: A column is missing or the frame is empty.
    """
    check_columns(frame, COLUMNS)
    contrasts = list(dict.fromkeys(frame["contrast"]))
    drawn = [part for part in parts if part in set(frame["part"])]
    figure = make_figure(2.1 * len(contrasts) + 1.6, 0.62 * len(drawn) + 1.5)
    panels = figure.subplots(1, len(contrasts), sharex=True, sharey=True, squeeze=False)[0]
    for axes, contrast in zip(panels, contrasts, strict=True):
        rows = frame[frame["contrast"] == contrast]
        for row in rows.to_dict("records"):
            _draw(axes, row, drawn.index(row["part"]))
        axes.plot([], [], color=FAINT, marker="o", fillstyle="none", ls="none", label="its sham")
        axes.axvline(1, color=FAINT, linewidth=1, linestyle="dashed", label="spread evenly (1)")
        axes.set_xscale("log")
        axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.minorticks_off()
        tidy(axes, xlabel="", ylabel="", title=str(contrast))
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(range(len(drawn)), drawn)
    panels[0].set_ylim(len(drawn) - 0.5, -0.5)
    figure.supxlabel(
        "enrichment of change (share of energy / share of area)", fontsize=BODY_SIZE, color=INK
    )
    named: dict[str, Artist] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    names = sorted(named, key=lambda name: not name.startswith("network"))
    figure.legend(
        handles=[named[name] for name in names],
        labels=names,
        loc="outside right upper",
        fontsize=BODY_SIZE - 1,
        edgecolor="none",
    )
    return figure


def _draw(axes: Axes, row: Mapping[Hashable, Any], place: int) -> None:
    """Draw one network in its part, with what it is held against."""
    number = int(row["network"])
    at = place + 0.16 * (number - 1.5)
    colour, marker = COLOURS[number - 1], MARKERS[(number - 1) % len(MARKERS)]
    if row["known"] and number == 1:
        axes.axhspan(place - 0.46, place + 0.46, color=COLOURS[4], alpha=0.18, lw=0, zorder=0)
    if pd.notna(row["null_low"]):
        axes.barh(
            place,
            row["null_high"] - row["null_low"],
            left=row["null_low"],
            height=0.62,
            color=GRID,
            label="null models, least to largest",
        )
        axes.annotate(
            f"p {row['p_max']:.2g}".replace("0.", "."),
            (0.99, place - 0.45),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="top",
            fontsize=BODY_SIZE - 1,
            color=INK if row["p_max"] < LEVEL else FAINT,
            fontweight="bold" if row["p_max"] < LEVEL else "normal",
        )
    axes.hlines(at, row["low"], row["high"], color=colour, linewidth=2.2)
    how: dict[str, Any] = {"color": colour, "linestyle": "none", "markersize": 6}
    axes.plot(row["enrichment"], at, marker=marker, label=f"network {number}", **how)
    axes.plot(row["sham"], at, marker=marker, fillstyle="none", **how)
    if pd.notna(row["gradient"]):
        how["color"] = COLOURS[2]
        axes.plot(row["gradient"], place + 0.28, marker="^", label="one gradient, squared", **how)
