"""Explanation maps: one eye under every method, and how the methods rank by a score."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.figures.changes import SHOWN_QUANTILE, SIGNED_MAP
from fundus_ml.figures.inputs import check_columns, check_pictures
from fundus_ml.figures.panels import outline_regions
from fundus_ml.figures.style import BODY_SIZE, COLOURS, FAINT, INK, make_figure, tidy

CELL = 1.55
"""Side of one picture, in inches."""
CAPTION = 0.22
HEADING = 0.35
COLUMNS = 6
SCALE_LABEL = "evidence, each method's largest is 1"


def attribution_panel(
    pixels: NDArray[np.uint8],
    maps: Mapping[str, NDArray[np.float32]],
    *,
    title: str,
    classes: tuple[str, str],
    regions: NDArray[np.uint8] | None = None,
    columns: int = COLUMNS,
) -> Figure:
    """Show what every method says of one eye, on one scale.

    Methods have no common unit, so each map is divided by its own 99.8 % quantile of size: 1 is
    where a method says most. Red speaks for the second class, blue for the first; a method without
    a sign is red only.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB.
        maps: ``(H, W)`` map by method, in the order they are shown.
        title: Stands above the panel.
        classes: The two answers of the contrast.
        regions: ``(H, W)`` uint8 region map, whose structures are outlined on every map.
        columns: Pictures side by side, 2 or more.

    Returns:
        Axes in this order: the eye, then each method; the colour bar last.

    Raises:
        InputError: There is no map, or one is not of the eye's size.
    """
    check_pictures("pixels", pixels[None])
    if not maps:
        raise InputError("maps: none is given")
    for method, given in maps.items():
        if given.shape != pixels.shape[:2]:
            raise InputError(f"{method}: map {given.shape} of an eye of {pixels.shape[:2]} pixels")
    columns = min(columns, len(maps) + 1)
    rows = -(-(len(maps) + 1) // columns)
    width = columns * CELL + 0.9
    height = HEADING + rows * (CELL + CAPTION) + 0.1
    figure = Figure(figsize=(width, height), facecolor="white")
    figure.text(
        0.1 / width, 1 - 0.08 / height, title,
        va="top", fontsize=BODY_SIZE + 1, color=INK, parse_math=False,
    )  # fmt: skip
    cells = []
    for place in range(len(maps) + 1):
        row, column = divmod(place, columns)
        bottom = height - HEADING - (row + 1) * (CELL + CAPTION)
        cells.append(
            figure.add_axes(
                (
                    (0.1 + column * CELL) / width,
                    bottom / height,
                    0.96 * CELL / width,
                    0.96 * CELL / height,
                )
            )
        )
    _bare(cells[0], "the eye")
    cells[0].imshow(pixels)
    for axes, (method, given) in zip(cells[1:], maps.items(), strict=True):
        _bare(axes, method.replace("_", " "))
        shown = axes.imshow(of_its_largest(given), cmap=SIGNED_MAP, vmin=-1, vmax=1)
        if regions is not None:
            outline_regions(axes, regions)
    left = (0.15 + columns * CELL) / width
    bar = figure.add_axes((left, (height - HEADING - CELL) / height, 0.1 / width, CELL / height))
    scale = figure.colorbar(shown, cax=bar, ticks=[-1, 0, 1])
    scale.ax.set_yticklabels([f"for\n{classes[0]}", "0", f"for\n{classes[1]}"])
    scale.ax.tick_params(labelsize=BODY_SIZE - 2, colors=FAINT)
    return figure


def of_its_largest(attributions: NDArray[np.float32]) -> NDArray[np.float64]:
    """Divide ``(..., H, W)`` maps by their own high quantile of size; a map of 0 stays one."""
    sizes = np.abs(attributions.astype(np.float64))
    largest = np.quantile(sizes, SHOWN_QUANTILE, axis=(-2, -1), keepdims=True)
    largest = np.where(largest > 0, largest, sizes.max(axis=(-2, -1), keepdims=True))
    return np.asarray(np.divide(attributions, largest, where=largest > 0, out=np.zeros_like(sizes)))


def explanation_ranking(frame: pd.DataFrame, *, controls: Sequence[str] = ()) -> Figure:
    """Rank methods by each score: a panel per score, the best at the top.

    Args:
        frame: One row per score and method: ``score method value value_low value_high better``,
            ``better`` being ``more``, ``less`` or empty where neither is; a score about a part of
            the eye is named with it.
        controls: Methods that ask no network; drawn in grey.

    Returns:
        One panel per score in the frame's order, two side by side, a point with its interval per
        method. The direction that is better is said above each.

    Raises:
        InputError: A column is missing or the frame is empty.
    """
    check_columns(frame, ("score", "method", "value", "value_low", "value_high", "better"))
    scores = list(dict.fromkeys(frame["score"]))
    methods = frame["method"].nunique()
    side_by_side = min(2, len(scores))
    rows = -(-len(scores) // side_by_side)
    figure = make_figure(4.6 * side_by_side, rows * (0.7 + 0.17 * methods))
    panels = figure.subplots(rows, side_by_side, squeeze=False).ravel()
    for axes, score in zip(panels, scores, strict=False):
        _rank(axes, frame[frame["score"] == score], score, frozenset(controls))
    for axes in panels[len(scores) :]:
        axes.remove()
    return figure


def _rank(axes: Axes, rows: pd.DataFrame, score: str, controls: frozenset[str]) -> None:
    better = str(rows["better"].iloc[0])
    more = better != "less"
    ranked = rows.sort_values("value", ascending=not more, na_position="last").reset_index(
        drop=True
    )
    colours = [FAINT if method in controls else COLOURS[0] for method in ranked["method"]]
    places = np.arange(len(ranked))
    axes.hlines(places, ranked["value_low"], ranked["value_high"], colors=colours, linewidth=2)
    axes.scatter(ranked["value"], places, color=colours, s=22, clip_on=False, zorder=3)
    axes.set_yticks(range(len(ranked)), ranked["method"].str.replace("_", " "))
    axes.set_ylim(len(ranked) - 0.5, -0.5)
    said = f" ({better} is better)" if better else ""
    tidy(axes, xlabel=score.replace("_", " ") + said, ylabel="")
    axes.grid(visible=False, axis="y")


def _bare(axes: Axes, caption: str) -> None:
    axes.set_axis_off()
    axes.set_title(caption, fontsize=BODY_SIZE - 1.5, color=INK, pad=2, parse_math=False)
