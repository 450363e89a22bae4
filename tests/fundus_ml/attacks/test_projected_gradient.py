"""Restarts, images that leave, momentum, radii of their own, 8 bits: what PGD can beyond steps."""

import pytest
import torch
from torch import nn

from fundus_ml.attacks import ThreatModel, apgd, frozen, pgd
from fundus_ml.attacks.search import Problem
from fundus_ml.errors import InputError
from tests.fundus_ml.tiny_learning import LinearNetwork, SmallNetwork, make_images

LABELS = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0])
RADII = {"l2": 0.5, "linf": 8 / 255}


def make_eyes(**changed):
    """Pictures of 8 bits."""
    return (make_images(**changed) * 255).round() / 255


def margins(model, images, labels=LABELS, *, target=None):
    """How far beyond the boundary each image is, in fp32."""
    problem = Problem.make(
        model, images, labels, threat=ThreatModel(constraint="l2", eps=0), target=target,
        precision="fp32",
    )  # fmt: skip
    with frozen(model):
        return problem.margins(images)


class Counted(nn.Module):
    """Counts the images that go through a network."""

    def __init__(self, network):
        super().__init__()
        self.network, self.seen = network, []

    def forward(self, images):
        self.seen.append(len(images))
        return self.network(images)


def attacks(constraint, eps, **changed):
    """Both gradient attacks with the same ball."""
    threat = ThreatModel(constraint=constraint, eps=eps, mask=changed.pop("mask", None))
    return {
        "pgd": lambda *given, **more: pgd(
            *given, threat=threat, step_size=eps / 3, attack_steps=5, **changed, **more
        ),
        "apgd": lambda *given, **more: apgd(
            *given, threat=threat, attack_steps=6, **changed, **more
        ),
    }


