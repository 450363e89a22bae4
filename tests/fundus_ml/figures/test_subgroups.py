"""The forest plot shows every group: its measure or its reason, its eyes and its people."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.figures import figure_png, subgroup_forest


@pytest.fixture
def groups():
    """Four groups, one of them without a measure."""
    return pd.DataFrame(
        {
            "attribute": ["all", "eye", "eye", "camera"],
            "group": ["all eyes", "left", "right", "a camera whose name is long beyond reason"],
            "eyes": [1200, 700, 500, 3],
            "people": [600, 600, 500, 2],
            "reason": ["", "", "", "one class only: no men"],
            "auroc": [0.7, 0.72, 0.66, np.nan],
            "auroc_low": [0.65, 0.66, 0.58, np.nan],
            "auroc_high": [0.74, 0.78, 0.73, np.nan],
        }
    )


def test_every_group_has_its_line(groups):
    panel, beside = subgroup_forest(groups).axes
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert names == ["all eyes", "eye:  left", "right", "camera:  a camera whose name is long…"]
    texts = [text.get_text() for text in beside.texts]
    assert texts[:5] == ["eyes", "1,200", "700", "500", "3"]
    assert texts[5:10] == ["people", "600", "600", "500", "2"]
    assert texts[11:] == [
        "0.70 (0.65 to 0.74)", "0.72 (0.66 to 0.78)", "0.66 (0.58 to 0.73)",
        "one class only: no men",
    ]  # fmt: skip


def test_points_and_intervals_are_the_numbers(groups):
    """At the heights of their names; the group without a measure has neither."""
    panel = subgroup_forest(groups).axes[0]
    heights = np.asarray(panel.get_yticks())
    (points,) = [line.get_xydata() for line in panel.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(points, np.column_stack([groups["auroc"], heights])[:3])
    (bars,) = [part.get_segments() for part in panel.collections]
    wanted = groups.loc[:2, ["auroc_low", "auroc_high"]]
    np.testing.assert_allclose([bar[:, 0] for bar in bars], wanted)
    np.testing.assert_allclose([bar[:, 1] for bar in bars], np.repeat(heights[:3, None], 2, axis=1))
    assert panel.get_ylim()[0] > heights[-1] > heights[0] > panel.get_ylim()[1]
    assert panel.get_xlim()[0] < 0.5


def test_it_becomes_a_picture_taller_with_more_groups(groups):
    many = pd.concat([groups] * 6, ignore_index=True)
    short, tall = subgroup_forest(groups), subgroup_forest(many)
    assert tall.get_figheight() > 2 * short.get_figheight()
    assert figure_png(tall, dpi=40).startswith(b"\x89PNG")


def test_another_measure_is_named_and_has_no_chance(groups):
    renamed = groups.rename(columns=lambda name: name.replace("auroc", "brier_calibrated"))
    panel = subgroup_forest(renamed, measure="brier_calibrated").axes[0]
    assert panel.get_xlabel() == "brier calibrated per eye (95 % interval over people)"
    assert "chance" not in panel.get_legend_handles_labels()[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="people"), "people"),
        (lambda frame: frame[:0], "frame: empty"),
        (lambda frame: frame.assign(reason="too few"), "frame: no group was measured"),
    ],
)
def test_mistakes_end_in_one_clear_line(groups, change, message):
    with pytest.raises(InputError, match=message):
        subgroup_forest(change(groups))
