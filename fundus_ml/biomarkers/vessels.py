"""The whole vessel tree: how densely it covers the retina, how it branches, how it winds."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fundus_ml.biomarkers.centre_lines import Mask, arc_and_chord, line_length, pieces
from fundus_ml.biomarkers.view import Measured, View

_LEAST_PIECE = 0.25
"""Shortest piece whose winding counts, in typical disc diameters."""
_SMOOTH = 0.03
"""Blur along a piece, in typical disc diameters."""
_BOXES = 2.0 ** -np.arange(1, 6)
"""Sides of the boxes counted, in the radius of the field of view."""
_OFFSETS = (0.0, 0.5)
"""Positions of the grid along each axis, in its boxes."""
_NAMES = ("vessel_density", "vessel_length", "fractal_dimension", "tortuosity")


def measure_tree(view: View) -> dict[str, Measured]:
    """Measure density, branching and winding of all vessels outside the disc.

    Args:
        view: Has vessels.
    """
    vessels, retina = view.regions.vessels, view.regions.retina
    assert vessels is not None
    if view.regions.disc:
        retina = retina & (view.from_margin > 0)
    mask = vessels.mask & retina
    line = view.line_of(mask)
    if not line.any():
        return dict.fromkeys(_NAMES, "no vessel was found")
    ways = [arc_and_chord(piece, smooth=_SMOOTH * view.typical) for piece in pieces(line)]
    long = [(arc, chord) for arc, chord in ways if chord >= _LEAST_PIECE * view.typical]
    area = float(retina.sum())
    return {
        "vessel_density": float(mask.sum()) / area,
        "vessel_length": line_length(line) * view.typical / area,
        "fractal_dimension": box_dimension(_from_centre(view, line), view.regions.field.radius),
        "tortuosity": winding(long) if long else "no vessel is long enough",
    }


def winding(ways: Sequence[tuple[float, float]]) -> float:
    """Median over pieces of arc over chord, less one: a piece that turns back counts but once."""
    arcs, chords = np.asarray(ways).T
    return float(np.median(arcs / chords) - 1)


def box_dimension(places: NDArray[np.float64], radius: float) -> float:
    """Box-counting dimension: 1 for a line, 2 for an area.

    Args:
        places: ``(n, 2)`` pixels, one or more, from where the grid begins.
        radius: Radius of the field of view, pixels: boxes have shares of it for sides.

    Source:
        Liebovitch and Toth 1989, doi:10.1016/0375-9601(89)90854-2: the slope of log count over
        log 1/side. Of several positions of the grid ours takes the one that needs fewest boxes.
    """
    counts = [_fewest_boxes(places, side * radius) for side in _BOXES]
    return float(np.polyfit(-np.log(_BOXES), np.log(counts), 1)[0])


def _from_centre(view: View, line: Mask) -> NDArray[np.float64]:
    """Rows and columns of a line from the middle of the field, as in a right eye."""
    field, side = view.regions.field, -1.0 if view.temporal > 0 else 1.0
    return np.asarray((np.argwhere(line) - (field.y, field.x)) * (1, side))


def _fewest_boxes(places: NDArray[np.float64], side: float) -> int:
    counts = []
    for down in _OFFSETS:
        for right in _OFFSETS:
            row, column = np.floor(places / side + (down, right)).astype(np.int64).T
            counts.append(np.unique(row * (1 << 20) + column).size)
    return min(counts)
