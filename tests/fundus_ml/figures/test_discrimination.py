"""Training curves, ROC and AUROC by budget hold the numbers they were given."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc

from fundus_ml import figures
from fundus_ml.statistics.clustered import Interval
from tests.fundus_ml.figures.drawn import fits, line, roc


def test_training_curves_hold_the_history(history):
    """Lines are the columns; an unmeasured epoch is left out; the best epoch is ringed."""
    figure = figures.training_curves(history)
    losses, aurocs = figure.axes
    np.testing.assert_array_equal(line(losses, "train").get_ydata(), history["train_loss"])
    np.testing.assert_array_equal(line(losses, "validation").get_ydata(), history["val_loss"])
    np.testing.assert_array_equal(line(aurocs, "validation").get_xydata()[:, 0], history["epoch"])
    np.testing.assert_array_equal(
        line(aurocs, "validation, attacked").get_ydata(), [0.50, 0.62, 0.60]
    )
    assert line(aurocs, "best: epoch 3, 0.780").get_xydata().tolist() == [[3, 0.78]]
    assert set(line(aurocs, "chance").get_ydata()) == {0.5}
    attacked = figures.training_curves(history, best_by="robust_val_auroc").axes[1]
    assert line(attacked, "best: epoch 2, 0.620").get_xydata().tolist() == [[2, 0.62]]
    assert fits(figure)


def test_training_curves_need_no_second_epoch(history):
    """One epoch is one marker per column."""
    figure = figures.training_curves(history.drop(columns="robust_val_auroc")[:1])
    assert [drawn.get_label() for drawn in figure.axes[1].lines[:1]] == ["validation"]
    assert figure.axes[1].lines[0].get_marker() != "None"


def test_roc_encloses_the_auroc(rng):
    """The area under each drawn line is the AUROC, and the legend gives its interval."""
    labels = np.repeat([0, 1], 40)
    scores = {"clean": labels + rng.normal(size=80), "robust": rng.normal(size=80)}
    areas = {
        name: float((s[labels == 1][:, None] > s[labels == 0]).mean()) for name, s in scores.items()
    }
    intervals = {name: Interval(area, area - 0.1, area + 0.1) for name, area in areas.items()}
    figure = roc({name: (labels, s) for name, s in scores.items()}, intervals)
    for name, area in areas.items():
        label = f"{name}: {area:.3f} ({area - 0.1:.3f} to {area + 0.1:.3f})"
        assert auc(*line(figure.axes[0], label).get_xydata().T) == pytest.approx(area)
    assert fits(figure)


def test_auroc_by_eps_keeps_the_clean_point():
    """Budget 0 stays on the axis beside budgets over decades."""
    frame = pd.DataFrame(
        {
            "model": ["robust"] * 4,
            "eps": [4.0, 0.0, 0.1, 1.0],
            "auroc": [0.6, 0.95, 0.94, 0.8],
            "low": [0.5, 0.9, 0.9, 0.7],
            "high": [0.7, 0.99, 0.98, 0.9],
        }
    )
    (axes,) = figures.auroc_by_eps(frame).axes
    drawn = line(axes, "robust").get_xydata()
    np.testing.assert_array_equal(drawn[:, 0], [0, 0.1, 1, 4])
    np.testing.assert_array_equal(drawn[:, 1], [0.95, 0.94, 0.8, 0.6])
    assert axes.get_xscale() == "symlog"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "0.1", "1", "4"]
    left, right = axes.get_xlim()
    assert left < 0
    assert right > 4