@pytest.mark.parametrize("attack", ["pgd", "apgd"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("constraint", RADII)
def test_invariants(constraint, masked, targeted, precision, attack):
    """In the ball, in [0, 1], 8 bits, mask untouched; the model is given back as it was."""
    images, radii = make_eyes(), RADII[constraint] * torch.tensor([1.0, 0.5, 0.0, 2.0, 1.0])
    mask = (torch.rand(5, 1, 6, 7, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    model = SmallNetwork().train()
    model.norm.eval()
    model.head.bias.requires_grad_(False)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = attacks(
        constraint, radii, mask=mask if masked else None, random_start=True, restarts=2,
        eight_bit=True, final_check=True, precision=precision,
        target=1 - LABELS if targeted else None,
    )[attack](model, images, LABELS, generator=torch.Generator().manual_seed(2))  # fmt: skip
    delta = (found - images).flatten(1).double()
    size = delta.norm(dim=1) if constraint == "l2" else delta.abs().amax(1)
    assert (size <= radii * (1 + 1e-6) + 1e-7).all()
    assert 0 <= found.min() <= found.max() <= 1
    torch.testing.assert_close(found * 255, (found * 255).round(), atol=1e-4, rtol=0)
    assert torch.equal(found[2], images[2])
    if masked:
        assert not ((found - images) * (1 - mask)).any()
    assert model.training
    assert not model.norm.training
    assert not model.head.bias.requires_grad
    assert model.head.weight.requires_grad
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.parametrize("attack", ["pgd", "apgd"])
@pytest.mark.parametrize("leave_solved", [False, True])
@pytest.mark.parametrize("constraint", RADII)
def test_batch_equals_singles(constraint, leave_solved, attack):
    """No image moves another, whether it stays or leaves, whatever its radius."""
    model, images = SmallNetwork().eval().double(), make_images().double()
    radii = RADII[constraint] * torch.tensor([1.0, 0.5, 4.0, 2.0, 1.0], dtype=torch.float64)
    how = {"precision": "fp32", "random_start": False, "leave_solved": leave_solved}
    together = attacks(constraint, radii, **how)[attack](model, images, LABELS)
    for i in range(len(images)):
        alone = attacks(constraint, float(radii[i]), **how)[attack](
            model, images[i : i + 1], LABELS[i : i + 1]
        )
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("attack", ["pgd", "apgd"])
@pytest.mark.parametrize("loss", ["margin", "ce"])
@pytest.mark.parametrize("constraint", RADII)
def test_a_flat_network_gives_no_nan(constraint, loss, attack):
    """A gradient of zero has no direction, with momentum or without."""
    images, flat = make_images(), LinearNetwork(6, 7, scale=0.0)
    how = {"loss": loss} | ({"momentum": 0.9} if attack == "pgd" else {})
    start = attacks(constraint, 0.5, random_start=False)
    assert torch.equal(start[attack](flat, images, LABELS, **how), images)


@pytest.mark.parametrize("attack", ["pgd", "apgd"])
def test_restarts_keep_the_worst(attack):
    """From several searches the highest margin comes back, image by image."""
    model, images = SmallNetwork().eval(), make_images()
    how = attacks("l2", 2.0, random_start=True, precision="fp32")
    several = how[attack](
        model, images, LABELS, restarts=4, generator=torch.Generator().manual_seed(3)
    )
    generator = torch.Generator().manual_seed(3)
    singles = [how[attack](model, images, LABELS, generator=generator) for _ in range(4)]
    found = torch.stack([margins(model, single) for single in singles])
    torch.testing.assert_close(margins(model, several), found.amax(0))
    assert (found[-1] < found.amax(0)).any(), "the last restart should not be always the worst"


@pytest.mark.parametrize("attack", ["pgd", "apgd"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_solved_images_leave(precision, attack):
    """The network sees fewer images, and each image that left is solved in fp32."""
    model, images = SmallNetwork().eval(), make_images(count=32, seed=2)
    labels = (torch.arange(32) % 2).float()
    counted = {}
    for leave in (False, True):
        watched = Counted(model)
        how = attacks("l2", 1.5, random_start=False, precision=precision, leave_solved=leave)
        found = how[attack](watched, images, labels)
        counted[leave] = sum(watched.seen), margins(model, found, labels) > 0
    assert counted[True][0] < 0.7 * counted[False][0]
    assert (counted[True][1] >= counted[False][1]).all()
    assert counted[True][1].float().mean() > 0


def test_bf16_does_not_solve_what_fp32_does_not():
    """A margin that only rounding lifts above 0 does not let an image leave."""

    class Lifts(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = SmallNetwork()

        def forward(self, images):
            logit = self.network(images)
            half = torch.is_autocast_enabled("cpu")
            return logit * 0.001 + (5.0 if half else -5.0)

    images, females = make_images(), torch.zeros(5)
    counted = Counted(Lifts().eval())
    threat = ThreatModel(constraint="l2", eps=0.1)
    pgd(
        counted, images, females, threat=threat, step_size=0.1, attack_steps=3,
        leave_solved=True, precision="bf16",
    )  # fmt: skip
    assert counted.seen == [5, 5] * 3 + [5]


def test_the_final_check_gives_back_the_image_where_nothing_is_worse():
    """Steps downhill, as a wrong half-precision gradient would make them, are not kept."""

    class Lies(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = LinearNetwork(6, 7)

        def forward(self, images):
            logit = self.network(images)
            return -logit if torch.is_autocast_enabled("cpu") else logit

    images, threat = make_images(low=0.3, high=0.7), ThreatModel(constraint="l2", eps=0.3)
    how = {"threat": threat, "step_size": 0.1, "attack_steps": 4, "precision": "bf16"}
    assert not torch.equal(pgd(Lies(), images, LABELS, **how), images)
    assert torch.equal(pgd(Lies(), images, LABELS, final_check=True, **how), images)


def test_momentum_equals_a_plain_loop():
    """The direction is the sum of former gradients, each of mean size one, ever fainter."""
    model, images = SmallNetwork().eval().double(), make_images().double()
    threat = ThreatModel(constraint="linf", eps=0.1)
    x, velocity = images.clone(), torch.zeros_like(images)
    for _ in range(5):
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(((1 - 2 * LABELS) * model(x)).sum(), x)
        velocity = 0.7 * velocity + gradient / gradient.abs().mean((1, 2, 3), keepdim=True)
        x = (x.detach() + 0.03 * velocity.sign() - images).clamp(-0.1, 0.1).add(images).clamp(0, 1)
    found = pgd(
        model, images, LABELS, threat=threat, step_size=0.03, attack_steps=5, momentum=0.7,
        keep_best=False, precision="fp32",
    )  # fmt: skip
    torch.testing.assert_close(found, x, atol=1e-6, rtol=0)


def test_decaying_steps_equal_a_plain_loop():
    """Lengths 9, 7, 5, 3, 1 fifths of the one given: as much in all."""
    model, images = SmallNetwork().eval().double(), make_images().double()
    x = images.clone()
    for length in (0.18, 0.14, 0.1, 0.06, 0.02):
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(((1 - 2 * LABELS) * model(x)).sum(), x)
        unit = gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        delta = x.detach() + length * unit - images
        delta = delta * (0.3 / delta.flatten(1).norm(dim=1)).clamp(max=1).view(-1, 1, 1, 1)
        x = (images + delta).clamp(0, 1)
    found = pgd(
        model, images, LABELS, threat=ThreatModel(constraint="l2", eps=0.3), step_size=0.1,
        attack_steps=5, decay="linear", keep_best=False, precision="fp32",
    )  # fmt: skip
    torch.testing.assert_close(found, x, atol=1e-6, rtol=0)


def test_ce_stops_where_it_saturates_and_the_margin_does_not():
    """Far on the right side cross-entropy has no gradient in float32; the search then stands."""
    sure, images = LinearNetwork(6, 7), make_images(low=0.3, high=0.7)
    sure.bias.data.fill_(200.0)
    males, threat = torch.ones(5), ThreatModel(constraint="l2", eps=0.2)
    how = {"threat": threat, "step_size": 0.1, "attack_steps": 3, "precision": "fp32"}
    assert torch.equal(pgd(sure, images, males, loss="ce", **how), images)
    assert (pgd(sure, images, males, loss="margin", **how) != images).any()


@pytest.mark.parametrize("constraint", RADII)
def test_8_bits_stay_as_long_as_the_ball_allows(constraint):
    """Rounding costs little of the budget: most of it is used, none of it exceeded."""
    images = (make_images(count=4, height=20, width=20, low=0.3, high=0.7) * 255).round() / 255
    for eps in (0.05, 0.2, 1.0) if constraint == "l2" else (1.5 / 255, 4 / 255):
        threat = ThreatModel(constraint=constraint, eps=eps)
        moved = threat.random_start(images, torch.Generator().manual_seed(0))
        delta = (threat.to_8bit(images, moved) - images).flatten(1).double()
        size = delta.norm(dim=1) if constraint == "l2" else delta.abs().amax(1)
        assert (size <= eps + 1e-7).all()
        if constraint == "l2" and eps >= 0.2:
            assert (size > 0.95 * eps).all()


def test_8_bits_need_8_bits():
    """A float image cannot be rounded without perhaps leaving its ball."""
    threat = ThreatModel(constraint="l2", eps=0.1)
    with pytest.raises(InputError, match="must be 8-bit pictures"):
        threat.to_8bit(make_images(), make_images())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"restarts": 0}, "restarts=0: must be at least 1"),
        ({"restarts": 2}, "restarts=2: need random_start"),
        ({"momentum": -1.0}, "momentum=-1.0: must be a finite number"),
        ({"decay": "cosine"}, "decay=cosine: allowed: none, linear"),
        ({"loss": "dlr"}, "loss=dlr: allowed: margin, ce"),
        ({"step_size": torch.ones(4)}, r"step_size: shape must be \(5,\) or one number"),
        ({"step_size": torch.tensor([1, 1, -1.0, 1, 1])}, "step_size=-1.0: must be"),
        ({"threat": ThreatModel(constraint="l2", eps=torch.ones(4))}, "4 radii for 5 images"),
    ],
)
def test_pgd_refuses(given, message):
    """Each wrong input ends in one line."""
    usual = {
        "threat": ThreatModel(constraint="l2", eps=1.0), "step_size": 1.0, "attack_steps": 1
    }  # fmt: skip
    with pytest.raises(InputError, match=message):
        pgd(SmallNetwork(), make_images(), LABELS, **usual | given)


def test_radii_of_their_own_are_refused_like_one():
    """Negative, infinite, of a wrong shape."""
    for eps, message in (
        (torch.tensor([1.0, -2.0]), "eps=-2.0: must be a finite number"),
        (torch.tensor([1.0, torch.inf]), "eps=inf"),
        (torch.ones(2, 1), r"eps: shape must be \(N,\), not \(2, 1\)"),
    ):
        with pytest.raises(InputError, match=message):
            ThreatModel(constraint="l2", eps=eps)


@pytest.mark.parametrize("constraint", RADII)
def test_a_given_start_is_where_the_climb_begins(constraint):
    """No step: the start, brought into ball, mask and [0, 1]; kept where nothing beats it."""
    model, images = SmallNetwork().eval(), make_eyes()
    mask = (torch.rand(5, 1, 6, 7, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    threat = ThreatModel(constraint=constraint, eps=RADII[constraint], mask=mask)
    start = images + 0.4 * torch.randn(images.shape, generator=torch.Generator().manual_seed(2)).to(
        images
    )
    how = {"threat": threat, "step_size": RADII[constraint] / 4, "precision": "fp32"}
    begun = pgd(model, images, LABELS, start=start, attack_steps=0, keep_best=False, **how)
    wanted = threat.project(images, images + mask * (start - images))
    torch.testing.assert_close(begun, wanted)
    assert torch.equal(begun * (1 - mask), images * (1 - mask))
    on = pgd(model, images, LABELS, start=begun, attack_steps=4, final_check=True, **how)
    assert (margins(model, on) >= margins(model, begun) - 1e-5).all()
    still = how | {"step_size": 0.0}
    held = pgd(model, images, LABELS, start=begun, attack_steps=1, final_check=True, **still)
    torch.testing.assert_close(held, begun)


def test_a_start_is_given_or_drawn():
    """Not both, and for these images."""
    images, how = make_eyes(), {"step_size": 0.1, "attack_steps": 1}
    ball = ThreatModel(constraint="l2", eps=0.5)
    with pytest.raises(InputError, match="start: give one, or random_start, not both"):
        pgd(SmallNetwork(), images, LABELS, threat=ball, start=images, random_start=True, **how)
    with pytest.raises(
        InputError, match=r"start: shape must be \(5, 3, 6, 7\), not \(4, 3, 6, 7\)"
    ):
        pgd(SmallNetwork(), images, LABELS, threat=ball, start=images[:4], **how)
