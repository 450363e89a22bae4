"""PGD against closed forms on a linear network and a slow rewrite."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fundus_ml.attacks import ThreatModel, frozen, lengths, pgd, step_length
from fundus_ml.errors import InputError
from tests.fundus_ml.tiny_learning import (
    LinearNetwork,
    SmallNetwork,
    is_channels_last,
    make_images,
)

BALLS = [("l2", 0.5), ("linf", 8 / 255)]
LABELS = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0])


def lengths_of(delta, constraint):
    """Size of each image's change in the unit of ``eps``."""
    flat = delta.flatten(1)
    return flat.norm(dim=1) if constraint == "l2" else flat.abs().amax(dim=1)


def losses(model, images, labels):
    """Cross-entropy per image, in evaluation mode."""
    with torch.no_grad(), frozen(model):
        return binary_cross_entropy_with_logits(model(images), labels, reduction="none")


def slow_pgd(model, image, towards, sign, *, threat, step_size, attack_steps):
    """One image, one step at a time, in NumPy apart from the gradient."""
    clean, x = image.numpy(), image.numpy().copy()
    mask = 1.0 if threat.mask is None else threat.mask.numpy()
    seen = []
    for step in range(attack_steps + 1):
        point = torch.from_numpy(x)[None].requires_grad_()
        loss = binary_cross_entropy_with_logits(model(point), towards[None].double())
        seen.append((sign * loss.item(), x.copy()))
        if step == attack_steps:
            break
        loss.backward()
        gradient = sign * point.grad[0].numpy() * mask
        if threat.constraint == "l2":
            delta = x + step_size * gradient / np.linalg.norm(gradient) - clean
            delta *= min(1, threat.eps / max(np.linalg.norm(delta), 1e-12))
        else:
            delta = np.clip(x + step_size * np.sign(gradient) - clean, -threat.eps, threat.eps)
        x = np.clip(clean + delta, 0, 1)
    return torch.from_numpy(max(seen, key=lambda point: point[0])[1])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize(("constraint", "eps"), BALLS)
def test_pgd_equals_a_slow_rewrite(constraint, eps, targeted, masked):
    """The batch is what a plain loop over single images gives, region mask included."""
    model, images = SmallNetwork(seed=3).eval().double(), make_images(seed=4).double()
    mask = (torch.arange(7) < 4).float().expand(6, 7) if masked else None
    threat = ThreatModel(constraint=constraint, eps=eps, mask=mask)
    found = pgd(
        model,
        images,
        LABELS,
        threat=threat,
        step_size=eps / 2,
        attack_steps=5,
        target=1 - LABELS if targeted else None,
        precision="fp32",
    )
    towards, sign = (1 - LABELS, -1) if targeted else (LABELS, 1)
    for place in range(len(images)):
        slow = slow_pgd(
            model, images[place], towards[place], sign,
            threat=threat, step_size=eps / 2, attack_steps=5,
        )  # fmt: skip
        torch.testing.assert_close(found[place], slow, atol=2e-6, rtol=0)


def test_linear_network_has_a_closed_form():
    """One step of the radius finds the worst point: along the weight, or along its sign."""
    model, images = LinearNetwork(6, 7), make_images(low=0.3, high=0.7)
    weight = model.weight.detach()
    away = (1 - 2 * LABELS).view(-1, 1, 1, 1)
    steepest = {"l2": weight / weight.norm(), "linf": weight.sign()}
    for constraint, eps in (("l2", 0.2), ("linf", 0.05)):
        threat = ThreatModel(constraint=constraint, eps=eps)
        found = pgd(model, images, LABELS, threat=threat, step_size=eps, attack_steps=1)
        torch.testing.assert_close(found, images + eps * away * steepest[constraint])
        steered = pgd(
            model, images, LABELS, threat=threat, step_size=eps, attack_steps=3, target=1 - LABELS
        )
        torch.testing.assert_close(steered, found, atol=1e-6, rtol=0)


@pytest.mark.parametrize("constraint", ["l2", "linf"])
def test_a_sure_network_is_attacked_as_well(constraint):
    """Where cross-entropy has no gradient left in float32, the logit still shows the way."""
    unsure, sure, images = LinearNetwork(6, 7), LinearNetwork(6, 7), make_images()
    sure.bias.data.fill_(60.0)
    males = torch.ones(5)
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(binary_cross_entropy_with_logits(sure(x), males), x)
    assert not gradient.any()
    how = {"step_size": 0.1, "attack_steps": 3, "precision": "fp32"}
    threat = ThreatModel(constraint=constraint, eps=0.2)
    found = pgd(sure, images, males, threat=threat, **how)
    assert (found != images).flatten(1).any(dim=1).all()
    torch.testing.assert_close(found, pgd(unsure, images, males, threat=threat, **how))


