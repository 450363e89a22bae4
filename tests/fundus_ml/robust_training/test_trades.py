"""TRADES against its formulas, written with torch's own divergence of two classes."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, kl_div, log_softmax

from fundus_ml.attacks import ThreatModel, lengths
from fundus_ml.robust_training import TradesTraining, make_method
from fundus_ml.robust_training.trades import divergence
from fundus_ml.training import Batch
from tests.fundus_ml.tiny_learning import SmallNetwork, make_images

LABELS = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0])


def generator():
    return torch.Generator().manual_seed(4)


def make_batch(images):
    return Batch(images, LABELS, torch.arange(5), first=0, of=5)


def of_two_classes(clean, moved):
    """The same divergence by torch, of the two-logit views."""
    views = [log_softmax(torch.stack([-z / 2, z / 2], dim=1), dim=1) for z in (moved, clean)]
    return kl_div(views[0], views[1].exp(), reduction="none").sum(1)


def test_divergence_is_that_of_two_classes():
    clean, moved = torch.randn(2, 50, generator=generator(), dtype=torch.float64) * 4
    torch.testing.assert_close(divergence(clean, moved), of_two_classes(clean, moved))
    assert (divergence(clean, clean) == 0).all()
    assert divergence(torch.tensor([90.0]), torch.tensor([-90.0])) == pytest.approx(90)


@pytest.mark.parametrize("constraint", ["l2", "linf"])
def test_the_climb_is_that_of_the_divergence(constraint):
    """Step for step what following its gradient gives, in the exactness of float64."""
    model, images = SmallNetwork(seed=3).eval().double(), make_images(low=0.2, high=0.8).double()
    threat = ThreatModel(constraint=constraint, eps=0.1)
    method = TradesTraining(threat=threat, step_size=0.03, attack_steps=5, beta=6, precision="fp32")
    noise = torch.empty_like(images).normal_(generator=generator())
    x_adv, clean = threat.project(images, images + 1e-3 * noise), model(images).detach()
    for _ in range(5):
        x_adv = x_adv.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(of_two_classes(clean, model(x_adv)).sum(), x_adv)
        if constraint == "linf":
            moved = x_adv + 0.03 * gradient.sign()
        else:
            moved = x_adv + 0.03 * gradient / lengths(gradient)
        x_adv = threat.project(images, moved)
    found = method(model, images, LABELS, generator())
    torch.testing.assert_close(found, x_adv.detach(), atol=1e-4, rtol=0)
    assert (of_two_classes(clean, model(found)) > 1e-6).all()


@pytest.mark.parametrize(("step_size", "wanted"), [(0.2, 0.05), (0.04, 0.02)])
def test_half_the_warm_up_is_half_the_ball_and_half_the_step(step_size, wanted):
    images = make_images(low=0.2, high=0.8)
    method = TradesTraining(
        threat=ThreatModel(constraint="linf", eps=0.1), step_size=step_size, attack_steps=1, beta=6
    )
    found = method(SmallNetwork(seed=3), images, LABELS, generator(), share=0.5)
    moved = (found - images).abs()
    assert float(moved.max()) == pytest.approx(wanted, abs=0.005)
    assert float(moved.max()) <= 0.05 + 1e-6


@pytest.mark.parametrize("beta", [0.0, 6.0])
def test_the_loss_is_right_on_the_image_and_the_same_around_it(beta):
    """Image and point pass together; the gradient flows through both predictions."""
    model, images = SmallNetwork(seed=3), make_images()
    model.drop.p = 0.0
    method = make_method(
        "trades", threat=ThreatModel(constraint="l2", eps=0.5), step_size="auto",
        attack_steps=3, random_start=False, beta=beta, precision="fp32",
    )  # fmt: skip
    losses = method.losses(
        model, make_batch(images), share=1.0, generator=generator(),
        errors=lambda z: binary_cross_entropy_with_logits(z, LABELS, reduction="none"),
    )  # fmt: skip
    losses.mean().backward()
    found = model.convolution.weight.grad.clone()
    plain = SmallNetwork(seed=3)
    plain.drop.p = 0.0
    x_adv = method(SmallNetwork(seed=3), images, LABELS, generator())
    clean, moved = plain(torch.cat([images, x_adv])).chunk(2)
    errors = binary_cross_entropy_with_logits(clean, LABELS, reduction="none")
    wanted = errors + beta * of_two_classes(clean, moved)
    wanted.mean().backward()
    torch.testing.assert_close(losses, wanted, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found, plain.convolution.weight.grad, atol=1e-6, rtol=1e-4)
