"""One eye under modulation: what it became at each budget, and what was changed in it."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.figures.budgets import BALLS, budget_axis
from fundus_ml.figures.changes import (
    MAGNITUDE_LABEL,
    SIGNED_LABEL,
    change_bar,
    change_limit,
    change_magnitude,
    show_magnitude,
    show_signed,
    signed_change,
    spent_rms,
)
from fundus_ml.figures.inputs import check_pictures, check_same_length
from fundus_ml.figures.style import (
    BODY_SIZE,
    COLOURS,
    FAINT,
    INK,
    REGION_STYLES,
    LineStyle,
    tidy,
    wrapped,
)
from fundus_ml.imaging.regions.maps import REGION_FLAGS

CELL = 1.75
"""Side of one picture, in inches."""


def modulation_panel(
    original: NDArray[np.uint8],
    modulated: Sequence[NDArray[np.uint8]],
    *,
    eps: Sequence[float],
    prob_target_before: float,
    prob_target: Sequence[float],
    target: str,
    title: str,
    regions: NDArray[np.uint8] | None = None,
    constraint: str = "l2",
) -> Figure:
    """Draw one eye, its modulations at rising budgets, and where each changed it.

    Rows: the modulated pictures; signed change, mean over RGB, one scale for all; magnitude,
    length over RGB, one scale for all, the structures outlined when ``regions`` are given. At
    the left the original, and P(target) by budget.

    Args:
        original: ``(H, W, 3)`` uint8 RGB.
        modulated: One ``(H, W, 3)`` uint8 RGB picture per budget.
        eps: Budget of each picture, 0 or more.
        prob_target_before: P(target) of the original, in [0, 1].
        prob_target: P(target) of each picture, in [0, 1].
        target: Class the eye was pushed towards.
        title: Stands above the panel.
        regions: ``(H, W)`` uint8 map of :data:`~fundus_ml.imaging.regions.maps.REGION_FLAGS`.
        constraint: Ball the change stays in, ``l2`` or ``linf``.

    Returns:
        Axes in this order: original, curve, the three rows from the top, their two colour bars.
        Captions give the RMS measured in the 8-bit picture.

    Raises:
        InputError: Shapes, types or lengths do not match.
    """
    pictures = _checked(original, modulated, regions)
    check_same_length(len(pictures), eps=eps, prob_target=prob_target)
    layout = _PanelLayout(len(pictures), title)
    figure = layout.figure
    _show_picture(layout.original(), original, f"original\nP({target}) {prob_target_before:.2f}")
    curve = layout.curve()
    _show_curve(curve, [0, *eps], [prob_target_before, *prob_target])
    tidy(curve, xlabel=f"eps ({BALLS[constraint]})", ylabel=f"P({target})")
    tops, middles, bottoms = (layout.row(index) for index in range(3))
    for axes, picture, budget, prob in zip(tops, pictures, eps, prob_target, strict=True):
        rms = spent_rms(original, picture)
        _show_picture(axes, picture, f"eps {budget:g} · RMS {rms:.2g}\nP({target}) {prob:.2f}")
    signed, magnitude = signed_change(original, pictures), change_magnitude(original, pictures)
    _show_changes(middles, signed, show_signed, "signed change")
    _show_changes(bottoms, magnitude, show_magnitude, "size of change")
    if regions is not None:
        for axes in bottoms:
            outline_regions(axes, regions)
        _region_legend(bottoms[-1], regions)
    change_bar(figure, middles[0].images[0], layout.bar(1), label=SIGNED_LABEL, extend="both")
    change_bar(figure, bottoms[0].images[0], layout.bar(2), label=MAGNITUDE_LABEL, extend="max")
    return figure


def outline_regions(axes: Axes, regions: NDArray[np.uint8]) -> None:
    """Outline the structures that ``(H, W)`` region flags hold, on axes showing that eye."""
    for name, (colour, line) in _present(regions).items():
        mask = regions & REGION_FLAGS[name] > 0
        axes.contour(mask, levels=[0.5], colors=[colour], linestyles=line, linewidths=0.9)


class _PanelLayout:
    """Where everything stands, in inches, so that pictures are square and rows line up."""

    LEFT, BOTTOM, RIGHT = 0.55, 0.52, 0.95
    GUTTER, GAP, BAR = 0.4, 0.07, 0.11
    CAPTION, TITLE_LINE, EDGE = 0.45, 0.19, 0.1
    TITLE_SIZE = BODY_SIZE + 1.5

    def __init__(self, budgets: int, title: str) -> None:
        self.budgets = budgets
        self.first = self.LEFT + CELL + self.GUTTER
        self.width = self.first + budgets * (CELL + self.GAP) + self.BAR + self.RIGHT
        heading = wrapped(title, inches=self.width - 2 * self.EDGE, size=self.TITLE_SIZE)
        top = self.EDGE + self.TITLE_LINE * (heading.count("\n") + 1) + self.CAPTION
        self.height = self.BOTTOM + 3 * CELL + 2 * self.GAP + top
        self.figure = Figure(figsize=(self.width, self.height), facecolor="white")
        self.figure.text(
            0.5,
            1 - self.EDGE / self.height,
            heading,
            ha="center",
            va="top",
            fontsize=self.TITLE_SIZE,
            color=INK,
            parse_math=False,
        )

    def original(self) -> Axes:
        return self._add(self.LEFT, self._bottom(0), CELL, CELL)

    def curve(self) -> Axes:
        return self._add(self.LEFT, self.BOTTOM, CELL, 1.7 * CELL)

    def row(self, index: int) -> list[Axes]:
        return [
            self._add(self.first + place * (CELL + self.GAP), self._bottom(index), CELL, CELL)
            for place in range(self.budgets)
        ]

    def bar(self, index: int) -> Axes:
        left = self.first + self.budgets * (CELL + self.GAP)
        return self._add(left, self._bottom(index), self.BAR, CELL)

    def _bottom(self, row: int) -> float:
        return self.BOTTOM + (2 - row) * (CELL + self.GAP)

    def _add(self, left: float, bottom: float, width: float, height: float) -> Axes:
        return self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height)
        )


def _checked(
    original: NDArray[np.uint8],
    modulated: Sequence[NDArray[np.uint8]],
    regions: NDArray[np.uint8] | None,
) -> NDArray[np.uint8]:
    check_pictures("original", original[None])
    if not modulated:
        raise InputError("modulated: empty, at least one picture is needed")
    for picture in modulated:
        if picture.shape != original.shape:
            raise InputError(f"modulated: shape {picture.shape} is not original's {original.shape}")
    pictures = np.stack(list(modulated))
    check_pictures("modulated", pictures)
    if regions is not None and regions.shape != original.shape[:2]:
        raise InputError(f"regions: shape {regions.shape} is not {original.shape[:2]}")
    return pictures


def _show_picture(axes: Axes, picture: NDArray[np.uint8], caption: str) -> None:
    axes.imshow(picture)
    _bare(axes)
    axes.set_title(caption, fontsize=BODY_SIZE - 0.5, color=INK)


def _show_curve(axes: Axes, eps: Sequence[float], prob: Sequence[float]) -> None:
    order = np.argsort(eps, kind="stable")
    budgets, probs = np.asarray(eps, dtype=np.float64)[order], np.asarray(prob)[order]
    axes.plot(budgets, probs, color=COLOURS[0], marker="o", markersize=4)
    axes.axhline(0.5, color=FAINT, linewidth=1, linestyle="dotted")
    axes.set_ylim(-0.02, 1.02)
    budget_axis(axes, eps, closest=0.13)


def _show_changes(
    row: Sequence[Axes],
    changes: NDArray[np.float64],
    show: Callable[..., AxesImage],
    name: str,
) -> None:
    limit = change_limit(changes)
    for axes, change in zip(row, changes, strict=True):
        show(axes, change, limit=limit)
        _bare(axes)
    row[0].set_ylabel(name, fontsize=BODY_SIZE, color=INK)


def _region_legend(axes: Axes, regions: NDArray[np.uint8]) -> None:
    """Name the outlined structures below the last picture, flush with its right edge."""
    handles = [
        Line2D([], [], color=colour, linestyle=line, label=name)
        for name, (colour, line) in _present(regions).items()
    ]
    axes.legend(
        handles=handles,
        loc="upper right",
        bbox_to_anchor=(1.0, -0.02),
        ncols=max(1, len(handles)),
        borderaxespad=0,
        handlelength=1.4,
        columnspacing=1.0,
        fontsize=BODY_SIZE - 1.5,
        frameon=False,
    )


def _present(regions: NDArray[np.uint8]) -> dict[str, tuple[str, LineStyle]]:
    return {
        name: style
        for name, style in REGION_STYLES.items()
        if 0 < np.count_nonzero(regions & REGION_FLAGS[name]) < regions.size
    }


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
