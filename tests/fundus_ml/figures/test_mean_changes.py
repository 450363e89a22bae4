"""Mean changes: left eyes are mirrored, each eye counts alike, unknown sides do not count."""

import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.figures import figure_png, mean_change_figure, mean_changes

SIZE = 8


def changed(place, by, *, count=1):
    """Grey eyes, and the same with one pixel of each brighter or darker."""
    original = np.full((count, SIZE, SIZE, 3), 100, np.uint8)
    modulated = original.copy()
    modulated[(slice(None), *place)] += by
    return original, modulated


def test_left_eyes_are_mirrored_onto_right_ones():
    original, right = changed((2, 6), 40)
    _, left = changed((2, SIZE - 1 - 6), 40)
    found = mean_changes(
        np.concatenate([original, original]), np.concatenate([right, left]), ["right", "left"]
    )
    assert found.count == 2
    assert np.unravel_index(found.density.argmax(), found.density.shape) == (2, 6)
    assert found.density[2, 6] == pytest.approx(SIZE**2)  # all of the energy in one of 64 places
    assert found.density.mean() == pytest.approx(1)
    assert found.signed[2, 6] == pytest.approx(SIZE)  # the only change, in units of its RMS


def test_a_strong_change_counts_no_more_than_a_weak_one():
    original, strong = changed((1, 1), 100)
    _, weak = changed((5, 5), 5)
    found = mean_changes(
        np.concatenate([original, original]), np.concatenate([strong, weak]), ["right"] * 2
    )
    assert found.density[1, 1] == pytest.approx(found.density[5, 5])


def test_unknown_sides_and_unchanged_eyes_are_left_out():
    original, modulated = changed((1, 1), 20, count=3)
    modulated[1] = original[1]
    found = mean_changes(original, modulated, ["right", "right", "unknown"])
    assert found.count == 1
    with pytest.raises(InputError, match="eyes: none of a known side changed"):
        mean_change_figure(original, modulated, ["unknown"] * 3, ["a"] * 3)


def test_a_row_per_target():
    original, modulated = changed((1, 1), 20, count=4)
    figure = mean_change_figure(original, modulated, ["left", "right"] * 2, ["a", "a", "b", "b"])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title for title in titles if title.startswith("towards")] == [
        "towards a (2 eyes), in RMS of each eye",
        "towards b (2 eyes), in RMS of each eye",
    ]
    assert figure_png(figure)
