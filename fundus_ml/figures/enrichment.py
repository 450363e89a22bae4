"""Where the change went: energy per area of each part of the retina, and of its sham."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fundus_ml.figures.budgets import MANY
from fundus_ml.figures.inputs import check_columns
from fundus_ml.figures.style import COLOURS, FAINT, legend, make_figure, series_styles, tidy


def region_enrichment_figure(frame: pd.DataFrame) -> Figure:
    """Enrichment of change (share of energy over share of area) per part and model.

    Args:
        frame: One row per model and part: ``model part enrichment low high`` and, where the truth
            is known, ``planted``: whether the sexes were made to differ in that part; ``sham``, the
            enrichment of the part's sham, NaN where it has none.

    Returns:
        One panel, parts from top to bottom in the frame's order, a point with its interval per
        model, a hollow one for its sham, the line 1 where change is spread evenly, the planted part
        shaded.

    Raises:
        InputError: A column is missing or the frame is empty.
    """
    check_columns(frame, ("model", "part", "enrichment", "low", "high"))
    parts = list(dict.fromkeys(frame["part"]))
    names = list(dict.fromkeys(frame["model"]))
    many = len(names) > MANY
    figure = make_figure(
        6.5, 1.1 + len(parts) * (0.12 * len(names) + 0.2 if many else 0.2 * (len(names) + 0.6))
    )
    axes = figure.subplots()
    reach = 0.36 if many else 0.2
    offsets = np.linspace(-reach, reach, len(names)) if len(names) > 1 else np.zeros(1)
    for name, offset, (colour, marker) in zip(
        names, offsets, series_styles(len(names)), strict=True
    ):
        rows = frame[frame["model"] == name]
        places = np.array([parts.index(part) for part in rows["part"]]) + offset
        axes.hlines(places, rows["low"], rows["high"], color=colour, linewidth=2.2)
        axes.plot(
            rows["enrichment"],
            places,
            color=colour,
            marker=marker,
            markersize=6,
            linestyle="none",
            clip_on=False,
            label=str(name),
        )
        if "sham" in rows:
            axes.plot(
                rows["sham"],
                places,
                color=colour,
                marker=marker,
                markersize=6,
                fillstyle="none",
                linestyle="none",
            )
    if "sham" in frame and frame["sham"].notna().any():
        axes.plot([], [], color=FAINT, marker="o", fillstyle="none", ls="none", label="its sham")
    axes.axvline(1, color=FAINT, linewidth=1, linestyle="dashed", label="spread evenly (1)")
    planted = set(frame.loc[frame["planted"].eq(True), "part"]) if "planted" in frame else set()
    for place in (parts.index(part) for part in planted):
        axes.axhspan(
            place - 0.46, place + 0.46, color=COLOURS[4], alpha=0.18, linewidth=0, zorder=0
        )
    axes.set_yticks(
        range(len(parts)), [f"{part}\n(planted)" if part in planted else part for part in parts]
    )
    axes.set_ylim(len(parts) - 0.5, -0.5)
    axes.set_xlim(left=0)
    tidy(axes, xlabel="enrichment of change (share of energy / share of area)", ylabel="")
    axes.grid(visible=False, axis="y")
    legend(axes, beside=many)
    return figure
