"""A champion is made by whole intervals above their bars, and by nothing less."""

import numpy as np
import pytest
from scipy.stats import norm

from fundus_ml.auditing.shortcut_baseline import ShortcutBaseline
from fundus_ml.model_selection.promotion import decide
from fundus_ml.statistics.bootstrap import Interval

SHORTCUT_BASELINE = ShortcutBaseline(0.6, "chance", "")
ABOVE, ACROSS, BELOW = Interval(0.7, 0.65, 0.75), Interval(0.7, 0.55, 0.8), Interval(0.5, 0.4, 0.6)
BETTER, UNSURE = Interval(0.04, 0.01, 0.07), Interval(0.01, -0.02, 0.04)


@pytest.mark.parametrize(
    ("auroc", "gains", "promoted"),
    [
        (ABOVE, {}, True),
        (ACROSS, {}, False),
        (BELOW, {}, False),
        (Interval(0.7, 0.6, 0.8), {}, False),
        (Interval(0.7, np.nan, np.nan), {}, False),
        (ABOVE, {"old": BETTER}, True),
        (ABOVE, {"old": UNSURE}, False),
        (BELOW, {"old": BETTER}, False),
        (ABOVE, {"old": Interval(0.04, np.nan, np.nan)}, False),
    ],
)
def test_every_interval_must_lie_above_its_bar(auroc, gains, promoted):
    assert decide(auroc, SHORTCUT_BASELINE, gains=gains, among=1).promoted is promoted


def test_a_margin_lets_a_version_pass_that_is_not_worse():
    gains = {"old": UNSURE}
    assert not decide(ABOVE, SHORTCUT_BASELINE, gains=gains, among=1, least_gain=-0.02).promoted
    assert decide(ABOVE, SHORTCUT_BASELINE, gains=gains, among=1, least_gain=-0.03).promoted
    assert not decide(
        ABOVE, SHORTCUT_BASELINE, gains={"old": BETTER}, among=1, least_gain=0.02
    ).promoted


def test_the_best_of_several_needs_more():
    """Ends stretch as the normal quantile does; the reason and the table say among how many."""
    gains = {"old": BETTER}
    assert decide(ABOVE, SHORTCUT_BASELINE, gains=gains, among=2).promoted
    of_forty = decide(ABOVE, SHORTCUT_BASELINE, gains=gains, among=40)
    assert not of_forty.promoted
    gain = of_forty.criteria[1].measured
    assert gain.low == pytest.approx(0.04 - 0.03 * norm.isf(0.025 / 40) / norm.isf(0.025))
    assert of_forty.reason.endswith("; one of 40 versions measured there")
    assert of_forty.table()["among"].tolist() == [40, 40]
    # The bar of chance has its margin already; that of a shortcut has none.
    assert of_forty.criteria[0].measured == ABOVE
    shortcut = ShortcutBaseline(0.6, "brightness", "")
    by_shortcut = decide(ABOVE, shortcut, gains={}, among=40)
    assert by_shortcut.criteria[0].measured.low == pytest.approx(
        0.7 - 0.05 * norm.isf(0.025 / 40) / norm.isf(0.025)
    )


def test_the_champion_is_not_promoted_again():
    decision = decide(ABOVE, SHORTCUT_BASELINE, gains={}, among=1, holds_already=True)
    assert not decision.promoted
    assert decision.reason.startswith("is the champion already; AUROC 0.700 (0.650 to 0.750) lies")


def test_the_reason_gives_the_figures_that_decided():
    passed = decide(ABOVE, SHORTCUT_BASELINE, gains={"models:/a/1": BETTER}, among=1)
    assert passed.reason == (
        "AUROC 0.700 (0.650 to 0.750) lies above 0.600 (shortcut baseline by chance); "
        "gain in AUROC 0.040 (0.010 to 0.070) lies above 0.000 (over models:/a/1)"
    )
    failed = decide(ABOVE, SHORTCUT_BASELINE, gains={"models:/a/1": UNSURE}, among=1)
    assert failed.reason == (
        "gain in AUROC 0.010 (-0.020 to 0.040) does not lie above 0.000 (over models:/a/1)"
    )


def test_the_table_holds_every_criterion():
    table = decide(
        ABOVE, SHORTCUT_BASELINE, gains={"old": UNSURE}, among=1, least_gain=-0.01
    ).table()
    assert table["criterion"].tolist() == ["AUROC", "gain in AUROC"]
    assert table[["value", "low", "high", "bar"]].to_numpy().tolist() == [
        [0.7, 0.65, 0.75, 0.6], [0.01, -0.02, 0.04, -0.01]
    ]  # fmt: skip
    assert table["passed"].tolist() == [True, False]