@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("constraint", "eps"), BALLS)
def test_result_stays_inside(constraint, eps, precision, masked, random_start):
    """Shape, type, layout, range, ball, mask, repeatability; the input is not touched."""
    model, images = SmallNetwork(), make_images()
    mask = (torch.rand(5, 1, 6, 7, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    threat = ThreatModel(constraint=constraint, eps=eps, mask=mask if masked else None)
    before = images.clone()

    def attack():
        return pgd(
            model,
            images,
            LABELS,
            threat=threat,
            step_size=eps,
            attack_steps=3,
            random_start=random_start,
            precision=precision,
            generator=torch.Generator().manual_seed(2),
        )

    x_adv = attack()
    assert x_adv.shape == images.shape
    assert x_adv.dtype == torch.float32
    assert is_channels_last(x_adv)
    assert not x_adv.requires_grad
    assert 0 <= x_adv.min() <= x_adv.max() <= 1
    sizes = lengths_of(x_adv - images, constraint)
    assert (sizes <= eps * (1 + 1e-5)).all()
    assert (sizes > 0).all()
    if masked:
        torch.testing.assert_close((x_adv - images) * (1 - mask), torch.zeros_like(images))
    assert torch.equal(attack(), x_adv)
    assert torch.equal(images, before)


@pytest.mark.parametrize(("constraint", "eps"), BALLS)
def test_batch_equals_singles(constraint, eps):
    """No image of a batch moves another."""
    model, images = SmallNetwork().eval(), make_images()
    how = {
        "threat": ThreatModel(constraint=constraint, eps=eps),
        "step_size": eps / 2,
        "attack_steps": 4,
        "precision": "fp32",
    }
    together = pgd(model, images, LABELS, **how)
    alone = [pgd(model, images[i : i + 1], LABELS[i : i + 1], **how) for i in range(len(images))]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=0)


@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize("constraint", ["l2", "linf"])
def test_a_ball_without_radius_gives_the_image_back(constraint, random_start):
    """``eps=0`` returns the input bit for bit."""
    images = make_images()
    found = pgd(
        SmallNetwork(),
        images,
        LABELS,
        threat=ThreatModel(constraint=constraint, eps=0),
        step_size=0.1,
        attack_steps=3,
        random_start=random_start,
    )
    assert torch.equal(found, images)


@pytest.mark.parametrize("keep_best", [True, False])
def test_no_steps_give_the_image_back(keep_best):
    """Neither steps nor a start: nothing moves."""
    images, threat = make_images(), ThreatModel(constraint="l2", eps=1)
    found = pgd(
        SmallNetwork(), images, LABELS, threat=threat, step_size=1, attack_steps=0,
        keep_best=keep_best,
    )  # fmt: skip
    assert torch.equal(found, images)


@pytest.mark.parametrize("constraint", ["l2", "linf"])
def test_a_flat_network_moves_nothing(constraint):
    """A gradient of zero has no direction, and must not become NaN."""
    images = make_images()
    flat = LinearNetwork(6, 7, scale=0.0)
    threat = ThreatModel(constraint=constraint, eps=1)
    found = pgd(flat, images, LABELS, threat=threat, step_size=1, attack_steps=2)
    assert torch.equal(found, images)


def test_best_iterate_is_no_worse_than_any():
    """With steps far too long the last iterate is often not the worst one; the kept one is."""
    model, images = SmallNetwork().eval(), make_images()
    how = {"threat": ThreatModel(constraint="l2", eps=2), "step_size": 3.0, "precision": "fp32"}
    best = losses(model, pgd(model, images, LABELS, attack_steps=6, **how), LABELS)
    last = [
        losses(model, pgd(model, images, LABELS, attack_steps=n, keep_best=False, **how), LABELS)
        for n in range(7)
    ]
    torch.testing.assert_close(best, torch.stack(last).amax(dim=0))
    assert (best > last[-1]).any()


def test_whole_number_labels_count_as_well():
    """Labels as integers, as scikit-learn hands them, are the same labels."""
    model, images, threat = SmallNetwork(), make_images(), ThreatModel(constraint="l2", eps=1)
    how = {"threat": threat, "step_size": 0.5, "attack_steps": 2}
    for target in (None, 1 - LABELS):
        whole = None if target is None else target.long()
        found = pgd(model, images, LABELS.long(), target=whole, **how)
        assert torch.equal(found, pgd(model, images, LABELS, target=target, **how))


def test_random_start_fills_the_ball():
    """On the sphere for l2, evenly in the cube for linf; only where the mask allows it."""
    images = torch.full((4, 3, 20, 30), 0.5)
    mask = torch.zeros(20, 30)
    mask[:, :18] = 1
    generator = torch.Generator().manual_seed(0)
    sphere = ThreatModel(constraint="l2", eps=0.7, mask=mask).random_start(images, generator)
    torch.testing.assert_close(lengths(sphere - images).flatten(), torch.full((4,), 0.7))
    assert not (sphere - images)[..., 18:].any()
    cube = ThreatModel(constraint="linf", eps=0.1, mask=mask).random_start(images, generator)
    moved = (cube - images)[..., :18].flatten().numpy()
    assert stats.kstest(moved, stats.uniform(-0.1, 0.2).cdf).pvalue > 0.01
    assert not (cube - images)[..., 18:].any()


def test_random_start_follows_its_generator():
    """Other numbers give another start; the global generator is not asked when one is given."""
    images, threat = make_images(), ThreatModel(constraint="l2", eps=1)
    state = torch.get_rng_state()
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 1, 2)]
    starts = [threat.random_start(images, generator) for generator in generators]
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(3)
    assert not torch.equal(threat.random_start(images, None), starts[0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("constraint", ["l2", "linf"])
def test_a_cpu_generator_starts_a_gpu_attack(constraint):
    """The start is drawn where the generator lives, so both devices start alike."""
    mask = torch.ones(6, 7)
    threat, images = ThreatModel(constraint=constraint, eps=0.5, mask=mask), make_images()
    start = threat.random_start(images, torch.Generator().manual_seed(1))
    there = threat.random_start(images.cuda(), torch.Generator().manual_seed(1))
    torch.testing.assert_close(there.cpu(), start)


def test_projection_scales_long_changes_and_leaves_short_ones():
    """Out of the ball along the radius, inside untouched, and back into [0, 1] at the end."""
    images = torch.full((3, 3, 4, 5), 0.5)
    delta = torch.zeros(3, 3, 4, 5)
    delta[0, 0, 0, 0], delta[0, 1, 2, 3] = 0.3, 0.4
    delta[1, 2, 3, 4] = 0.1
    ball = ThreatModel(constraint="l2", eps=0.25)
    wanted = images + delta * torch.tensor([0.5, 1, 1]).view(-1, 1, 1, 1)
    torch.testing.assert_close(ball.project(images, images + delta), wanted)
    cube = ThreatModel(constraint="linf", eps=0.25)
    torch.testing.assert_close(cube.project(images, images + delta), images + delta.clamp(max=0.25))
    far = ThreatModel(constraint="l2", eps=9)
    assert far.project(images, images + 3 * delta).max() == 1


def modes_of(model):
    """What an attack must give back: modes, trainability, statistics."""
    modes = {name: module.training for name, module in model.named_modules()}
    trainable = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    return modes, trainable, {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_given_back_as_it_was(fails):
    """Training mode, frozen layers and BatchNorm's statistics survive, after an error too."""
    model = SmallNetwork().train()
    model.norm.eval()
    model.convolution.weight.requires_grad_(False)
    modes, trainable, state = modes_of(model)
    seen = []

    def look(module, _inputs):
        seen.append((any(m.training for m in module.modules()), module.head.weight.requires_grad))
        if fails and len(seen) == 2:
            raise KeyboardInterrupt

    handle = model.register_forward_pre_hook(look)
    threat = ThreatModel(constraint="l2", eps=1)
    try:
        pgd(model, make_images(), LABELS, threat=threat, step_size=1, attack_steps=3)
    except KeyboardInterrupt:
        assert fails
    handle.remove()
    assert set(seen) == {(False, False)}
    assert len(seen) == (2 if fails else 4)
    assert modes_of(model)[:2] == (modes, trainable)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"images": torch.zeros(3, 6, 7)},
            r"images: shape must be \(N, 3, H, W\), not \(3, 6, 7\)",
        ),
        ({"images": torch.zeros(5, 1, 6, 7)}, r"images: shape must be \(N, 3, H, W\)"),
        ({"images": torch.full((5, 3, 6, 7), 255.0)}, r"lie in \[0, 1\], found 255 to 255"),
        ({"images": torch.full((5, 3, 6, 7), torch.nan)}, r"lie in \[0, 1\], found nan"),
        ({"labels": torch.zeros(4)}, r"labels: shape must be \(5,\), not \(4,\)"),
        ({"labels": torch.full((5,), 0.5)}, "labels: each must be 0 or 1"),
        ({"target": torch.zeros(5, 1)}, r"target: shape must be \(5,\), not \(5, 1\)"),
        ({"target": torch.full((5,), 2.0)}, "target: each must be 0 or 1"),
        ({"step_size": -1.0}, "step_size=-1.0: must be a finite number, 0 or more"),
        ({"step_size": torch.nan}, "step_size=nan: must be a finite number"),
        ({"attack_steps": -1}, "attack_steps=-1: must be 0 or more"),
        ({"precision": "fp8"}, "precision=fp8: allowed: auto, fp32, bf16, fp16"),
        ({"mask": torch.ones(7, 6)}, r"mask: shape \(7, 6\) does not fit images \(5, 3, 6, 7\)"),
        ({"mask": torch.ones(4, 1, 6, 7)}, r"mask: shape \(4, 1, 6, 7\) does not fit"),
    ],
)
def test_attack_refuses(given, message):
    """Each wrong input ends in one line."""
    usual = {
        "images": make_images(), "labels": LABELS, "mask": None, "step_size": 1.0, "attack_steps": 1
    }  # fmt: skip
    given = usual | given
    images, labels = given.pop("images"), given.pop("labels")
    threat = ThreatModel(constraint="l2", eps=1, mask=given.pop("mask"))
    with pytest.raises(InputError, match=message):
        pgd(SmallNetwork(), images, labels, threat=threat, **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"constraint": "l1"}, "constraint=l1: allowed: l2, linf"),
        ({"eps": -0.1}, "eps=-0.1: must be a finite number, 0 or more"),
        ({"eps": float("nan")}, "eps=nan: must be a finite number"),
        ({"eps": float("inf")}, "eps=inf: must be a finite number"),
        ({"mask": torch.ones(3, 6, 7)}, r"mask: shape must be \(H, W\) or \(N, 1, H, W\)"),
        ({"mask": torch.ones(5, 3, 6, 7)}, r"not \(5, 3, 6, 7\)"),
        ({"mask": torch.full((6, 7), 0.5)}, "mask: each must be 0 or 1"),
    ],
)
def test_threat_model_refuses(given, message):
    """A ball that is none is refused when it is made."""
    with pytest.raises(InputError, match=message):
        ThreatModel(**{"constraint": "l2", "eps": 1.0} | given)


