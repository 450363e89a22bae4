"""What modulations of several contrasts do to an aligned eye on average: in colour, and where."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.figures.atlas import LEVELS, mark_parts
from fundus_ml.figures.changes import MAGNITUDE_MAP, SMALLEST_LIMIT, known_end
from fundus_ml.figures.style import BODY_SIZE, FAINT, INK, make_figure, wrapped

CELL = 1.45
"""Side of one map, in inches."""
NOT_SHOWN = 0.93
"""Light grey where too few photographs reach."""
UNCHANGED = 0.5
"""Grey that stands for no change in a map of colours."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MeanChange:
    """Mean change of the eyes of one contrast towards one class, on an aligned right eye.

    Attributes:
        towards: The class.
        eyes: How many eyes it is the mean of.
        colour: ``(S, S, 3)`` mean signed change of red, green and blue, pixels in [0, 1]; NaN
            where not shown.
        density: ``(S, S)`` mean energy of the change, 1 where it is spread evenly; NaN where not
            shown.
        disc_diameter: Mean disc diameter, pixels of the maps.
    """

    towards: str
    eyes: int
    colour: NDArray[np.float64]
    density: NDArray[np.float64]
    disc_diameter: float


def changes_by_contrast_figure(
    contrasts: Sequence[tuple[str, Sequence[MeanChange]]],
    *,
    disc: tuple[float, float],
    fovea: tuple[float, float],
) -> Figure:
    """Draw a column per contrast, and for each of its directions a map of colour and of density.

    Args:
        contrasts: Name of each, and its mean changes: as many for each, all of one size.
        disc: Column and row of the disc's centre, pixels of the maps.
        fovea: Column and row of the fovea.

    Returns:
        All maps of colour on one scale, and all of density on another.

    Raises:
        InputError: There is no contrast, numbers of directions differ, or sizes do.
    """
    directions = {len(changes) for _, changes in contrasts}
    if len(directions) != 1 or not min(directions):
        raise InputError(f"contrasts: directions {sorted(directions)}, must be one number above 0")
    every = [change for _, changes in contrasts for change in changes]
    sizes = {change.density.shape for change in every} | {c.colour.shape[:2] for c in every}
    if len(sizes) != 1:
        raise InputError(f"contrasts: maps of {sorted(sizes)}, must be of one size")
    limit = max(SMALLEST_LIMIT / 4, known_end([change.colour for change in every]))
    most = max(1.0, known_end([change.density for change in every]))
    rows = 2 * directions.pop()
    figure = make_figure(CELL * len(contrasts) + 1.2, (CELL + 0.22) * rows + 0.9)
    cells = figure.subplots(rows, len(contrasts), squeeze=False)
    for column, (name, changes) in zip(cells.T, contrasts, strict=True):
        for place, change in enumerate(changes):
            colour, density = column[2 * place : 2 * place + 2]
            colour.imshow(_coloured(change.colour, limit))
            shown = density.imshow(change.density, cmap=MAGNITUDE_MAP, vmin=0, vmax=most)
            title = f"towards {change.towards.replace('_', ' ')}\n{change.eyes} eyes"
            size = BODY_SIZE - 1.5
            colour.set_title(wrapped(title, inches=CELL, size=size), fontsize=size, color=INK)
            for axes, ink in ((colour, INK), (density, "white")):
                _bare(axes)
                mark_parts(
                    axes, disc=disc, fovea=fovea, diameter=change.disc_diameter, colour=ink, size=5
                )
        column[0].annotate(
            name.replace("_", " "), (0.5, 1.36), xycoords="axes fraction", ha="center", va="bottom",
            fontsize=BODY_SIZE, color=INK, fontweight="bold",
        )  # fmt: skip
    for axes, what in zip(cells[:, 0], rows // 2 * ("colour", "density"), strict=True):
        axes.set_ylabel(what, fontsize=BODY_SIZE - 1, color=INK)
    bar = figure.colorbar(shown, ax=cells, fraction=0.012, pad=0.01, extend="max")
    bar.set_label("density: energy of the change, 1 = spread evenly", fontsize=BODY_SIZE - 1)
    bar.ax.tick_params(labelsize=BODY_SIZE - 2, colors=FAINT)
    told = (
        "Mean change on an aligned right eye. Colour: grey is unchanged, the scale ends "
        f"{LEVELS * limit:.1f} grey levels above and below. Dotted: mean disc; + fovea."
    )
    figure.suptitle(
        wrapped(told, inches=0.98 * figure.get_figwidth(), size=BODY_SIZE),
        fontsize=BODY_SIZE, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def _coloured(change: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Grey where nothing changes, and the change added to it, ``limit`` reaching black or white."""
    picture = (UNCHANGED + change / (2 * limit)).clip(0, 1)
    return np.asarray(np.where(np.isnan(picture), NOT_SHOWN, picture))


def _bare(axes: Axes) -> None:
    axes.set_facecolor("#EEEEEE")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
