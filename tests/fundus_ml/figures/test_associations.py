"""The forest of biomarkers: each value where it belongs, headings, arrows, reasons."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.figures import association_forest, figure_png


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "label": ["Disc area", "Torsion", "CRAE", "CRVE"],
            "structure": ["disc", "disc", "vessels", "vessels"],
            "eyes": 90, "difference": [0.8, np.nan, -0.3, -0.001],
            "difference_low": [0.5, np.nan, -0.6, -0.2], "difference_high": [1.1, np.nan, 0.0, 0.2],
            "q": [0.0004, np.nan, 0.08, 0.9], "direction": [1, 0, -1, 0],
            "reason": ["", "the disc is round", "", ""],
        }
    )  # fmt: skip


def draw(frame):
    return association_forest(frame, classes=("female", "male"), eyes="90 eyes of odir")


def test_every_value_is_written_and_drawn(frame):
    figure = draw(frame)
    axes, numbers = figure.axes
    texts = [text.get_text() for text in numbers.texts]
    assert "+0.80 [+0.50, +1.10]" in texts
    assert "<0.001" in texts
    assert "0.080" in texts
    assert "the disc is round" in texts
    assert "+0.00 [\u22120.20, +0.20]" in texts
    points = {line.get_xdata()[0]: line for line in axes.lines if line.get_marker() == "o"}
    assert sorted(points) == [-0.3, -0.001, 0.8]
    assert points[0.8].get_markerfacecolor() != "white"
    assert points[-0.3].get_markerfacecolor() == "white"
    arrows = {text.get_text(): text.get_position()[0] for text in axes.texts}
    assert arrows["\u25b6"] > 0 > arrows["\u25c0"]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ["Disc", "Disc area", "Torsion", "Vessels", "CRAE", "CRVE"]
    assert "larger in male" in axes.get_xlabel()


def test_it_is_a_picture_also_without_a_single_value(frame):
    assert figure_png(draw(frame)).startswith(b"\x89PNG")
    empty = frame.iloc[[1]]
    figure = draw(empty)
    assert "published direction" not in [text.get_text() for text in figure.legends[0].get_texts()]
    assert figure_png(figure).startswith(b"\x89PNG")


def test_what_it_cannot_draw_is_refused(frame):
    with pytest.raises(InputError, match="columns missing: q"):
        draw(frame.drop(columns="q"))
    with pytest.raises(InputError, match="direction: each must be -1, 0 or 1"):
        draw(frame.assign(direction=2))
