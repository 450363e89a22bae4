"""APGD against torchattacks', and what its looks back do."""

import pytest
import torch
import torchattacks

from fundus_ml.attacks import ThreatModel, apgd, frozen, pgd
from fundus_ml.attacks.auto_pgd import looks_back
from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import two_logits
from tests.fundus_ml.tiny_learning import LinearNetwork, SmallNetwork, make_images

BALLS = [("l2", "L2", 1.0), ("linf", "Linf", 8 / 255)]


def gained(model, images, labels):
    """Mean margin, in fp32."""
    with torch.no_grad(), frozen(model):
        return float(((1 - 2 * labels) * model(images)).mean())


def strongly_curved(seed):
    """A network whose gradient turns within the ball."""
    model = SmallNetwork(seed=seed).eval()
    model.convolution.weight.data *= 6
    return model


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("constraint", "norm", "eps"), BALLS)
def test_at_least_as_strong_as_torchattacks(constraint, norm, eps, seed):
    """On the two-logit view, with the same steps: APGD-CE of torchattacks gains no more."""
    model, images = strongly_curved(seed), make_images(count=24, seed=seed).contiguous()
    labels = (torch.arange(24) % 2).float()
    theirs = torchattacks.APGD(two_logits(model), norm=norm, eps=eps, steps=30, seed=seed)
    with frozen(model):
        found = theirs(images, labels.long()).detach()
    for loss in ("margin", "ce"):
        ours = apgd(
            model, images, labels, threat=ThreatModel(constraint=constraint, eps=eps),
            attack_steps=30, loss=loss, precision="fp32",
            generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        assert gained(model, ours, labels) >= gained(model, found, labels) - 1e-4


@pytest.mark.parametrize(("constraint", "norm", "eps"), BALLS)
def test_no_step_size_of_pgd_does_better(constraint, norm, eps):  # noqa: ARG001
    """Over three networks, the steps APGD chooses gain about what the best fixed length does."""
    labels, threat = (torch.arange(24) % 2).float(), ThreatModel(constraint=constraint, eps=eps)
    chosen, fixed = 0.0, dict.fromkeys((2, 1, 0.5, 0.25, 0.1, 0.05), 0.0)
    for seed in range(3):
        model, images = strongly_curved(seed), make_images(count=24, seed=seed)
        how = {"threat": threat, "attack_steps": 40, "precision": "fp32"}
        chosen += gained(model, apgd(model, images, labels, random_start=False, **how), labels)
        for share in fixed:
            x_adv = pgd(model, images, labels, step_size=share * eps, **how)
            fixed[share] += gained(model, x_adv, labels)
    assert chosen >= max(fixed.values()) - 0.02 * abs(max(fixed.values()))


def test_linear_network_is_solved_in_closed_form():
    """The worst point of the ball, along the weight or its sign."""
    model, images, labels = LinearNetwork(6, 7), make_images(low=0.4, high=0.6), torch.ones(5)
    weight = model.weight.detach()
    for constraint, eps, step in (
        ("l2", 0.2, weight / weight.norm()),
        ("linf", 0.05, weight.sign()),
    ):
        found = apgd(
            model, images, labels, threat=ThreatModel(constraint=constraint, eps=eps),
            attack_steps=40, precision="fp32", generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        torch.testing.assert_close(found, images - eps * step, atol=2e-3, rtol=0)


def test_looks_come_ever_sooner():
    """At the steps of 100 that the paper has; never after the last step, never at the start."""
    assert looks_back(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    for steps in range(1, 40):
        places = looks_back(steps)
        assert places == sorted(set(places))
        assert all(1 <= place < steps for place in places)


def test_it_takes_as_many_gradients_as_asked():
    """The last point is scored without one."""
    model, seen = SmallNetwork().eval(), []
    model.convolution.register_full_backward_hook(lambda *_: seen.append(1))
    apgd(
        model, make_images(), torch.ones(5), threat=ThreatModel(constraint="l2", eps=1),
        attack_steps=9, precision="fp32",
    )  # fmt: skip
    assert len(seen) == 9


def test_without_steps_it_is_no_attack():
    """One line."""
    with pytest.raises(InputError, match="attack_steps=0: must be at least 1"):
        apgd(
            SmallNetwork(), make_images(), torch.ones(5),
            threat=ThreatModel(constraint="l2", eps=1), attack_steps=0,
        )  # fmt: skip
