"""Random squares: inside the ball, without a gradient, ever better, near the best there is."""

import pytest
import torch
from torch import nn

from fundus_ml.attacks import ThreatModel, frozen, square
from fundus_ml.attacks.square_search import HALVED_AFTER, share_of_pixels
from fundus_ml.errors import InputError
from tests.fundus_ml.tiny_learning import LinearNetwork, SmallNetwork, make_images

LABELS = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0])
RADII = {"l2": 0.5, "linf": 8 / 255}


def seeded(seed=0):
    """A generator of its own."""
    return torch.Generator().manual_seed(seed)


def gained(model, images, x_adv, labels=LABELS):
    """How much the margin rose."""
    aim = 1 - 2 * labels
    with torch.no_grad(), frozen(model):
        return aim * (model(x_adv) - model(images))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("constraint", RADII)
def test_invariants(constraint, masked, targeted, precision):
    """In the ball, in [0, 1], mask untouched; repeatable; the model is given back as it was."""
    images, radii = make_images(), RADII[constraint] * torch.tensor([1.0, 0.5, 0.0, 2.0, 1.0])
    mask = (torch.rand(5, 1, 6, 7, generator=seeded(1)) < 0.5).float()
    threat = ThreatModel(constraint=constraint, eps=radii, mask=mask if masked else None)
    model = SmallNetwork().train()
    state = {name: value.clone() for name, value in model.state_dict().items()}

    def found():
        return square(
            model, images, LABELS, threat=threat, queries=40, leave_solved=False,
            target=1 - LABELS if targeted else None, precision=precision, generator=seeded(2),
        )  # fmt: skip

    x_adv = found()
    delta = (x_adv - images).flatten(1).double()
    size = delta.norm(dim=1) if constraint == "l2" else delta.abs().amax(1)
    assert (size <= radii * (1 + 1e-5) + 1e-7).all()
    assert 0 <= x_adv.min() <= x_adv.max() <= 1
    assert torch.equal(x_adv[2], images[2])
    if masked:
        assert not ((x_adv - images) * (1 - mask)).any()
    assert torch.equal(found(), x_adv)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.parametrize("constraint", RADII)
def test_no_gradient_is_taken(constraint):
    """A network that has none is attacked as well as the same network with one."""

    class Stairs(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = SmallNetwork()

        def forward(self, images):
            assert not torch.is_grad_enabled()
            return self.network(images).detach()

    images, threat = make_images(), ThreatModel(constraint=constraint, eps=RADII[constraint])
    how = {"threat": threat, "queries": 30, "precision": "fp32"}
    found = square(Stairs(), images, LABELS, **how, generator=seeded())
    same = square(SmallNetwork(), images, LABELS, **how, generator=seeded())
    assert torch.equal(found, same)


@pytest.mark.parametrize("leave_solved", [False, True])
@pytest.mark.parametrize("constraint", RADII)
def test_an_image_does_not_move_another(constraint, leave_solved):
    """Each draws for itself: the same squares come, whoever else is there or has left."""
    model, images = SmallNetwork().eval().double(), make_images(count=5).double()
    how = {
        "threat": ThreatModel(constraint=constraint, eps=4 * RADII[constraint]),
        "queries": 60, "leave_solved": leave_solved, "precision": "fp32",
    }  # fmt: skip
    together = square(model, images, LABELS, **how, generator=seeded(4))
    first = square(model, images[:3], LABELS[:3], **how, generator=seeded(4))
    torch.testing.assert_close(together[:3], first, atol=1e-9, rtol=0)


@pytest.mark.parametrize(("constraint", "share"), [("l2", 0.3), ("linf", 0.4)])
def test_more_queries_find_more(constraint, share):
    """Never less than fewer, and in the end a good part of the best there is."""
    model, images = LinearNetwork(6, 7), make_images(low=0.4, high=0.6)
    weight, eps = model.weight.detach(), {"l2": 0.2, "linf": 0.05}[constraint]
    best = eps * float(weight.norm() if constraint == "l2" else weight.abs().sum())
    threat, before = ThreatModel(constraint=constraint, eps=eps), torch.zeros(5)
    for queries in (1, 10, 100, 500):
        x_adv = square(
            model, images, LABELS, threat=threat, queries=queries, leave_solved=False,
            precision="fp32", generator=seeded(),
        )  # fmt: skip
        gain = gained(model, images, x_adv)
        assert (gain >= before - 1e-5).all()
        before = gain
    assert (before <= best * (1 + 1e-4)).all()
    assert (before > share * best).all()


def test_solved_images_leave():
    """The last queries see only those that stand."""
    model, seen = SmallNetwork().eval(), []
    model.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    images, labels = make_images(count=16, seed=2), (torch.arange(16) % 2).float()
    threat = ThreatModel(constraint="l2", eps=2.0)
    square(model, images, labels, threat=threat, queries=50, precision="fp32", generator=seeded())
    assert seen[-2] < 16


@pytest.mark.parametrize("leave_solved", [False, True])
def test_no_images_are_no_trouble(leave_solved):
    """An empty batch comes back empty."""
    threat = ThreatModel(constraint="l2", eps=1.0)
    found = square(
        SmallNetwork(), make_images(count=0), torch.zeros(0),
        threat=threat, queries=3, leave_solved=leave_solved,
    )  # fmt: skip
    assert found.shape == (0, 3, 6, 7)


@pytest.mark.parametrize("constraint", RADII)
def test_squares_fall_where_the_mask_allows_them(constraint):
    """Every point tried differs from the image, though the mask is a corner of it."""
    images, mask, tried = (
        make_images(low=0.4, high=0.6, height=20, width=21),
        torch.zeros(20, 21),
        [],
    )
    mask[16:, 17:] = 1
    model = LinearNetwork(20, 21)
    model.register_forward_pre_hook(lambda _, given: tried.append(given[0].clone()))
    threat = ThreatModel(constraint=constraint, eps=RADII[constraint], mask=mask)
    square(
        model, images, LABELS, threat=threat, queries=300, leave_solved=False, final_check=False,
        precision="fp32", generator=seeded(),
    )  # fmt: skip
    moved = torch.stack(tried[1:]) != images
    assert moved.flatten(2).any(dim=2).all()
    reached = moved.any(dim=0).any(dim=0).any(dim=0)
    assert torch.equal(reached, mask.bool())


@pytest.mark.parametrize("constraint", RADII)
def test_a_flat_network_gives_no_nan(constraint):
    """Nothing is gained, so that the image itself comes back or a point as good."""
    images, threat = make_images(), ThreatModel(constraint=constraint, eps=0.5)
    flat = LinearNetwork(6, 7, scale=0.0)
    assert torch.isfinite(square(flat, images, LABELS, threat=threat, queries=5)).all()


def test_squares_shrink_as_in_the_paper():
    """Half the share after each of its numbers of queries."""
    shares = [share_of_pixels(end + 1, 0.8) for end in HALVED_AFTER]
    assert shares == [0.8 / 2 ** (place + 1) for place in range(len(HALVED_AFTER))]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"queries": 0}, "queries=0: must be at least 1"),
        ({"p_init": 0.0}, "p_init=0.0: must be above 0 and at most 1"),
        ({"p_init": 1.5}, "p_init=1.5: must be above 0"),
    ],
)
def test_it_refuses(given, message):
    """Each wrong input ends in one line."""
    threat = ThreatModel(constraint="l2", eps=1.0)
    with pytest.raises(InputError, match=message):
        square(SmallNetwork(), make_images(), LABELS, threat=threat, **{"queries": 5} | given)
