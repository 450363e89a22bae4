"""The smallest change: a closed form on a linear network, PGD at its two sides elsewhere."""

import pytest
import torch
from torch import nn

from fundus_ml.attacks import ThreatModel, frozen, minimum_norm, pgd
from fundus_ml.attacks.folding import FEWEST_STEPS
from fundus_ml.errors import InputError
from tests.fundus_ml.tiny_learning import LinearNetwork, SmallNetwork, make_images

CONSTRAINTS = ["l2", "linf"]


def named(model, images):
    """The classes the network names, in fp32."""
    with torch.no_grad(), frozen(model):
        return (model(images) > 0).float()


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_linear_network_has_a_closed_form(precision, masked, constraint):
    """The logit over the dual length of the weight, of what the mask allows, within 1 %."""
    model, images = LinearNetwork(6, 7), make_images(count=12, low=0.4, high=0.6)
    mask = (torch.arange(7) < 4).float().expand(6, 7) if masked else torch.ones(6, 7)
    weight = model.weight.detach() * mask
    with torch.no_grad():
        model.bias -= model(images).mean()
        logit = model(images)
    found = minimum_norm(
        model, images, (logit > 0).float(), constraint=constraint,
        mask=mask if masked else None, precision=precision,
    )  # fmt: skip
    length = weight.norm() if constraint == "l2" else weight.abs().sum()
    torch.testing.assert_close(found.eps, logit.abs() / length, rtol=0.01, atol=1e-6)
    assert not ((found.x_adv - images) * (1 - mask)).any()


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("targeted", [False, True])
def test_it_is_where_pgd_begins_to_succeed(targeted, constraint):
    """PGD turns every image a little beyond it, and none of them well inside."""
    model, images = SmallNetwork(seed=1).eval(), make_images(count=24, seed=5)
    with torch.no_grad():
        model.head.bias -= model(images).median() / 4
    labels = named(model, images)
    target = 1 - labels if targeted else None
    found = minimum_norm(
        model, images, labels, constraint=constraint, target=target, precision="fp32"
    )
    assert float(found.eps.min()) < 1e-3, "one lies on the boundary"
    assert torch.isfinite(found.eps).all()
    assert (named(model, found.x_adv) != labels).all()
    assert 0 <= found.x_adv.min() <= found.x_adv.max() <= 1
    delta = (found.x_adv - images).flatten(1)
    size = delta.norm(dim=1) if constraint == "l2" else delta.abs().amax(1)
    torch.testing.assert_close(size, found.eps)
    for radii, flipped in ((1.05 * found.eps + 1e-4, 1.0), (0.9 * found.eps, 0.0)):
        x_adv = pgd(
            model, images, labels, threat=ThreatModel(constraint=constraint, eps=radii),
            step_size=radii / 10, attack_steps=100, precision="fp32",
        )  # fmt: skip
        assert float((named(model, x_adv) != labels).float().mean()) == flipped


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_what_is_wrong_already_needs_nothing(constraint):
    """Zero, and the image itself."""
    model, images = SmallNetwork().eval(), make_images()
    wrong = 1 - named(model, images)
    found = minimum_norm(model, images, wrong, constraint=constraint)
    assert not found.eps.any()
    assert torch.equal(found.x_adv, images)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_what_cannot_be_turned_is_infinite(constraint):
    """A flat network, and one too sure for any picture: no NaN, the image back."""
    images, males = make_images(), torch.ones(5)
    sure = LinearNetwork(6, 7, scale=0.01)
    sure.bias.data.fill_(50.0)
    for model in (LinearNetwork(6, 7, scale=0.0), sure):
        found = minimum_norm(model, images, males, constraint=constraint, attack_steps=20)
        assert torch.isinf(found.eps).all()
        assert torch.equal(found.x_adv, images)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_invariants(constraint, masked, targeted, precision):
    """Solved in fp32, as large as said, in [0, 1], each image's own mask untouched, repeatable."""
    model, images = SmallNetwork(seed=1), make_images(count=12, seed=5)
    mask = (torch.rand(12, 1, 6, 7, generator=torch.Generator().manual_seed(1)) < 0.7).float()
    with torch.no_grad(), frozen(model):
        model.head.bias -= model(images).median() / 4
    labels = named(model, images)
    given = {
        "constraint": constraint, "mask": mask if masked else None, "precision": precision,
        "target": 1 - labels if targeted else None, "attack_steps": 40,
    }  # fmt: skip
    found = minimum_norm(model, images, labels, **given)
    flipped = torch.isfinite(found.eps)
    assert flipped.float().mean() > 0.7
    assert ((named(model, found.x_adv) != labels) == flipped).all()
    assert torch.equal(found.x_adv[~flipped], images[~flipped])
    assert 0 <= found.x_adv.min() <= found.x_adv.max() <= 1
    delta = found.x_adv - images
    size = delta.flatten(1).norm(dim=1) if constraint == "l2" else delta.abs().amax((1, 2, 3))
    torch.testing.assert_close(size[flipped], found.eps[flipped])
    if masked:
        assert not (delta * (1 - mask)).any()
    again = minimum_norm(model, images, labels, **given)
    assert torch.equal(again.x_adv, found.x_adv)


