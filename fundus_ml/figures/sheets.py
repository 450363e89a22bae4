"""Many eyes on one sheet: as they are, and beside what modulation made of them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.figures.changes import (
    SIGNED_LABEL,
    change_bar,
    change_limit,
    show_signed,
    signed_change,
)
from fundus_ml.figures.inputs import check_pictures, check_same_length
from fundus_ml.figures.style import FAINT, INK, wrapped

CELL = 1.05
"""Side of one picture, in inches."""
GAP = 0.08
CAPTION_SIZE = 6.5
LINE = 0.125
"""Height of one caption line, in inches."""
BAR_HEIGHT = 0.6
CHANGE_HEADINGS = ("original", "modulated", "change")


def sample_sheet(
    images: NDArray[np.uint8], captions: Sequence[str], *, columns: int = 10
) -> Figure:
    """Lay eyes out in a grid, a caption below each.

    Args:
        images: ``(n, H, W, 3)`` uint8 RGB.
        captions: ``n`` lines of text, wrapped to the picture's width.
        columns: Pictures per row, 1 or more.

    Returns:
        One set of axes per picture, in order.

    Raises:
        InputError: Wrong shape or type, another number of captions, or ``columns`` below 1.
    """
    check_pictures("images", images)
    check_same_length(len(images), captions=captions)
    figure, cells = _grid(captions, headings=("",), columns=columns)
    for axes, image in zip(cells, images, strict=True):
        axes.imshow(image)
    return figure


def contact_sheet(
    original: NDArray[np.uint8],
    modulated: NDArray[np.uint8],
    captions: Sequence[str],
    *,
    columns: int = 3,
) -> Figure:
    """Original, modulated and their signed difference, side by side, for many eyes at one budget.

    Args:
        original: ``(n, H, W, 3)`` uint8 RGB.
        modulated: ``(n, H, W, 3)`` uint8 RGB.
        captions: ``n`` lines of text, wrapped to the width of three pictures.
        columns: Eyes per row, 1 or more.

    Returns:
        Three sets of axes per eye, in order, then the colour bar; every difference has the same
        scale.

    Raises:
        InputError: Wrong or differing shapes, another number of captions, or ``columns`` below 1.
    """
    check_pictures("original", original)
    check_pictures("modulated", modulated)
    if original.shape != modulated.shape:
        raise InputError(f"modulated: shape {modulated.shape} is not original's {original.shape}")
    check_same_length(len(original), captions=captions)
    changes = signed_change(original, modulated)
    limit = change_limit(changes)
    figure, cells = _grid(captions, headings=CHANGE_HEADINGS, columns=columns, footer=BAR_HEIGHT)
    for index, change in enumerate(changes):
        before, after, difference = cells[3 * index : 3 * index + 3]
        before.imshow(original[index])
        after.imshow(modulated[index])
        shown = show_signed(difference, change, limit=limit)
    width, height = figure.get_size_inches()
    bar = figure.add_axes((GAP / width, 0.38 / height, 3 * CELL / width, 0.09 / height))
    change_bar(figure, shown, bar, label=SIGNED_LABEL, extend="both", orientation="horizontal")
    return figure


def _grid(
    captions: Sequence[str], *, headings: Sequence[str], columns: int, footer: float = 0.0
) -> tuple[Figure, list[Axes]]:
    if columns < 1:
        raise InputError(f"columns={columns}: must be 1 or more")
    columns = min(columns, len(captions))
    rows = -(-len(captions) // columns)
    block = len(headings) * CELL
    texts = [wrapped(caption, inches=block, size=CAPTION_SIZE) for caption in captions]
    lines = max(text.count("\n") + 1 for text in texts)
    pitch = CELL + lines * LINE + 1.5 * GAP
    width = columns * (block + GAP) + GAP
    header = 1.5 * LINE if any(headings) else 0.0
    height = header + rows * pitch + GAP + footer
    figure = Figure(figsize=(width, height), facecolor="white")
    cells = []
    for index, text in enumerate(texts):
        row, column = divmod(index, columns)
        left = GAP + column * (block + GAP)
        bottom = height - header - GAP - row * pitch - CELL
        for place, heading in enumerate(headings):
            box = ((left + place * CELL) / width, bottom / height, CELL / width, CELL / height)
            axes = figure.add_axes(box)
            axes.set_axis_off()
            if row == 0:
                axes.set_title(heading, fontsize=CAPTION_SIZE, color=FAINT, pad=2)
            cells.append(axes)
        figure.text(
            (left + block / 2) / width,
            (bottom - GAP / 2) / height,
            text,
            ha="center",
            va="top",
            fontsize=CAPTION_SIZE,
            color=INK,
            parse_math=False,
        )
    return figure, cells
