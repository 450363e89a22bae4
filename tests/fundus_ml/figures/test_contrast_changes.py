"""Mean changes of several contrasts: one scale for all, colours about grey, refusals."""

import dataclasses

import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.figures import MeanChange, changes_by_contrast_figure, figure_png

SIZE = 16
PLACES = {"disc": (12.0, 8.0), "fovea": (6.0, 8.0)}


def change(level, *, dense=2.0, size=SIZE):
    """Redder by ``level`` grey levels in the upper half, not photographed in the first column."""
    colour = np.zeros((size, size, 3))
    colour[: size // 2, :, 0] = level / 255
    colour[:, 0] = np.nan
    density = np.full((size, size), dense)
    density[:, 0] = np.nan
    return MeanChange(towards="ill", eyes=7, colour=colour, density=density, disc_diameter=3)


def shown(figure):
    """Pictures by row and column of the figure."""
    return [axes.images[0] for axes in figure.axes if axes.images]


def test_a_change_is_added_to_grey_on_one_scale():
    figure = changes_by_contrast_figure(
        [("a", [change(10), change(-10)]), ("b", [change(5), change(0)])], **PLACES
    )
    pictures = shown(figure)
    a_to, b_to, a_density, b_density, a_from, b_from = pictures[:6]
    full, half, down, none = (each.get_array() for each in (a_to, b_to, a_from, b_from))
    assert full[2, 5].tolist() == [1, 0.5, 0.5]
    assert half[2, 5].tolist() == pytest.approx([0.75, 0.5, 0.5])
    assert down[2, 5].tolist() == [0, 0.5, 0.5]
    assert none[2, 5].tolist() == [0.5] * 3
    assert full[12, 5].tolist() == [0.5] * 3
    assert full[2, 0].tolist() == pytest.approx([0.93] * 3)
    assert a_density.get_clim() == b_density.get_clim() == (0, 2)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles.count("towards ill\n7 eyes") == 4
    assert "10.0 grey levels" in " ".join(figure.get_suptitle().split())
    assert figure_png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("contrasts", "message"),
    [
        ([], r"directions \[\], must be one number"),
        ([("a", [])], r"directions \[0\], must be one number above 0"),
        ([("a", [change(1)]), ("b", [change(1)] * 2)], r"directions \[1, 2\]"),
        ([("a", [change(1), change(1, size=8)])], r"maps of \[\(8, 8\), \(16, 16\)\]"),
        (
            [("a", [dataclasses.replace(change(1), density=np.zeros((4, 4)))])],
            r"maps of \[\(4, 4\), \(16, 16\)\]",
        ),
    ],
)
def test_refusals(contrasts, message):
    with pytest.raises(InputError, match=message):
        changes_by_contrast_figure(contrasts, **PLACES)
