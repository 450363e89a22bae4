"""Enrichments in their rows, their shams beside them."""

import numpy as np

from fundus_ml import figures
from tests.fundus_ml.figures.drawn import fits, line


def test_enrichments_stand_in_their_rows(enrichments):
    """A point per model and part with its interval, the line 1, the planted part shaded."""
    figure = figures.region_enrichment_figure(enrichments)
    (axes,) = figure.axes
    parts = [label.get_text() for label in axes.get_yticklabels()]
    assert parts == ["vessels", "disc\n(planted)", "outside"]
    for model, segments in zip(("clean", "robust"), axes.collections, strict=True):
        rows = enrichments[enrichments["model"] == model]
        drawn = line(axes, model).get_xydata()
        np.testing.assert_array_equal(drawn[:, 0], rows["enrichment"])
        np.testing.assert_array_equal(np.round(drawn[:, 1]), [0, 1, 2])
        ends = np.array(segments.get_segments())[:, :, 0]
        np.testing.assert_array_equal(ends, rows[["low", "high"]])
    assert set(line(axes, "spread evenly (1)").get_xdata()) == {1}
    (shade,) = axes.patches
    assert shade.get_y() < 1 < shade.get_y() + shade.get_height()
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert fits(figure)


def test_shams_stand_hollow_beside_their_parts(enrichments):
    """In the row and colour of their part; a part without a sham has none."""
    shams = [0.7, 1.1, np.nan]
    figure = figures.region_enrichment_figure(enrichments.assign(sham=shams * 2))
    (axes,) = figure.axes
    hollow = [
        each for each in axes.lines if each.get_fillstyle() == "none" and len(each.get_xdata())
    ]
    for drawn, model in zip(hollow, ("clean", "robust"), strict=True):
        np.testing.assert_array_equal(drawn.get_xdata(), shams)
        np.testing.assert_array_equal(drawn.get_ydata(), line(axes, model).get_ydata())
        assert drawn.get_color() == line(axes, model).get_color()
    assert line(axes, "its sham").get_marker() == "o"
    assert fits(figure)


def test_enrichments_without_truth_shade_nothing(enrichments):
    """Real eyes have no planted part."""
    figure = figures.region_enrichment_figure(enrichments.drop(columns="planted"))
    assert not figure.axes[0].patches
