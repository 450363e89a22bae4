"""How good the photographs of each source are."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fundus_ml.errors import InputError
from fundus_ml.figures.inputs import check_columns
from fundus_ml.figures.style import BODY_SIZE, FAINT, INK, make_figure, series_styles, tidy
from fundus_ml.imaging.quality import WORST_CAST, Quality

MEASURES = ("quality", *(name for name in Quality._fields if name != "quality"))
BINS = 25
LINES = ("solid", "dashed", "dotted", "dashdot")
BEST = {"colour_cast": "0 is none"}
"""What a measure's axis says where 1 is not the best."""


def quality_distribution(frame: pd.DataFrame, *, min_quality: float) -> Figure:
    """Distribution of the quality score and of its measures, per source.

    Args:
        frame: One row per eye with ``source`` and the fields of
            :class:`~fundus_ml.imaging.quality.Quality`.
        min_quality: Below it eyes are rejected; a line in the first panel unless 0.

    Returns:
        One panel per measure, the score first: share of each source's eyes per bin; the last bin
        of ``colour_cast`` holds all beyond.

    Raises:
        InputError: A column is missing, the frame is empty, a value is missing, or ``min_quality``
            leaves [0, 1].
    """
    check_columns(frame, ("source", *MEASURES))
    if not 0 <= min_quality <= 1:
        raise InputError(f"min_quality={min_quality}: must be from 0 to 1")
    missing = [name for name in MEASURES if frame[name].isna().any()]
    if missing:
        raise InputError(f"frame: {missing[0]} is missing in {frame[missing[0]].isna().sum()} rows")
    sources = list(dict.fromkeys(frame["source"]))
    figure = make_figure(8.0, 4.6 + 0.2 * -(-len(sources) // 4))
    panels = figure.subplots(2, 3)
    for axes, name in zip(panels.flat, MEASURES, strict=True):
        _draw(axes, frame, name, sources)
        best = BEST.get(name, "1 is best")
        tidy(axes, xlabel=f"{name.replace('_', ' ')} ({best})", ylabel="")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for axes in panels[:, 0]:
        axes.set_ylabel("share of eyes per bin", fontsize=BODY_SIZE, color=INK)
    if min_quality > 0:
        _threshold(panels[0, 0], min_quality)
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=min(4, len(sources)),
        fontsize=BODY_SIZE - 1,
        frameon=False,
    )
    return figure


def _draw(axes: Axes, frame: pd.DataFrame, name: str, sources: list[str]) -> None:
    edges = np.linspace(0, WORST_CAST if name == "colour_cast" else 1, BINS + 1)
    for place, (source, (colour, _)) in enumerate(
        zip(sources, series_styles(len(sources)), strict=True)
    ):
        values = frame.loc[frame["source"] == source, name].clip(edges[0], edges[-1])
        counts, _ = np.histogram(values, edges)
        axes.stairs(
            counts / len(values),
            edges,
            color=colour,
            linewidth=1.6,
            linestyle=LINES[place % len(LINES)],
            label=f"{source} ({len(values)} eyes)".replace("$", r"\$"),
        )
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)


def _threshold(axes: Axes, min_quality: float) -> None:
    axes.axvline(min_quality, color=FAINT, linewidth=1, linestyle="dashed")
    axes.text(
        min_quality,
        1.02,
        f"rejected below {min_quality:g}",
        transform=axes.get_xaxis_transform(),
        ha="center",
        va="bottom",
        fontsize=BODY_SIZE - 1,
        color=FAINT,
    )