class UnevenLogit(nn.Module):
    """Rounds otherwise where an image is alone, as other kernels do for other sizes of batch."""

    def __init__(self, rounding):
        super().__init__()
        self.network, self.rounding = SmallNetwork(seed=1), rounding

    def forward(self, images):
        return self.network(images) + (self.rounding if len(images) == 1 else 0)


@pytest.mark.parametrize("rounding", [2e-5, -2e-5])
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_rounding_in_another_batch_does_not_undo_it(constraint, rounding):
    """What was found among many is solved when the network sees it alone."""
    model, images = UnevenLogit(rounding).eval(), make_images(count=40, seed=5)
    with torch.no_grad():
        model.network.head.bias -= model(images).median() / 4
        images = images[model(images).abs() > 0.02]
    assert len(images) > 15
    labels = named(model, images)
    found = minimum_norm(model, images, labels, constraint=constraint, precision="fp32")
    assert torch.isfinite(found.eps).all()
    alone = torch.cat([named(model, x_adv[None]) for x_adv in found.x_adv])
    assert (alone != labels).all()


def test_only_what_stands_is_searched():
    """Images that are wrong already are scored once and cost no step."""
    model, images = SmallNetwork(seed=1).eval(), make_images(count=12, seed=5)
    labels = named(model, images)
    labels[:5] = 1 - labels[:5]
    seen = []
    model.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    how = {"attack_steps": FEWEST_STEPS - 1, "precision": "fp32"}
    found = minimum_norm(model, images, labels, constraint="l2", **how)
    assert seen[0] == 12
    assert max(seen[1:]) == 7
    assert not found.eps[:5].any()
    assert (found.eps[5:] > 0).all()


def test_batch_equals_singles_and_the_model_comes_back():
    """No image moves another; modes, gradients and statistics stay."""
    model, images = SmallNetwork().train(), make_images().double()
    model.double()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    labels = named(model, images).double()
    together = minimum_norm(model, images, labels, constraint="l2", precision="fp32").eps
    alone = [
        minimum_norm(
            model, images[i : i + 1], labels[i : i + 1], constraint="l2", precision="fp32"
        ).eps
        for i in (0, 3)
    ]
    torch.testing.assert_close(together[[0, 3]], torch.cat(alone), rtol=1e-4, atol=1e-7)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"attack_steps": 0}, "attack_steps=0: must be at least 1"),
        ({"constraint": "l1"}, "constraint=l1: allowed: l2, linf"),
        ({"mask": torch.ones(3, 3)}, r"mask: shape \(3, 3\) does not fit"),
    ],
)
def test_it_refuses(given, message):
    """Each wrong input ends in one line."""
    with pytest.raises(InputError, match=message):
        minimum_norm(SmallNetwork(), make_images(), torch.ones(5), **{"constraint": "l2"} | given)
