"""Who may be called robust: by the interval under the worst attack, and with no sign of masking."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.robust_evaluation import (
    AttackSuite,
    Sign,
    gate_suite,
    judge_robustness,
    masking_signs,
)
from fundus_ml.robust_evaluation.gate import worst_accuracy, worst_auroc
from fundus_ml.robust_evaluation.options import check_gate_radius
from fundus_ml.robust_evaluation.running import Attacked
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.clustered import clustered_auroc
from tests.fundus_ml.robust_evaluation.tiny_networks import TRAINED_FOR


def judged(attacked, *, eps=TRAINED_FOR):
    signs = masking_signs(attacked, resamples=200, seed=0)
    return judge_robustness(attacked, signs, eps=eps, resamples=200, seed=0)


@pytest.mark.slow
def test_a_network_passes_at_the_budget_it_stands_and_not_beyond(attacked):
    near, far = judged(attacked["robust"]), judged(attacked["robust"], eps=0.5)
    assert near.passed
    assert [criterion.bar for criterion in near.criteria] == [0.5, 0.5]
    assert " lies above 0.500 (always naming one class); worst-case AUROC 0." in near.reason
    assert " lies above 0.500 (a network that knows nothing); gradient" in near.reason
    assert near.reason.endswith("gradient masking: none")
    assert not far.passed
    assert far.reason.startswith("worst-case balanced accuracy at eps 0.5 0.")
    assert " does not lie above 0.500" in far.reason


@pytest.mark.slow
def test_what_masks_is_refused_whatever_it_scores(attacked):
    verdict = judged(attacked["saturated"], eps=0.25)
    assert not verdict.passed
    assert "gradient masking: gradient_vanishes 100.0% (100.0% to 100.0%), " in verdict.reason
    assert "\n" not in verdict.reason


def made(right, *, male=0.5, people=200):
    """Worst-case rows of which a share is right."""
    label = (np.arange(people) < male * people).astype(float)
    correct = np.random.default_rng(0).permutation(people) < right * people
    rows = pd.DataFrame(
        {
            "attack": "worst", "eps": 1.0, "label": label, "person_group": range(people),
            "logit": np.where(correct, 1.0, -1.0) * (2 * label - 1),
        }
    )  # fmt: skip
    return Attacked(predicted=rows, probes=rows)


@pytest.mark.parametrize(
    ("right", "male", "passed"),
    [(0.65, 0.5, True), (0.54, 0.5, False), (0.5, 0.5, False), (0.65, 0.7, True), (0.8, 0.1, True)],
)
def test_the_lower_end_must_beat_one_half(right, male, passed):
    attacked = made(right, male=male)
    verdict = judge_robustness(attacked, [], eps=1.0, resamples=500, seed=0)
    rows = attacked.predicted
    of_each = ((rows["logit"] > 0) == (rows["label"] > 0)).groupby(rows["label"]).mean()
    assert verdict.criteria[0].measured.value == pytest.approx(of_each.mean())
    assert verdict.passed == passed


@pytest.mark.parametrize("named", [-1.0, 1.0])
def test_naming_one_class_is_not_robust(named):
    """However rare the other is: here nine eyes in ten are named rightly, or one."""
    rows = made(1.0, male=0.1).predicted.assign(logit=named)
    verdict = judge_robustness(
        Attacked(predicted=rows, probes=rows), [], eps=1.0, resamples=100, seed=0
    )
    assert verdict.criteria[0].measured.value == 0.5
    assert not verdict.passed


def test_a_threshold_alone_does_not_pass():
    """Six eyes in ten lie right of 0 and the others so far off that no AUROC is left."""
    rows = made(0.62, people=600).predicted
    wrong = (rows["logit"] > 0) != (rows["label"] > 0)
    spread = np.random.default_rng(1).uniform(0.1, 1, 600)
    far = rows.assign(logit=rows["logit"] * np.where(wrong, 9, 1) * spread)
    verdict = judge_robustness(
        Attacked(predicted=far, probes=far), [], eps=1.0, resamples=300, seed=0
    )
    assert [criterion.passed for criterion in verdict.criteria] == [True, False]
    assert not verdict.passed


@pytest.mark.parametrize(
    ("moved", "most"), [(0.0, 0.025 + 2.6 * np.sqrt(0.025 * 0.975 / 200)), (0.3, 0.01)]
)
def test_a_network_that_knows_nothing_passes_by_luck_alone(moved, most):
    """Its attacked AUROC lies above chance in 2.5 % of cohorts where no attack moves it."""
    rng, passed = np.random.default_rng(7), []
    for seed in range(200):
        person = np.repeat(np.arange(60), 2)
        label = rng.integers(0, 2, 60)[person].astype(float)
        logit = rng.normal(size=60)[person] + 0.5 * rng.normal(size=120)
        rows = pd.DataFrame(
            {
                "attack": "worst", "eps": 1.0, "label": label, "person_group": person,
                "logit": logit - moved * (2 * label - 1),
            }
        )  # fmt: skip
        passed.append(worst_auroc(rows, eps=1.0, resamples=100, seed=9000 + seed).low > 0.5)
    assert np.mean(passed) <= most


def test_one_raised_sign_refuses():
    signs = [
        Sign(
            name="loss_flat", eps=1.0, measured=Interval(0.5, low, 0.6), tolerance=0.05, eyes=9
        )
        for low in (0.01, 0.4)
    ]  # fmt: skip
    assert judge_robustness(made(0.9), signs[:1], eps=1.0, resamples=100, seed=0).passed
    verdict = judge_robustness(made(0.9), signs, eps=1.0, resamples=100, seed=0)
    assert not verdict.passed
    assert verdict.raised == (signs[1],)


def test_the_interval_is_clustered_by_person():
    attacked = made(0.7)
    rows = attacked.predicted.assign(person_group=np.repeat(np.arange(20), 10))
    found = worst_accuracy(rows, eps=1.0, resamples=300, seed=4)
    named = rows["logit"] > 0
    assert found == clustered_auroc(
        rows["label"], named, rows["person_group"], resamples=300, seed=4
    )


def test_a_radius_that_rounds_away_is_refused():
    """Half a grey level per value: eps .43 at 128 px, an eighth of it at 16 px."""
    check_gate_radius("l2", 0.44, size=128)
    check_gate_radius("linf", 0.5 / 255, size=128)
    with pytest.raises(InputError, match=r"eps=0.1: 0.12 grey levels .* \(eps 0.435\); gate=false"):
        check_gate_radius("l2", 0.1, size=128)
    with pytest.raises(InputError, match=r"0.49 grey levels per value \(RMS\) at 64 px"):
        check_gate_radius("linf", 0.49 / 255, size=64)
    with pytest.raises(InputError, match="eps=0: 0 grey levels"):
        check_gate_radius("l2", 0.0, size=64)


def test_the_gate_is_short():
    suite = gate_suite("linf", 4 / 255, batch_size=8, precision="fp32", seed=3)
    # Eyes that were left once they fell would rank too well.
    assert not suite.leave_solved
    assert not suite.distances
    whole = AttackSuite(constraint="linf", eps=(4 / 255,))
    assert set(suite.attacks) < set(whole.attacks)
    assert suite.queries < whole.queries
