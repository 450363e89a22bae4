"""Photographs found to show one eye, laid on each other, so that a reader can judge."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.figures.inputs import check_columns, check_pictures
from fundus_ml.figures.style import BODY_SIZE, FAINT, INK, wrapped
from fundus_ml.imaging.opencv import cv2

HEADINGS = ("first", "second", "both, in a checkerboard")
CELL = 1.5
"""Side of one picture, in inches."""
LINE = 0.15
"""Height of one caption line, in inches."""
HEADER = 0.25
SQUARES = 6
"""Squares of the checkerboard along one side."""
ALIGNMENT = ("rotation", "scale", "shift_x", "shift_y")


def same_eye_sheet(
    views: NDArray[np.uint8], pairs: pd.DataFrame, captions: Sequence[str], *, columns: int = 2
) -> Figure:
    """Show each pair side by side, and a checkerboard of the first and the aligned second.

    Where both show one eye, vessels run on across the squares' borders.

    Args:
        views: ``(n, side, side, 3)`` uint8 RGB, the field of view the inscribed circle.
        pairs: Positions ``first`` and ``second`` in ``views``, and the alignment that
            :func:`~fundus_ml.imaging.duplicates.same_eye_pairs` found.
        captions: One line of text per pair, wrapped to the width of its three pictures.
        columns: Pairs side by side, 1 or more.

    Returns:
        Three sets of axes per pair, in order.

    Raises:
        InputError: Wrong shape or type, a column is missing, a position is not in ``views``,
            another number of captions, or ``columns`` below 1.
    """
    check_pictures("views", views)
    check_columns(pairs, ("first", "second", *ALIGNMENT))
    if len(captions) != len(pairs):
        raise InputError(f"captions: {len(captions)} given for {len(pairs)} pairs")
    named = pairs[["first", "second"]].to_numpy(np.int64)
    if named.min() < 0 or named.max() >= len(views):
        raise InputError(
            f"pairs: views {named.min()} to {named.max()} are named, {len(views)} are given"
        )
    if columns < 1:
        raise InputError(f"columns={columns}: must be 1 or more")
    columns = min(columns, len(pairs))
    texts = [wrapped(text, inches=3 * CELL, size=BODY_SIZE - 1) for text in captions]
    figure, cells = _cells(texts, columns)
    for index, pair in enumerate(pairs.to_dict("records")):
        first, second = views[int(pair["first"])], views[int(pair["second"])]
        aligned = align_second(second, **{name: float(pair[name]) for name in ALIGNMENT})
        shown = (first, second, checkerboard(first, aligned))
        for axes, picture in zip(cells[3 * index : 3 * index + 3], shown, strict=True):
            axes.imshow(picture)
    return figure


def align_second(
    view: NDArray[np.uint8], *, rotation: float, scale: float, shift_x: float, shift_y: float
) -> NDArray[np.uint8]:
    """Draw the second view where the first one lies.

    Args:
        view: ``(side, side, 3)`` uint8.
        rotation: Rotation of the second against the first, degrees clockwise.
        scale: Scale of the second over the first.
        shift_x: Where the first's centre lies in the second, radii to the right of its centre.
        shift_y: Likewise, downwards.

    Returns:
        ``(side, side, 3)`` uint8; black where the second shows nothing.
    """
    radius = len(view) / 2
    centre = np.full(2, radius - 0.5)
    along = scale * np.cos(np.radians(rotation))
    across = scale * np.sin(np.radians(rotation))
    turn = np.array([[along, -across], [across, along]])
    offset = centre + radius * np.array([shift_x, shift_y]) - turn @ centre
    to_second = np.column_stack([turn, offset])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(view, to_second, view.shape[1::-1], flags=how), np.uint8)


def checkerboard(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Take every other square from ``first``, the upper left one too, the rest from ``second``."""
    squares = np.arange(len(first)) * SQUARES // len(first)
    from_first = (squares[:, None] + squares) % 2 == 0
    return np.where(from_first[..., None], first, second)


def _cells(texts: Sequence[str], columns: int) -> tuple[Figure, list[Axes]]:
    rows = -(-len(texts) // columns)
    block = 3 * CELL
    under = LINE * (1.8 + max(text.count("\n") for text in texts))
    gap = 0.15
    width = columns * (block + gap) + gap
    height = HEADER + rows * (CELL + under)
    figure = Figure(figsize=(width, height), facecolor="white")
    cells = []
    for index, text in enumerate(texts):
        row, column = divmod(index, columns)
        left = gap + column * (block + gap)
        bottom = height - HEADER - row * (CELL + under) - CELL
        for place, heading in enumerate(HEADINGS):
            box = (left + place * CELL, bottom, CELL, CELL)
            axes = figure.add_axes(
                (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
            )
            axes.set_axis_off()
            if row == 0:
                axes.set_title(heading, fontsize=BODY_SIZE - 1, color=FAINT, pad=3)
            cells.append(axes)
        figure.text(
            (left + block / 2) / width,
            (bottom - LINE / 4) / height,
            text,
            ha="center",
            va="top",
            fontsize=BODY_SIZE - 1,
            color=INK,
            parse_math=False,
        )
    return figure, cells
