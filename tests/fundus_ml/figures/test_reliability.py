"""The reliability diagram shows the bins it was given, and the few among them as few."""

import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.evaluation.calibration import ece, reliability
from fundus_ml.figures import figure_png, reliability_figure


def draw(readings):
    return reliability_figure(
        {name: reliability(*reading) for name, reading in readings.items()},
        ece={name: ece(*reading) for name, reading in readings.items()},
        of="glaucoma",
    )


@pytest.fixture
def readings():
    """Two readings of 300 eyes, the first too sure."""
    rng = np.random.default_rng(0)
    prob = rng.random(300)
    labels = (rng.random(300) < 0.25 + prob / 2).astype(int)
    return {"as trained": (labels, prob), "temperature 2": (labels, 0.25 + prob / 2)}


def test_the_bins_are_those_of_the_table(readings):
    above, below = draw(readings).axes
    lines = {line.get_label(): line.get_xydata() for line in above.lines}
    drawn = 0
    for name, (labels, prob) in readings.items():
        table = reliability(labels, prob)
        line = lines[f"{name}: ECE {ece(labels, prob):.3f}"]
        np.testing.assert_allclose(line, table[["prob", "share"]])
        drawn += len(table)
    heights = [bar.get_height() for bar in below.patches]
    assert (len(heights), sum(heights)) == (drawn, 600)
    np.testing.assert_array_equal(lines["perfect"], [[0, 0], [1, 1]])


def test_bins_of_few_eyes_are_hollow():
    """Three eyes in one bin, forty in another."""
    labels, prob = np.array([1] * 3 + [0] * 40), np.array([0.9] * 3 + [0.1] * 40)
    above = draw({"net": (labels, prob)}).axes[0]
    faces = {
        tuple(point.round(3)): line.get_markerfacecolor()
        for line in above.lines
        if line.get_linestyle() == "None"
        for point in line.get_xydata()
    }
    assert faces == {(0.9, 1.0): "white", (0.1, 0.0): "#0072B2"}


def test_it_becomes_a_picture(readings):
    assert figure_png(draw(readings), dpi=40).startswith(b"\x89PNG")


def test_mistakes_end_in_one_clear_line():
    with pytest.raises(InputError, match="tables: empty, at least one is needed"):
        draw({})
    with pytest.raises(InputError, match="columns missing: eyes"):
        reliability_figure(
            {"net": reliability([0, 1], [0.5, 0.1]).drop(columns="eyes")}, ece={"net": 0}, of="amd"
        )
