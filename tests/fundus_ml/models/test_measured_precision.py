"""On a CPU ``auto`` is whichever precision makes the step of this network faster."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from fundus_ml.errors import InputError
from fundus_ml.models import measured_precision
from fundus_ml.models.measured_precision import (
    PrecisionChoice,
    measured,
    resolved,
    seconds_of_step,
    settle,
    settled,
    telling,
)
from tests.fundus_ml.tiny_learning import SmallNetwork, make_images


class Timer:
    """Answers with given seconds, and counts how often it was asked."""

    def __init__(self, fp32, bf16):
        self.seconds = {None: fp32, torch.bfloat16: bf16}
        self.asked = []

    def __call__(self, model, images, half, patience):
        self.asked.append((half, len(images), patience))
        assert not model.training
        return self.seconds[half]


@pytest.fixture
def fast_bf16(monkeypatch):
    monkeypatch.setattr(measured_precision, "_CHOICES", {})
    timer = Timer(1.0, 0.3)
    monkeypatch.setattr(measured_precision, "seconds_of_step", timer)
    return timer


@pytest.mark.parametrize(("bf16", "wanted"), [(0.3, "bf16"), (0.95, "fp32"), (8.0, "fp32")])
def test_the_faster_is_chosen(bf16, wanted):
    """Near a tie fp32; bf16 is given no more patience than fp32 took."""
    model, timer = SmallNetwork().train(), Timer(1.0, bf16)
    choice = measured(model, make_images(count=5), measure=timer)
    assert choice == PrecisionChoice(precision=wanted, fp32_seconds=1.0, bf16_seconds=bf16)
    assert timer.asked == [(None, 2, torch.inf), (torch.bfloat16, 2, 1.0)]
    assert model.training


@pytest.mark.parametrize(("choice", "words"), [
    (
        PrecisionChoice(precision="bf16", fp32_seconds=0.25, bf16_seconds=0.1),
        "precision=auto: bf16 (a step of 2 images: fp32 0.25 s, bf16 0.1 s)",
    ),
    (
        PrecisionChoice(precision="fp32", fp32_seconds=0.1234, bf16_seconds=0.6),
        "precision=auto: fp32 (a step of 2 images: fp32 0.123 s, bf16 0.6 s or more)",
    ),
    (
        PrecisionChoice(precision="fp32", fp32_seconds=0.5, bf16_seconds=torch.inf),
        "precision=auto: fp32 (a step of 2 images: fp32 0.5 s, bf16 does not run)",
    ),
    (PrecisionChoice(precision="bf16"), "precision=auto: bf16, as the training began"),
])  # fmt: skip
def test_words_name_both_times(choice, words):
    assert choice.words == words


def test_what_does_not_run_in_bf16_runs_in_fp32():
    """torch has no bf16 kernel for it: no error, and fp32."""

    class Volume(nn.Module):
        def forward(self, images):
            return torch.linalg.det((images @ torch.ones(7, 6))[:, 0])

    choice = measured(Volume(), make_images())
    assert (choice.precision, choice.bf16_seconds) == ("fp32", torch.inf)


def test_a_trial_ends_where_the_forward_pass_is_too_slow():
    """No backward pass is made of a bf16 step that lost already."""
    back = []

    class Watched(nn.Module):
        def forward(self, images):
            logit = images.sum((1, 2, 3))
            logit.register_hook(lambda _: back.append(1))
            return logit

    for patience, passes in ((0.0, 0), (torch.inf, 3)):
        assert seconds_of_step(Watched(), make_images(), torch.bfloat16, patience) > 0
        assert len(back) == passes


def test_measuring_leaves_no_trace(monkeypatch):
    """Statistics, gradients, mode and random numbers stay, also where no gradient is wanted."""
    monkeypatch.setattr(measured_precision, "_CHOICES", {})
    model = SmallNetwork().train()
    before, state = deepcopy(model.state_dict()), torch.get_rng_state()
    with torch.inference_mode():
        assert resolved(model, make_images(), "auto") in {"fp32", "bf16"}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


def test_networks_built_alike_are_measured_once(fast_bf16):
    """A copy, an average of weights and other weights; another network is measured itself."""
    images = make_images()
    assert resolved(SmallNetwork(), images, "auto") == "bf16"
    fast_bf16.seconds[torch.bfloat16] = 2.0
    assert resolved(SmallNetwork(seed=3), images, "auto") == "bf16"
    assert len(fast_bf16.asked) == 2
    assert resolved(nn.Sequential(SmallNetwork()), images, "auto") == "fp32"


def test_what_is_named_is_not_measured(fast_bf16):
    """Nor where there is no image to measure with."""
    for precision in ("fp32", "bf16", "fp16"):
        assert resolved(SmallNetwork(), make_images(), precision) == precision
    resolved(SmallNetwork(), make_images(count=0), "auto")
    assert not fast_bf16.asked
    with pytest.raises(InputError, match="precision=fp8: allowed: auto, fp32"):
        resolved(SmallNetwork(), make_images(), "fp8")


@pytest.mark.usefixtures("fast_bf16")
def test_a_settled_choice_holds():
    """As a checkpoint settles it, whatever a measurement said or would say."""
    model, images = SmallNetwork(), make_images()
    resolved(model, images, "auto")
    settle(model, PrecisionChoice(precision="fp32"))
    assert settled(SmallNetwork(seed=1)) == PrecisionChoice(precision="fp32")
    assert resolved(model, images, "auto") == "fp32"


def test_each_listener_hears_of_a_choice_once(fast_bf16):
    """The second run of a process too, whose network was measured in the first."""
    model, images = SmallNetwork(), make_images()
    for _ in range(2):
        heard = []
        with telling(heard.append):
            for _ in range(3):
                resolved(model, images, "auto")
        assert [choice.precision for choice in heard] == ["bf16"]
    assert len(fast_bf16.asked) == 2
