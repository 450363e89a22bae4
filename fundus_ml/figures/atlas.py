"""The atlas of a modulation: mean changes on one aligned eye, and the biomarkers they move."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.figures.changes import SIGNED_MAP, SMALLEST_LIMIT, known_end
from fundus_ml.figures.inputs import check_columns
from fundus_ml.figures.style import BODY_SIZE, COLOURS, FAINT, GRID, INK, make_figure, tidy

COLUMNS = (
    "label", "structure", "parts", "change", "change_low", "change_high", "change_q", "difference",
    "difference_low", "difference_high", "q", "claim", "reason",
)  # fmt: skip
FOUND_ANEW = "found on both"
"""Says in the column ``parts`` that the part was looked for on both pictures."""
FALSE_DISCOVERIES = 0.05
"""Rate of false discoveries below which a point is filled."""
LEVELS = 255
"""Grey levels of the scale."""
_SIDES = ("change", "change_q"), ("difference", "q")
_BEYOND = COLOURS[2]
"""Colour of what exceeds every null version."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnMap:
    """One mean map, on an aligned right eye.

    Attributes:
        title: Its heading.
        mean: ``(S, S)`` mean change, pixels in [0, 1]; NaN where not shown.
        significant: ``(S, S)`` where it is.
        beyond_null: ``(S, S)`` where it exceeds every null version too; None where none was given.
    """

    title: str
    mean: NDArray[np.float64]
    significant: NDArray[np.bool_]
    beyond_null: NDArray[np.bool_] | None = None


def atlas_figure(
    maps: Sequence[DrawnMap],
    biomarkers: pd.DataFrame,
    *,
    classes: tuple[str, str],
    disc: tuple[float, float],
    fovea: tuple[float, float],
    disc_diameter: float,
    eyes: str,
    adjusted: str = "age",
) -> Figure:
    """Draw the mean maps one below the other, and beside them what each biomarker does.

    Args:
        maps: All of one size, on one scale.
        biomarkers: :data:`COLUMNS`; NaN where one was not measured.
        classes: What labels 0 and 1 are called.
        disc: Column and row of the disc's centre, pixels of the maps.
        fovea: Column and row of the fovea.
        disc_diameter: Mean disc diameter, pixels of the maps.
        eyes: What was measured, for the title.
        adjusted: What is held equal between the classes, for the axis.

    Raises:
        InputError: There is no map, sizes differ, or a column is missing.
    """
    check_columns(biomarkers, COLUMNS)
    if not maps:
        raise InputError("maps: none given, at least one is needed")
    shape = maps[0].mean.shape
    for each in maps:
        if each.mean.shape != shape or each.significant.shape != shape:
            raise InputError(f"maps: {each.title}: shape {each.mean.shape}, must be {shape}")
    places = _places(biomarkers)
    height = max(3.3 * len(maps) + 0.9, 1.7 + 0.205 * (max(places) + 1))
    figure = make_figure(12.6, height)
    left, right = figure.subfigures(1, 2, width_ratios=(0.36, 1), squeeze=False)[0]
    limit = _limit(maps)
    axes = left.subplots(len(maps), 1, squeeze=False)[:, 0]
    for place, each in zip(axes, maps, strict=True):
        shown = place.imshow(
            LEVELS * each.mean, cmap=SIGNED_MAP, vmin=-LEVELS * limit, vmax=LEVELS * limit
        )
        _mark(place, each, disc, fovea, disc_diameter)
    bar = left.colorbar(
        shown, ax=axes, orientation="horizontal", fraction=0.03, pad=0.01, extend="both"
    )
    bar.set_label("mean change, grey levels of 255, mean over RGB", fontsize=BODY_SIZE - 1)
    bar.ax.tick_params(labelsize=BODY_SIZE - 2, colors=FAINT)
    given_null = any(each.beyond_null is not None for each in maps)
    left.legend(
        handles=_map_key(given_null=given_null), loc="outside upper left",
        fontsize=BODY_SIZE - 1.5, frameon=False,
    )  # fmt: skip
    _draw_biomarkers(right, biomarkers, classes=classes, eyes=eyes, adjusted=adjusted)
    return figure


def _limit(maps: Sequence[DrawnMap]) -> float:
    return max(SMALLEST_LIMIT / 4, known_end([each.mean for each in maps]))


def _mark(
    axes: Axes,
    each: DrawnMap,
    disc: tuple[float, float],
    fovea: tuple[float, float],
    diameter: float,
) -> None:
    """Outline what is significant, mark disc and fovea, and say how large and which way."""
    size = each.mean.shape[0]
    axes.set_facecolor("#EEEEEE")
    for mask, colour, width in (
        (each.significant, INK, 1.1),
        (each.beyond_null, _BEYOND, 2.4),
    ):
        if mask is not None and mask.any():
            axes.contour(mask.astype(float), levels=[0.5], colors=colour, linewidths=width)
    mark_parts(axes, disc=disc, fovea=fovea, diameter=diameter)
    start, level = 0.05 * size, 0.95 * size
    axes.plot([start, start + diameter], [level, level], color=INK, linewidth=2.5)
    axes.text(
        start + diameter + 0.02 * size, level, "1 disc diameter",
        va="center", fontsize=BODY_SIZE - 2, color=INK,
    )  # fmt: skip
    for x, name, side in ((0.02, "temporal", "left"), (0.98, "nasal", "right")):
        axes.text(
            x, 0.985, name, transform=axes.transAxes, ha=side, va="top",
            fontsize=BODY_SIZE - 2, color=FAINT,
        )  # fmt: skip
    axes.set_title(each.title, fontsize=BODY_SIZE, color=INK, loc="left")
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def mark_parts(
    axes: Axes,
    *,
    disc: tuple[float, float],
    fovea: tuple[float, float],
    diameter: float,
    colour: str = INK,
    size: float = 9,
) -> None:
    """Draw the mean disc's outline and a cross at the fovea on an aligned eye.

    Args:
        axes: Show a map of the aligned square.
        disc: Column and row of the disc's centre, pixels of the map.
        fovea: Column and row of the fovea.
        diameter: Mean disc diameter, pixels of the map.
        colour: Colour of both.
        size: Size of the cross, points.
    """
    axes.add_patch(
        Circle(disc, diameter / 2, fill=False, edgecolor=colour, linestyle="dotted", linewidth=1.1)
    )
    axes.plot(*fovea, marker="+", color=colour, markersize=size, markeredgewidth=1.3)


