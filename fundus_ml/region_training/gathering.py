"""Photographs with marks and painted eyes, cut out as squares to learn from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import InputError, Refused
from fundus_ml.imaging.field_of_view import find_field_of_view
from fundus_ml.imaging.photographs import read_file, read_photograph, shown
from fundus_ml.imaging.regions.squares import Square
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, spread_of
from fundus_ml.region_training.examples import ELLIPSE, EXAMPLE_SIZE, Examples
from fundus_ml.region_training.marks import MarkedEye
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from fundus_ml.synthesis.truth import true_regions


@dataclass(frozen=True)
class Example:
    """One of :class:`Examples`."""

    pixels: NDArray[np.uint8]
    disc: NDArray[np.float64]
    cup: NDArray[np.float64]
    fovea: NDArray[np.float64]
    names: str


def marked_examples(
    marks: Sequence[MarkedEye],
    *,
    on_eye: Callable[[int, int], None] | None = None,
    on_refused: Callable[[Path, Refused], None] = lambda _path, _refused: None,
) -> Examples:
    """Cut the eyes out of marked photographs.

    Args:
        marks: Photographs and where their parts lie.
        on_eye: Told how many are cut out, and of how many.
        on_refused: Told each photograph that is left out, and why: it cannot be read, or shows no
            field of view.

    Raises:
        InputError: None is left.
    """
    refusals: list[tuple[Path, Refused]] = []

    def examples() -> Iterator[Example]:
        for place, eye in enumerate(marks, 1):
            try:
                image = read_photograph(read_file(eye.path), 2 * EXAMPLE_SIZE).image
                square = Square.around(image, find_field_of_view(image), size=EXAMPLE_SIZE)
            except Refused as refused:
                refusals.append((eye.path, refused))
                on_refused(eye.path, refused)
                continue
            disc, fovea = eye.disc(*image.shape[:2]), eye.fovea_at(*image.shape[:2])
            yield _example(square, disc, None, fovea, eye.path.name)
            if on_eye:
                on_eye(place, len(marks))

    taken = list(examples())
    if not taken:
        path, refused = refusals[0]
        raise InputError(
            f"marks: none of {len(marks)} photographs is taken; the first, {shown(path.name)}: "
            f"{refused}"
        )
    return _stacked(taken)


def painted_examples(
    patients: int, *, seed: int, on_eye: Callable[[int, int], None] | None = None
) -> Examples:
    """Paint the eyes of so many invented patients; all their parts are known."""
    eyes = draw_population(Population(patients=patients, seed=seed))
    rows = [{str(name): value for name, value in row.items()} for row in eyes.to_dict("records")]

    def examples() -> Iterator[Example]:
        for place, row in enumerate(rows, 1):
            image, truth = paint_photograph(row).image, true_regions(row)
            square = Square.around(image, find_field_of_view(image), size=EXAMPLE_SIZE)
            yield _example(square, truth.disc, truth.cup, truth.fovea, str(row["image_id"]))
            if on_eye:
                on_eye(place, len(rows))

    return _stacked(list(examples()))


def _example(
    square: Square, disc: Ellipse | None, cup: Ellipse | None, fovea: Landmark | None, name: str
) -> Example:
    point = np.full(2, np.nan)
    if fovea:
        moved = square.point_in(fovea)
        point = np.array([moved.x, moved.y])
    return Example(square.pixels, _numbers(square, disc), _numbers(square, cup), point, name)


def _numbers(square: Square, ellipse: Ellipse | None) -> NDArray[np.float64]:
    if ellipse is None:
        return np.full(ELLIPSE, np.nan)
    moved = square.ellipse_in(ellipse)
    spread = spread_of(moved)
    return np.array([moved.x, moved.y, spread[0, 0], spread[0, 1], spread[1, 1]])


def _stacked(rows: Sequence[Example]) -> Examples:
    return Examples(
        **{
            field.name: np.stack([getattr(row, field.name) for row in rows])
            for field in fields(Examples)
        }
    )
