"""Minimal perturbation norms by region: every point where it belongs, and a share where there is
none."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.figures.minimal_perturbations import min_norm_figure


def frame():
    """Two conditions, three regions; half of the eyes cannot be flipped within the disc."""
    rows = [
        ("modulation", "whole", 1.0, 2.0, 1.5, 2.5),
        ("modulation", "disc", 0.4, np.inf, 9.0, np.inf),
        ("clean model", "whole", 1.0, 0.2, 0.1, 0.3),
        ("clean model", "vessels", 0.9, 0.5, 0.4, np.inf),
    ]
    columns = ["condition", "region", "flipped", "min_norm", "min_norm_low", "min_norm_high"]
    return pd.DataFrame(rows, columns=columns)


def test_points_intervals_and_shares():
    """On a logarithmic axis; where fewer than half were flipped, the share that was stands."""
    (axes,) = min_norm_figure(frame(), constraint="linf").axes
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["whole", "disc", "vessels"]
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(lines["modulation"].get_xdata(), [2.0, np.nan])
    np.testing.assert_array_equal(lines["clean model"].get_xdata(), [0.2, 0.5])
    assert [text.get_text() for text in axes.texts] == ["40% flipped"]
    left, right = axes.get_xlim()
    assert left < 0.1
    assert axes.texts[0].xy[0] <= right
    assert "L∞" in axes.get_xlabel()


def test_refuses_what_lacks_a_column():
    """And an empty table."""
    with pytest.raises(InputError, match="flipped"):
        min_norm_figure(frame().drop(columns="flipped"))