def _map_key(*, given_null: bool) -> list[Line2D]:
    key = [
        Line2D([], [], color=INK, linewidth=1.1, label="p < 0.05, corrected over all pixels"),
        Line2D([], [], color=INK, linestyle="dotted", linewidth=1.1, label="mean disc;  + fovea"),
    ]
    if given_null:
        beyond = Line2D([], [], color=_BEYOND, linewidth=2.4)
        beyond.set_label("and beyond every null version anywhere")
        key.insert(1, beyond)
    return key


def _places(frame: pd.DataFrame) -> list[int]:
    """Row of each biomarker; every structure leaves one for its heading."""
    structures = frame["structure"].tolist()
    headings, places = 0, []
    for at, structure in enumerate(structures):
        headings += at == 0 or structure != structures[at - 1]
        places.append(at + headings)
    return places


def _draw_biomarkers(
    figure: SubFigure,
    frame: pd.DataFrame,
    *,
    classes: tuple[str, str],
    eyes: str,
    adjusted: str,
) -> None:
    places = _places(frame)
    held = f", {adjusted} held equal" if adjusted else ""
    changes, differences, words = figure.subplots(1, 3, sharey=True, width_ratios=(1, 1, 0.62))
    rows = frame.to_dict("records")
    for axes, (name, q), colour in zip((changes, differences), _SIDES, COLOURS[:2], strict=True):
        axes.axvline(0, color=INK, linewidth=1.1)
        ends = frame[[f"{name}_low", f"{name}_high", name]].to_numpy(np.float64)
        limit = 1.06 * float(np.nanmax(np.abs(ends), initial=0.0)) or 1.0
        axes.set_xlim(-limit, limit)
        for place, row in zip(places, rows, strict=True):
            if pd.isna(row[q]):
                continue
            found = row[q] < FALSE_DISCOVERIES
            shade = colour if found else FAINT
            axes.hlines(place, row[f"{name}_low"], row[f"{name}_high"], color=shade, linewidth=1.7)
            axes.plot(
                row[name], place, color=shade, marker="os"[name == "difference"], markersize=5,
                markerfacecolor=shade if found else "white",
            )  # fmt: skip
    headings = [
        (place - 1, str(row["structure"]).capitalize())
        for place, row, before in zip(places, rows, [None, *rows], strict=False)
        if before is None or before["structure"] != row["structure"]
    ]
    labels = [
        (place, str(row["label"]) + " \u2020" * (row["parts"] == FOUND_ANEW))
        for place, row in zip(places, rows, strict=True)
    ]
    names = sorted([*headings, *labels])
    changes.set_yticks([place for place, _ in names], [name for _, name in names])
    bold = {place for place, _ in headings}
    for tick, (place, _) in zip(changes.get_yticklabels(), names, strict=True):
        tick.set_fontweight("bold" if place in bold else "normal")
    changes.set_ylim(max(places) + 0.7, -0.8)
    tidy(
        changes,
        xlabel=f"SDs between people\n(right of 0: rises towards {classes[1]})",
        ylabel="",
        title="modulated less unchanged",
    )
    tidy(
        differences,
        xlabel=f"SDs within a class{held}\n(right of 0: larger in {classes[1]})",
        ylabel="",
        title=f"{classes[1]} less {classes[0]}, unchanged",
    )
    for axes in (changes, differences):
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        for place in bold:
            axes.axhline(place, color=GRID, linewidth=0.7, zorder=0)
    differences.tick_params(axis="y", labelleft=False)
    words.set_axis_off()
    words.set_title("claim, or what fails first", fontsize=BODY_SIZE + 1, color=INK, loc="left")
    for place, row in zip(places, rows, strict=True):
        words.text(
            0.0, place, "claim" if row["claim"] else str(row["reason"]),
            transform=words.get_yaxis_transform(), va="center", fontsize=BODY_SIZE - 2,
            color=INK if row["claim"] else FAINT,
            fontweight="bold" if row["claim"] else "normal",
        )  # fmt: skip
    filled = Line2D([], [], color=COLOURS[0], marker="o", markersize=5, label="q < 0.05")
    other = Line2D([], [], color=FAINT, marker="o", markersize=5, label="q 0.05 or more")
    other.set_markerfacecolor("white")
    heading = (
        f"{eyes}; 95 % intervals by resampling people; \u2020 parts found anew on both pictures"
    )
    figure.legend(
        handles=[filled, other], loc="outside upper left", ncols=2, fontsize=BODY_SIZE - 1,
        frameon=False, title=heading,
        title_fontsize=BODY_SIZE, alignment="left",
    )  # fmt: skip
