import matplotlib.colors as mcolors
import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.figures.attributions import attribution_panel, explanation_ranking, of_its_largest
from fundus_ml.figures.style import COLOURS, FAINT


@pytest.fixture
def pixels():
    return np.full((24, 30, 3), 90, np.uint8)


def one_bright(place, size):
    given = np.zeros((24, 30), np.float32)
    given[place] = size
    return given


def test_each_map_ends_at_its_own_largest_value():
    maps = np.zeros((2, 20, 20), np.float32)
    maps[0, 3:5, 4], maps[1, 5:, :] = -7, 1e-6
    scaled = of_its_largest(maps)
    assert scaled[0, 3, 4] == pytest.approx(-1)
    assert scaled[1, 10, 3] == pytest.approx(1)
    assert (of_its_largest(np.zeros((3, 4), np.float32)) == 0).all()


def test_the_panel_shows_the_eye_and_every_method_on_one_scale(pixels):
    maps = {"gradient": one_bright((3, 4), -2.0), "grad_cam": one_bright((9, 1), 1e-4)}
    regions = np.zeros((24, 30), np.uint8)
    regions[5:12, 5:12] = 2
    figure = attribution_panel(
        pixels, maps, title="eye 1", classes=("healthy", "glaucoma"), regions=regions, columns=2
    )
    eye, gradient, cam, bar = figure.axes
    assert [axes.get_title() for axes in (eye, gradient, cam)] == [
        "the eye", "gradient", "grad cam"
    ]  # fmt: skip
    assert gradient.images[0].get_clim() == cam.images[0].get_clim() == (-1, 1)
    assert gradient.images[0].get_array()[3, 4] == pytest.approx(-1)
    assert cam.images[0].get_array()[9, 1] == pytest.approx(1)
    assert len(gradient.collections) == len(cam.collections) == 1
    assert len(eye.collections) == 0
    assert [label.get_text() for label in bar.get_yticklabels()] == [
        "for\nhealthy", "0", "for\nglaucoma"
    ]  # fmt: skip
    # two columns: the third picture stands below the first
    assert cam.get_position().y1 < eye.get_position().y0
    assert cam.get_position().x0 == pytest.approx(eye.get_position().x0)


def test_what_does_not_fit_a_panel_is_refused(pixels):
    with pytest.raises(InputError, match=r"^maps: none is given$"):
        attribution_panel(pixels, {}, title="", classes=("a", "b"))
    with pytest.raises(InputError, match=r"^gradient: map \(3, 4\) of an eye of \(24, 30\) pixels"):
        attribution_panel(
            pixels, {"gradient": np.zeros((3, 4), np.float32)}, title="", classes=("a", "b")
        )


def test_the_best_method_stands_at_the_top_whichever_way_is_better():
    rows = [
        ("insertion", "more", {"gradient": 0.2, "occlusion": 0.6, "random": 0.1}),
        ("deletion", "less", {"gradient": 0.2, "occlusion": 0.6, "random": 0.1}),
    ]
    frame = pd.DataFrame(
        {
            "score": score, "better": better, "method": method, "value": value,
            "value_low": value - 0.05, "value_high": value + 0.05,
        }
        for score, better, values in rows
        for method, value in values.items()
    )  # fmt: skip
    more, less = explanation_ranking(frame, controls=["random"]).axes
    assert [label.get_text() for label in more.get_yticklabels()] == [
        "occlusion", "gradient", "random"
    ]  # fmt: skip
    assert [label.get_text() for label in less.get_yticklabels()] == [
        "random", "gradient", "occlusion"
    ]  # fmt: skip
    assert more.get_ylim() == (2.5, -0.5)
    assert more.get_xlabel() == "insertion (more is better)"
    assert less.get_xlabel() == "deletion (less is better)"
    colours = [mcolors.to_hex(colour) for colour in less.collections[1].get_facecolors()]
    assert colours == [FAINT.lower(), COLOURS[0].lower(), COLOURS[0].lower()]
    (neither,) = explanation_ranking(frame[:3].assign(better="")).axes
    assert neither.get_xlabel() == "insertion"
    assert neither.get_yticklabels()[0].get_text() == "occlusion"
    with pytest.raises(InputError, match="columns missing: better"):
        explanation_ranking(frame.drop(columns="better"))
