"""What a modulation changed in each pixel, and how that is coloured."""

from collections.abc import Sequence
from textwrap import fill
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from fundus_ml.figures.style import BODY_SIZE, FAINT, INK

Floats = NDArray[np.float64]

SIGNED_LABEL = "change, mean over RGB (pixels in 0 to 1)"
MAGNITUDE_LABEL = "change, length over RGB (pixels in 0 to 1)"
SIGNED_MAP = "RdBu_r"
MAGNITUDE_MAP = "magma"
SHOWN_QUANTILE = 0.998
"""Each scale ends here, so that a few single pixels do not fade the rest; the bar is pointed."""
VERTICAL_CHARACTERS = 24
"""Label of an upright bar wraps here: it is as tall as one picture."""
SMALLEST_LIMIT = 1 / 255
"""A scale never ends below one 8-bit step, so that no change is drawn as no change."""


def signed_change(original: NDArray[np.uint8], modulated: NDArray[np.uint8]) -> Floats:
    """Mean over RGB of modulated minus original, ``(..., H, W)``, pixels in [0, 1]."""
    change: Floats = difference(original, modulated).mean(axis=-1)
    return change


def change_magnitude(original: NDArray[np.uint8], modulated: NDArray[np.uint8]) -> Floats:
    """Euclidean length over RGB of the change, ``(..., H, W)``, pixels in [0, 1]."""
    length: Floats = np.linalg.norm(difference(original, modulated), axis=-1)
    return length


def spent_rms(original: NDArray[np.uint8], modulated: NDArray[np.uint8]) -> float:
    """Root mean square change over all 3·H·W values, pixels in [0, 1]."""
    return float(np.sqrt(np.mean(difference(original, modulated) ** 2)))


def change_limit(changes: Floats) -> float:
    """End of the scale that ``(n, H, W)`` changes share: the largest of their high quantiles."""
    ends = [float(np.quantile(np.abs(change), SHOWN_QUANTILE)) for change in changes]
    return max(SMALLEST_LIMIT, *ends)


def known_end(maps: Sequence[Floats]) -> float:
    """End of the scale that maps share whose unknown pixels are NaN; 0 where nothing is known."""
    known = [np.abs(each[~np.isnan(each)]) for each in maps]
    return max((float(np.quantile(each, SHOWN_QUANTILE)) for each in known if each.size), default=0)


def show_signed(axes: Axes, change: Floats, *, limit: float) -> AxesImage:
    """Draw ``(H, W)`` signed change: blue darker, white unchanged, red brighter."""
    return axes.imshow(change, cmap=SIGNED_MAP, vmin=-limit, vmax=limit)


def show_magnitude(axes: Axes, magnitude: Floats, *, limit: float) -> AxesImage:
    """Draw ``(H, W)`` magnitude of change: black unchanged."""
    return axes.imshow(magnitude, cmap=MAGNITUDE_MAP, vmin=0, vmax=limit)


def change_bar(
    figure: Figure,
    shown: AxesImage,
    axes: Axes,
    *,
    label: str,
    extend: Literal["both", "max"],
    orientation: Literal["horizontal", "vertical"] = "vertical",
) -> None:
    """Draw the colour bar of ``shown`` into ``axes``, pointed where values may lie beyond it."""
    ticks = MaxNLocator(nbins=4)
    bar = figure.colorbar(shown, cax=axes, orientation=orientation, extend=extend, ticks=ticks)
    text = fill(label, VERTICAL_CHARACTERS) if orientation == "vertical" else label
    bar.set_label(text, fontsize=BODY_SIZE - 1.5, color=INK)
    bar.ax.tick_params(labelsize=BODY_SIZE - 2, colors=FAINT)


def difference(original: NDArray[np.uint8], modulated: NDArray[np.uint8]) -> Floats:
    """Modulated minus original, pixels in [0, 1]."""
    return (modulated.astype(np.float64) - original.astype(np.float64)) / 255
