"""Every figure: repeatable PNGs, no global state, one line for mistakes."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from fundus_ml import figures
from fundus_ml.errors import InputError
from tests.fundus_ml.figures.drawn import roc


def test_png_is_repeatable_and_scales_with_dpi(history):
    """The same figure gives the same bytes; dpi sets the pixels."""
    first = figures.figure_png(figures.training_curves(history), dpi=50)
    assert first == figures.figure_png(figures.training_curves(history), dpi=50)
    assert first.startswith(b"\x89PNG")
    assert b"Matplotlib" not in first


def test_png_pixels_follow_dpi(history, tmp_path):
    """Eight inches at 50 dpi are 400 pixels."""
    path = tmp_path / "curves.png"
    path.write_bytes(figures.figure_png(figures.training_curves(history), dpi=50))
    assert imread(path).shape[1] == 400


def test_no_global_state(history):
    """Settings stay as they were, and pyplot is never imported."""
    before = dict(mpl.rcParams)
    figures.figure_png(figures.training_curves(history))
    assert dict(mpl.rcParams) == before
    program = "import sys, fundus_ml.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


SMALL = np.zeros((2, 8, 8, 3), np.uint8)
FRAME = pd.DataFrame({"model": ["a"], "eps": [-1.0], "auroc": [0.5], "low": [0.4], "high": [0.6]})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: figures.sample_sheet(SMALL, ["one"]), "captions: 1 given for 2 pictures"),
        (lambda: figures.sample_sheet(SMALL, ["a", "b"], columns=0), "columns=0: must be 1"),
        (lambda: figures.sample_sheet(SMALL[:0], []), r"images: must be uint8 \(n, H, W, 3\)"),
        (lambda: figures.sample_sheet(SMALL / 255, ["a", "b"]), "not float64"),
        (
            lambda: figures.contact_sheet(SMALL, SMALL[:, :4], ["a", "b"]),
            r"modulated: shape \(2, 4, 8, 3\)",
        ),
        (lambda: figures.training_curves(FRAME), "columns missing: epoch, train_loss"),
        (lambda: figures.auroc_by_eps(FRAME), "eps=-1.0: must be a finite number"),
        (lambda: figures.auroc_by_eps(FRAME[:0]), "frame: empty"),
        (lambda: roc({}, {}), "curves: empty"),
        (lambda: roc({"a": ([0, 1], [0, 1])}, {}), "intervals: missing for a"),
    ],
)
def test_mistakes_end_in_one_clear_line(call, message):
    """Each raise names what is wrong."""
    with pytest.raises(InputError, match=message):
        call()
