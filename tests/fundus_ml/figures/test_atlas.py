"""The figure of an atlas holds what it was given, and refuses what it cannot draw."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.figures import DrawnMap, atlas_figure, figure_png

SIZE = 20


def drawn(**changed):
    down, across = np.mgrid[:SIZE, :SIZE]
    spot = np.hypot(across - 14, down - 10) < 3
    mean = np.where(np.hypot(across - 10, down - 10) < 10, 0.02 * spot, np.nan)
    given = {"title": "towards male (7 people)", "mean": mean, "significant": spot}
    return DrawnMap(**given | changed)


def table():
    numbers = {"change": 0.5, "change_low": 0.2, "change_high": 0.8, "change_q": 0.01}
    rows = {
        "label": ["Disc area", "Hue", "Reflex"], "structure": ["disc", "pigment", "pigment"],
        "parts": ["found on both", "of the unchanged eye", "of the unchanged eye"],
        **numbers, "difference": -0.2, "difference_low": -0.5, "difference_high": 0.1,
        "q": [0.03, 0.2, np.nan], "claim": [True, False, False],
        "reason": ["", "the classes do not differ", "classes not compared"],
    }  # fmt: skip
    return pd.DataFrame(rows)


def figure_of(maps, frame, **changed):
    return atlas_figure(
        maps, frame, classes=("female", "male"), disc=(14, 10), fovea=(7, 10), disc_diameter=3.0,
        eyes="7 eyes", **changed,
    )  # fmt: skip


def words(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_maps_marks_and_claims_are_drawn():
    figure = figure_of([drawn(), drawn(title="other", beyond_null=drawn().significant)], table())
    maps = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title("left") for axes in maps[:2]] == ["towards male (7 people)", "other"]
    np.testing.assert_allclose(maps[0].images[0].get_array().max(), 0.02 * 255)
    assert maps[0].images[0].get_clim() == maps[1].images[0].get_clim()
    assert maps[0].patches[0].center == (14, 10)
    assert maps[0].patches[0].radius == 1.5
    bar = maps[0].lines[1].get_xdata()
    assert bar[1] - bar[0] == pytest.approx(3.0)
    assert len(maps[0].collections) == 1
    assert len(maps[1].collections) == 2
    assert {"claim", "the classes do not differ", "1 disc diameter", "nasal"} <= set(words(figure))
    forests = [axes for axes in figure.axes if "SDs" in axes.get_xlabel()]
    ticks = [label.get_text() for label in forests[0].get_yticklabels()]
    assert ticks == ["Disc", "Disc area \u2020", "Pigment", "Hue", "Reflex"]
    points = [
        [line.get_xdata()[0] for line in axes.lines if line.get_marker() in "os"]
        for axes in forests
    ]
    assert points == [[0.5] * 3, [-0.2] * 2]


def test_what_is_held_equal_is_said_and_nothing_where_nothing_is():
    for adjusted, held in (("age", True), ("", False)):
        figure = figure_of([drawn()], table(), adjusted=adjusted)
        labels = [axes.get_xlabel() for axes in figure.axes]
        assert any("age held equal" in label for label in labels) == held


def test_nothing_significant_and_nothing_measured_can_be_drawn():
    nothing = np.zeros((SIZE, SIZE), bool)
    bare = table().assign(
        **dict.fromkeys(("change", "change_low", "change_high", "change_q"), np.nan)
    )
    figure = figure_of([drawn(significant=nothing, mean=np.full((SIZE, SIZE), np.nan))], bare)
    assert figure_png(figure)


@pytest.mark.parametrize(
    ("maps", "frame", "message"),
    [
        ([], table(), "maps: none given"),
        ([drawn()], table().drop(columns="claim"), "columns missing: claim"),
        ([drawn(), drawn(mean=np.ones((3, 4)))], table(), r"maps: .*shape \(3, 4\), must be \(20"),
    ],
)
def test_refusals(maps, frame, message):
    with pytest.raises(InputError, match=message):
        figure_of(maps, frame)
