"""What the network is shown: eyes as they are, and as augmentation changed them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.figures.inputs import check_pictures, check_same_length
from fundus_ml.figures.style import BODY_SIZE, INK, make_figure, wrapped

CELL = 1.3
"""Side of one picture, in inches."""
CAPTION = 1.3
"""Width of a row's caption, in inches."""


def augmentation_sheet(
    original: NDArray[np.uint8],
    augmented: NDArray[np.uint8],
    captions: Sequence[str],
    *,
    title: str = "",
) -> Figure:
    """Lay each eye out in a row: as it is, then as it was changed.

    Args:
        original: ``(n, H, W, 3)`` uint8 RGB.
        augmented: ``(n, k, H, W, 3)`` uint8 RGB, k changes of each eye.
        captions: ``n`` lines of text, to the left of the rows, wrapped.
        title: Stands above the sheet, such as the name of the augmentation.

    Returns:
        Axes row by row, ``1 + k`` in each.

    Raises:
        InputError: Wrong or differing shapes or types, or another number of captions.
    """
    check_pictures("original", original)
    if augmented.ndim != 5 or augmented[:, 0].shape != original.shape:  # noqa: PLR2004 (n k H W 3)
        raise InputError(
            f"augmented: shape {augmented.shape} is not (n, k, H, W, 3) for original's "
            f"{original.shape}"
        )
    check_pictures("augmented", augmented.reshape(-1, *original.shape[1:]))
    check_same_length(len(original), captions=captions)
    rows, columns = len(original), 1 + augmented.shape[1]
    figure = make_figure(CELL * columns + CAPTION, CELL * rows + 0.4)
    figure.suptitle(title, fontsize=BODY_SIZE + 1, color=INK)
    cells = figure.subplots(rows, columns, squeeze=False)
    for line, before, after, caption in zip(cells, original, augmented, captions, strict=True):
        for axes, picture in zip(line, (before, *after), strict=True):
            axes.imshow(picture)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        text = wrapped(caption, inches=CAPTION - 0.1, size=BODY_SIZE - 1)
        line[0].set_ylabel(
            text, fontsize=BODY_SIZE - 1, color=INK, rotation=0, ha="right", va="center"
        )
    cells[0, 0].set_title("as it is", fontsize=BODY_SIZE - 1, color=INK)
    return figure
