"""Networks that mask are flagged, those that do not are not; each sign by hand."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.robust_evaluation import Sign, masking_signs, raised_names, signs_table
from fundus_ml.robust_evaluation.masking import NO_BUDGET, TOLERANCES
from fundus_ml.robust_evaluation.running import Attacked
from fundus_ml.statistics.bootstrap import Interval


def raised(attacked):
    return {s.name for s in masking_signs(attacked, resamples=200, seed=0) if s.raised}


@pytest.mark.parametrize("name", [pytest.param("plain", marks=pytest.mark.slow), "robust"])
def test_an_honest_network_shows_no_sign(attacked, name):
    signs = masking_signs(attacked[name], resamples=200, seed=0)
    assert {sign.name for sign in signs} == set(TOLERANCES), "every sign was asked for"
    assert raised_names(signs) == "none"


@pytest.mark.parametrize("name", ["saturated", pytest.param("quantised", marks=pytest.mark.slow)])
def test_a_network_that_masks_is_flagged(attacked, name):
    """Its gradient is gone, gradients flip next to nothing, and chance flips more."""
    assert {"gradient_vanishes", "unbounded_survives"} <= raised(attacked[name])


EYES = 40


def made(logits, *, ce_gradient=1.0, unbounded=-1.0, budgets=(1.0,)):
    """An attack suite on male eyes that all score 1: ``logits`` of each attack, at each budget."""
    identity = pd.DataFrame(
        {"image_id": [f"{i:02d}" for i in range(EYES)], "label": 1.0, "person_group": range(EYES)}
    )
    rows = [
        identity.assign(attack=name, eps=eps, logit=np.asarray(logit, dtype=float))
        for name, by_budget in logits.items()
        for eps, logit in zip(budgets, by_budget, strict=True)
    ]
    probes = identity.assign(logit=1.0, ce_gradient=ce_gradient, unbounded=unbounded)
    return Attacked(predicted=pd.concat(rows), probes=probes)


def some(share, *, fall=-1.0, stand=0.5):
    """Logits of which the first ``share`` fall."""
    return np.where(np.arange(EYES) < share * EYES, fall, stand)


@pytest.mark.parametrize(
    ("name", "suite"),
    [
        ("gradient_vanishes", {"ce_gradient": some(0.3, fall=0.0)}),
        ("unbounded_survives", {"unbounded": some(0.3, fall=1.0, stand=-1.0)}),
        ("loss_flat", {"logits": {"pgd-20": [some(0.7, stand=1.0)]}}),
        ("one_step_stronger", {"logits": {"pgd-20": [some(0.2)], "fgsm": [some(0.5)]}}),
        ("losses_disagree", {"logits": {"apgd-ce": [some(0.2)], "apgd-margin": [some(0.5)]}}),
        ("black_box_stronger", {"logits": {"pgd-100": [some(0.2)], "square": [some(0.5)]}}),
        (
            "steps_stall",
            {"logits": {"pgd-20": [some(0.2)], "pgd-100": [some(0.2)], "apgd-ce": [some(0.5)]}},
        ),
        (
            "larger_budget_weaker",
            {"logits": {"pgd-20": [some(0.5), some(0.2)]}, "budgets": (1.0, 2.0)},
        ),
    ],
)
def test_each_sign_is_raised_by_its_own_case(name, suite):
    assert raised(made(**{"logits": {"pgd-20": [some(0.5)]}} | suite)) == {name}


@pytest.mark.parametrize(
    "logits",
    [
        # Steps that gain nothing are no sign where nothing else gains more ...
        {"pgd-20": [some(0.2)], "pgd-100": [some(0.2)], "apgd-ce": [some(0.2)]},
        # ... nor where another attack gains more but the steps gained too.
        {"pgd-20": [some(0.2)], "pgd-100": [some(0.4)], "apgd-ce": [some(0.6)]},
        # One eye of forty is no evidence.
        {"pgd-20": [some(0.2)], "square": [some(0.225)], "fgsm": [some(0.225)]},
    ],
)
def test_what_proves_nothing_raises_nothing(logits):
    assert raised(made(logits)) == set()


def test_only_eyes_named_rightly_are_asked():
    attacked = made({"pgd-20": [some(0.5)]}, ce_gradient=some(0.5, fall=0.0, stand=1.0))
    attacked.probes.loc[: EYES // 2 - 1, "logit"] = -1.0
    assert raised(attacked) == set()
    attacked.probes["logit"] = -1.0
    assert masking_signs(attacked, resamples=50, seed=0) == []


def test_a_sign_says_its_figures():
    sign = Sign(
        name="black_box_stronger", eps=0.5, measured=Interval(0.2, 0.1, 0.3), tolerance=0.02,
        eyes=50,
    )  # fmt: skip
    assert sign.raised
    assert str(sign) == (
        "black_box_stronger at eps 0.5 20.0% (10.0% to 30.0%) of 50 eyes fall to squares drawn by "
        "chance and to no gradient"
    )
    everywhere = Sign(
        name="gradient_vanishes", eps=NO_BUDGET, measured=Interval(1.0, np.nan, np.nan),
        tolerance=0.02, eyes=2,
    )  # fmt: skip
    assert not everywhere.raised, "one person proves nothing"
    table = signs_table([sign, everywhere])
    assert table["raised"].tolist() == [True, False]
    assert table["eps"].isna().tolist() == [False, True]
    assert raised_names([sign, everywhere, sign]) == "black_box_stronger"
