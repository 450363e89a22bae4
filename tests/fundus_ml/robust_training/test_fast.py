"""One step: against a closed form, and where it starts."""

import pytest
import torch

from fundus_ml.attacks import ThreatModel, lengths
from fundus_ml.robust_training import FastTraining, make_method
from fundus_ml.robust_training.fast import inside
from tests.fundus_ml.tiny_learning import LinearNetwork, SmallNetwork, make_images

LABELS = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0])


def generator():
    return torch.Generator().manual_seed(4)


@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize("constraint", ["l2", "linf"])
def test_it_is_one_step_of_a_linear_network(constraint, random_start):
    """Whose gradient is its weight everywhere; half the warm-up is half of everything."""
    model, images = LinearNetwork(6, 7), make_images(low=0.3, high=0.7)
    threat = ThreatModel(constraint=constraint, eps=0.2)
    method = FastTraining(
        threat=threat, step_size=0.25, random_start=random_start, precision="fp32"
    )
    for share in (1.0, 0.5):
        small = ThreatModel(constraint=constraint, eps=0.2 * share)
        found = method(model, images, LABELS, generator(), share=share)
        start = inside(small, images, generator()) if random_start else images
        weight = model.weight.detach()
        direction = weight.sign() if constraint == "linf" else weight / weight.norm()
        away = (1 - 2 * LABELS).view(-1, 1, 1, 1)
        delta = start + share * 0.25 * away * direction - images
        if constraint == "linf":
            delta = delta.clamp(-0.2 * share, 0.2 * share)
        else:
            delta = delta * (0.2 * share / lengths(delta)).clamp(max=1)
        torch.testing.assert_close(found, images + delta, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("constraint", ["l2", "linf"])
def test_starts_lie_inside_the_ball(constraint):
    """Not only on its surface, where ``l2`` has all its volume."""
    images = make_images(count=200, low=0.5, high=0.5)
    start = inside(ThreatModel(constraint=constraint, eps=0.1), images, generator())
    if constraint == "l2":
        sizes = lengths(start - images).flatten() / 0.1
    else:
        sizes = (start - images).abs().flatten() / 0.1
    assert sizes.max() <= 1 + 1e-4
    assert torch.quantile(sizes, torch.tensor([0.25, 0.75])).tolist() == pytest.approx(
        [0.25, 0.75], abs=0.1
    )
    assert not torch.equal(start[0], start[1])


@pytest.mark.parametrize(
    ("constraint", "step_size", "wanted"),
    [("linf", "auto", 0.125), ("l2", "auto", 0.1), ("linf", 0.07, 0.07), ("l2", 0.07, 0.07)],
)
def test_its_step_is_its_own(constraint, step_size, wanted):
    """A step of 1.25 radii under linf, one under l2, or as asked for; attack_steps do not count."""
    threat = ThreatModel(constraint=constraint, eps=0.1)
    method = make_method(
        "fast", threat=threat, step_size=step_size, attack_steps=7, random_start=False
    )
    assert method.step_size == pytest.approx(wanted)
    assert method.random_start


def test_the_network_is_given_back_as_it_was():
    """Training mode and statistics survive."""
    model = SmallNetwork().train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    threat = ThreatModel(constraint="l2", eps=0.5)
    FastTraining(threat=threat, step_size=0.5)(model, make_images(), LABELS, generator())
    assert model.training
    assert model.norm.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
