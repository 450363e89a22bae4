"""Curves over budgets: both measures, their bands, the axes they stand on."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml import figures
from fundus_ml.attacks.options import per_value_rms
from fundus_ml.errors import InputError
from tests.fundus_ml.figures.drawn import fits, line


def test_the_ball_is_named_and_only_an_l2_budget_has_an_rms(success, make_panel):
    for constraint, name, axes in (("l2", "L2", 4), ("linf", "L∞", 2)):
        figure = figures.success_curve(success, size=128, constraint=constraint)
        assert figure.axes[0].get_xlabel() == f"eps ({name}, pixels in 0 to 1)"
        shown = [top for panel in figure.axes for top in panel.child_axes]
        assert len(figure.axes) + len(shown) == axes
        panel = figures.modulation_panel(**make_panel() | {"constraint": constraint})
        assert panel.axes[1].get_xlabel() == f"eps ({name})"


def test_success_curve_shows_both_measures_with_bands(success):
    """Each panel holds its column, its band and the same budgets as eps and as RMS."""
    figure = figures.success_curve(success, size=128)
    for axes, name in zip(figure.axes, ("success", "prob_target"), strict=True):
        for model, band in zip(("clean", "robust"), axes.collections, strict=True):
            rows = success[success["model"] == model].sort_values("eps")
            np.testing.assert_array_equal(line(axes, model).get_xydata(), rows[["eps", name]])
            outline = band.get_paths()[0].vertices
            assert set(rows[f"{name}_low"]) | set(rows[f"{name}_high"]) <= set(outline[:, 1])
        assert axes.get_xscale() == "log"
        (top,) = axes.child_axes
        np.testing.assert_allclose(top.get_xticks(), axes.get_xticks())
        for tick, label in zip(top.get_xticks(), top.get_xticklabels(), strict=True):
            assert float(label.get_text()) == pytest.approx(tick / np.sqrt(3 * 128**2), rel=0.05)
    assert fits(figure)


def test_rms_of_a_spent_budget():
    """A change of length eps over all 3·size² values has the RMS of the second axis."""
    change = np.random.default_rng(0).normal(size=(16, 16, 3))
    change *= 2.5 / np.linalg.norm(change)
    assert per_value_rms("l2", 2.5, size=16) == pytest.approx(np.sqrt((change**2).mean()))


@pytest.mark.parametrize(
    ("eps", "scale"),
    [((1, 2, 4), "linear"), ((0.5, 5), "log"), ((0, 0.5, 5), "symlog"), ((0,), "linear")],
)
def test_budgets_over_a_decade_are_logarithmic(eps, scale):
    """The scale follows the ratio of the budgets, and the ticks are the budgets."""
    columns = {name: [0.7] * len(eps) for name in ("auroc", "low", "high")}
    frame = pd.DataFrame({"model": "clean", "eps": eps, **columns})
    axes = figures.auroc_by_eps(frame).axes[0]
    assert axes.get_xscale() == scale
    np.testing.assert_array_equal(axes.get_xticks(), eps)


def test_crowded_budgets_are_thinned():
    """Ticks that would touch are left out; the points stay."""
    eps = np.linspace(1, 2, 40)
    columns = dict.fromkeys(("auroc", "low", "high"), 0.7)
    axes = figures.auroc_by_eps(pd.DataFrame({"model": "clean", "eps": eps, **columns})).axes[0]
    assert len(axes.get_xticks()) <= 12
    assert len(line(axes, "clean").get_xdata()) == 40


def test_curves_refuse_what_they_cannot_show(history, success):
    """A best epoch needs a number; an RMS needs a size."""
    nothing = history.assign(robust_val_auroc=np.nan)
    with pytest.raises(InputError, match="robust_val_auroc holds no number"):
        figures.training_curves(nothing, best_by="robust_val_auroc")
    with pytest.raises(InputError, match="size=0: must be 1 or more"):
        figures.success_curve(success, size=0)
