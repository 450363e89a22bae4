"""How every figure looks, and how it becomes a PNG."""

from collections.abc import Mapping
from io import BytesIO
from textwrap import wrap
from types import MappingProxyType
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222", "#888888",
)  # fmt: skip
"""Told apart by colour-blind readers: Okabe & Ito 2008, Color Universal Design; with a grey."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
INK = "#222222"
FAINT = "#6B6B6B"
GRID = "#E3E3E3"
BODY_SIZE = 9.0
"""Points; a figure 8 inches wide stays readable at the width of a README."""

DRAWN_WIDTH = 0.94
"""Text measured in outlines may be drawn a twentieth wider: its letters snap to pixels."""

LineStyle = Literal["solid", "dashed", "dotted"]
REGION_STYLES: Mapping[str, tuple[str, LineStyle]] = MappingProxyType(
    {
        "disc": ("#56B4E9", "solid"),
        "cup": ("#009E73", "solid"),
        "macula": ("#E69F00", "dashed"),
        "periphery": ("#BBBBBB", "dotted"),
    }
)
"""Colour and line of each structure's outline."""


def make_figure(width: float, height: float) -> Figure:
    """Make an empty white figure, in inches, that keeps its labels inside."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def series_styles(count: int) -> list[tuple[str, str]]:
    """Colour and marker of each of ``count`` series, in order; no pair comes twice up to 64."""
    colours, markers = len(COLOURS), len(MARKERS)
    return [
        (COLOURS[place % colours], MARKERS[(place + place // colours) % markers])
        for place in range(count)
    ]


def tidy(axes: Axes, *, xlabel: str, ylabel: str, title: str = "") -> None:
    """Label axes and leave only what carries meaning: a faint grid, two spines."""
    axes.set_xlabel(xlabel, fontsize=BODY_SIZE, color=INK)
    axes.set_ylabel(ylabel, fontsize=BODY_SIZE, color=INK)
    axes.set_title(title, fontsize=BODY_SIZE + 1, color=INK, loc="left")
    axes.tick_params(labelsize=BODY_SIZE - 1, colors=FAINT)
    axes.grid(visible=True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)


def legend(
    axes: Axes,
    *,
    loc: Literal["best", "lower right", "upper left"] = "best",
    beside: bool = False,
    title: str | None = None,
) -> None:
    """Name the series on a white ground, so that lines beneath do not cross the text.

    ``beside`` puts the names to the right of the axes, where many would cover the lines.
    """
    axes.legend(
        loc="upper left" if beside else loc,
        bbox_to_anchor=(1.02, 1.0) if beside else None,
        title=title,
        fontsize=BODY_SIZE - 1,
        title_fontsize=BODY_SIZE - 1,
        facecolor="white",
        edgecolor="none",
        framealpha=0.9,
    )


def wrapped(text: str, *, inches: float, size: float) -> str:
    """Break ``text`` into lines no wider than ``inches`` at ``size`` points of its font."""
    points = 72 * inches * DRAWN_WIDTH
    return "\n".join(piece for line in text.splitlines() for piece in _broken(line, points, size))


def figure_png(figure: Figure, *, dpi: int = 120) -> bytes:
    """Render a figure as PNG bytes, the same bytes for the same figure.

    Args:
        figure: Any of this package's figures.
        dpi: Pixels per inch, 1 or more.

    Returns:
        A PNG file's content.
    """
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def _broken(line: str, points: float, size: float) -> list[str]:
    font, measure = FontProperties(size=size), TextToPath()

    def width(piece: str) -> float:
        return float(measure.get_text_width_height_descent(piece, font, ismath=False)[0])

    characters, pieces = len(line), [line]
    while characters > 1 and max(map(width, pieces)) > points:
        characters -= 1
        pieces = wrap(line, width=characters)
    return pieces