def test_step_length():
    """``auto`` lets the steps add up to two and a half radii."""
    assert step_length("auto", eps=3, attack_steps=7) == pytest.approx(2.5 * 3 / 7)
    assert step_length(0.5, eps=3, attack_steps=7) == 0.5


@pytest.mark.parametrize(
    ("step_size", "attack_steps", "message"),
    [
        ("auto", 0, "attack_steps=0: must be at least 1"),
        (0.0, 1, "step_size=0.0: must be auto or a finite number above 0"),
        (float("inf"), 1, "step_size=inf: must be auto"),
        (float("nan"), 1, "step_size=nan: must be auto"),
    ],
)
def test_step_length_refuses(step_size, attack_steps, message):
    """No steps, or steps of no length."""
    with pytest.raises(InputError, match=message):
        step_length(step_size, eps=1, attack_steps=attack_steps)


class CoarseLogit(nn.Module):
    """A linear network whose logit comes in steps, as bf16 gives it; its gradient is whole."""

    def __init__(self):
        super().__init__()
        self.network = LinearNetwork(6, 7, scale=0.05)

    def forward(self, images):
        logit = self.network(images)
        return logit + ((logit / 64).round() * 64 - logit).detach()


@pytest.mark.parametrize(("constraint", "eps"), BALLS)
def test_a_tie_does_not_bring_back_the_unchanged_image(constraint, eps):
    """Where the logit is too coarse to show a gain, the latest iterate is the best."""
    images = make_images().clamp(0.2, 0.8)
    found = pgd(
        CoarseLogit(), images, LABELS, threat=ThreatModel(constraint=constraint, eps=eps),
        step_size=eps / 2, attack_steps=4, precision="fp32",
    )  # fmt: skip
    assert lengths_of(found - images, constraint).min() > 0.9 * eps
