"""The distribution of quality shows every eye once, per source, with the threshold."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from matplotlib.patches import StepPatch

from fundus_ml import figures
from fundus_ml.errors import InputError
from fundus_ml.figures.qualities import BINS, MEASURES


@pytest.fixture
def frame():
    """Two sources of 50 and 31 eyes, casts beyond the last bin among them."""
    rng = np.random.default_rng(4)
    return pd.DataFrame(rng.random((81, 6)), columns=list(MEASURES)).assign(
        source=["odir"] * 50 + ["mine"] * 31
    )


def test_every_panel_holds_every_eye_of_every_source_once(frame):
    """Shares sum to 1 and are those counted one by one."""
    figure = figures.quality_distribution(frame, min_quality=0.3)
    assert len(figure.axes) == len(MEASURES)
    for axes, name in zip(figure.axes, MEASURES, strict=True):
        assert axes.get_xlabel().startswith(name.replace("_", " "))
        steps = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
        for step, source in zip(steps, ("odir", "mine"), strict=True):
            shares, edges, _ = step.get_data()
            assert len(shares) == BINS
            assert shares.sum() == pytest.approx(1)
            values = frame.loc[frame["source"] == source, name]
            for share, low, high in zip(shares[:-1], edges[:-2], edges[1:-1], strict=True):
                assert share == pytest.approx(sum(low <= v < high for v in values) / len(values))


def test_sources_are_named_with_their_eyes(frame):
    """Once for all panels."""
    (legend,) = figures.quality_distribution(frame, min_quality=0).legends
    assert [text.get_text() for text in legend.get_texts()] == ["odir (50 eyes)", "mine (31 eyes)"]


@pytest.mark.parametrize(("min_quality", "lines"), [(0, 0), (0.35, 1)])
def test_the_threshold_is_a_line_unless_nothing_is_rejected(frame, min_quality, lines):
    """In the panel of the score alone."""
    first, *others = figures.quality_distribution(frame, min_quality=min_quality).axes
    assert len(first.lines) == lines
    assert not any(axes.lines for axes in others)
    if lines:
        assert set(first.lines[0].get_xdata()) == {min_quality}
        assert [text.get_text() for text in first.texts] == ["rejected below 0.35"]


@pytest.mark.parametrize("sources", [1, 9])
def test_nothing_is_cut_off(frame, sources):
    """Corners and margins of the picture stay white, with one source or nine."""
    names = [f"release {row % sources}" for row in range(len(frame))]
    figure = figures.quality_distribution(frame.assign(source=names), min_quality=1)
    picture = imread(io.BytesIO(figures.figure_png(figure, dpi=50)))[..., :3]
    for border in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (border == 1).all()


@pytest.mark.parametrize(
    ("change", "min_quality", "rule"),
    [
        (lambda frame: frame.drop(columns="focus"), 0, "columns missing: focus"),
        (lambda frame: frame[:0], 0, "frame: empty"),
        (
            lambda frame: frame.replace({"contrast": {frame["contrast"][3]: np.nan}}),
            0,
            "frame: contrast is missing in 1 rows",
        ),
        (lambda frame: frame, 1.2, "min_quality=1.2: must be from 0 to 1"),
    ],
)
def test_what_cannot_be_shown_is_refused(frame, change, min_quality, rule):
    """With the column or value."""
    with pytest.raises(InputError, match=rule):
        figures.quality_distribution(change(frame), min_quality=min_quality)
