"""Where a modulation changes eyes on average: all mirrored to one side, each counting alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.figures.changes import (
    MAGNITUDE_MAP,
    SHOWN_QUANTILE,
    SIGNED_MAP,
    SMALLEST_LIMIT,
    Floats,
    difference,
)
from fundus_ml.figures.inputs import check_pictures, check_same_length
from fundus_ml.figures.style import BODY_SIZE, FAINT, INK, make_figure

SIDES = ("left", "right")
CELL = 2.8
"""Side of one map, in inches."""
DENSITY = "density of the change, 1 = spread evenly"


def mean_change_figure(
    original: NDArray[np.uint8],
    modulated: NDArray[np.uint8],
    eyes: Sequence[str],
    targets: Sequence[str],
) -> Figure:
    """Map the mean change towards each target, on eyes that are mirrored to right ones.

    Args:
        original: ``(n, H, W, 3)`` uint8 RGB.
        modulated: ``(n, H, W, 3)`` uint8 RGB, at one budget.
        eyes: ``n`` times ``left`` or ``right``; eyes of unknown side are left out.
        targets: ``n`` names of what each was pushed towards.

    Returns:
        A row per target: signed change, then density. A right eye has its disc on the right.

    Raises:
        InputError: Wrong shapes, or no eye of a known side changed.
    """
    check_pictures("original", original)
    check_same_length(len(original), modulated=modulated, eyes=eyes, targets=targets)
    maps = {
        target: mean_changes(original[rows], modulated[rows], np.asarray(eyes)[rows].tolist())
        for target in dict.fromkeys(targets)
        for rows in [np.flatnonzero(np.asarray(targets) == target)]
    }
    drawn = {target: found for target, found in maps.items() if found.count}
    if not drawn:
        raise InputError("eyes: none of a known side changed")
    figure = make_figure(2 * CELL + 1.6, (CELL + 0.3) * len(drawn))
    cells = figure.subplots(len(drawn), 2, squeeze=False)
    limit = max(SMALLEST_LIMIT, *(_end(found.signed) for found in drawn.values()))
    most = max(_end(found.density) for found in drawn.values())
    for row, (target, found) in zip(cells, drawn.items(), strict=True):
        signed = row[0].imshow(found.signed, cmap=SIGNED_MAP, vmin=-limit, vmax=limit)
        density = row[1].imshow(found.density, cmap=MAGNITUDE_MAP, vmin=0, vmax=most)
        headings = (f"towards {target} ({found.count} eyes), in RMS of each eye", DENSITY)
        for axes, heading in zip(row, headings, strict=True):
            axes.set_title(heading, fontsize=BODY_SIZE - 1, color=INK, loc="left")
        for axes, shown in zip(row, (signed, density), strict=True):
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            bar = figure.colorbar(shown, ax=axes, fraction=0.045, pad=0.03)
            bar.ax.tick_params(labelsize=BODY_SIZE - 2, colors=FAINT)
    return figure


@dataclass(frozen=True, kw_only=True)
class MeanChanges:
    """Mean maps over eyes of one target.

    Attributes:
        count: Eyes of known side that changed.
        signed: ``(H, W)`` mean over RGB and eyes of the change over the eye's own RMS change.
        density: ``(H, W)`` mean share of the change's energy over the share of area; mean 1.
    """

    signed: Floats
    density: Floats
    count: int


def mean_changes(
    original: NDArray[np.uint8], modulated: NDArray[np.uint8], eyes: Sequence[str]
) -> MeanChanges:
    """Average the changes of eyes, left ones mirrored, those of unknown side left out.

    Args:
        original: ``(n, H, W, 3)`` uint8 RGB.
        modulated: ``(n, H, W, 3)`` uint8 RGB.
        eyes: ``n`` times ``left``, ``right`` or anything else.
    """
    change = difference(original, modulated)
    sides = np.asarray(eyes)
    change[sides == SIDES[0]] = change[sides == SIDES[0]][:, :, ::-1]
    energy = (change**2).sum(axis=-1)
    used = np.isin(sides, SIDES) & (energy.sum(axis=(1, 2)) > 0)
    if not used.any():
        blank = np.zeros(change.shape[1:3])
        return MeanChanges(signed=blank, density=blank, count=0)
    change, energy = change[used], energy[used]
    rms = np.sqrt((change**2).mean(axis=(1, 2, 3), keepdims=True))
    signed = (change / rms).mean(axis=(0, 3))
    density = (energy / energy.mean(axis=(1, 2), keepdims=True)).mean(axis=0)
    return MeanChanges(signed=signed, density=density, count=int(used.sum()))


def _end(values: Floats) -> float:
    return float(np.quantile(np.abs(values), SHOWN_QUANTILE))
