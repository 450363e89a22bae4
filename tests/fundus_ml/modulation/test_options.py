"""What a modulation may be asked for."""

import pytest

from fundus_ml.errors import InputError
from fundus_ml.modulation.options import AUTO_STEPS
from tests.fundus_ml.modulation.tiny_modulations import options


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"objective": "dlr"}, "objective=dlr: allowed: logit, cross_entropy"),
        ({"start": "blend"}, "start=blend: allowed: eye, noise"),
        ({"min_norm_steps": -1}, "min_norm_steps=-1: must be at least 0"),
        ({"attack_engine": "art"}, "attack_engine=art: allowed: native, robustness"),
        ({"batch_size": 0}, "batch_size=0: must be at least 1"),
        ({"eps": ()}, "eps=: budgets above 0, rising"),
        ({"eps": (0.0, 1.0)}, "eps=0,1: budgets above 0"),
        ({"eps": (1.0, 4.0, 2.0)}, "eps=1,4,2: budgets above 0, rising"),
        ({"eps": (1.0, 1.0)}, "each once"),
        ({"eps": (0.0156863, 4 / 255)}, "each once to six digits"),
        ({"eps": (-1.0,)}, "eps=-1.0: must be a finite number"),
        ({"eps": (1.0, float("inf"))}, "eps=inf: must be a finite number"),
        ({"constraint": "l1"}, "constraint=l1: allowed"),
        ({"attack_steps": 0}, "attack_steps=0: must be at least 1"),
        ({"attack_steps": -1}, "attack_steps=-1: auto, or 0 or more"),
        ({"step_size": 0.0}, "step_size=0.0: must be auto"),
        ({"precision": "fp8"}, "precision=fp8: allowed"),
    ],
)
def test_options_refuse(changed, message):
    """Wrong settings end before any eye is read."""
    with pytest.raises(InputError, match=message):
        options(**changed)


def test_step_for_a_budget():
    """``auto`` follows the budget and what the path has behind it, a number does not."""
    path = options(eps=(0.5, 2.0), attack_steps=4)
    assert path.step_for(0.5) == pytest.approx(2.5 * 0.5 / 4)
    assert path.step_for(2.0) == pytest.approx((2.5 * 2 - 1.25 * 0.5) / 4)
    by_library = options(eps=(0.5, 2.0), attack_steps=4, attack_engine="robustness")
    assert by_library.step_for(2.0) == pytest.approx(2.5 * 2 / 4)
    assert options(step_size=0.3).step_for(2.0) == 0.3
    chosen = options(eps=(2.0,), attack_steps="auto")
    assert chosen.steps == AUTO_STEPS
    assert chosen.step_for(2.0) == pytest.approx(2.5 * 2 / AUTO_STEPS)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"mode": "flip"}, "flip"),
        ({"mode": "female", "start": "noise"}, "female from noise"),
        ({"start": "noise", "objective": "cross_entropy"}, "flip from noise by cross_entropy"),
    ],
)
def test_pictures_of_noise_or_of_another_objective_have_rows_of_their_own(changed, told):
    assert options(**{"mode": "flip"} | changed).told_mode == told
