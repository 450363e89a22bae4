"""A folded network is the same network, and attacks use it where it pays."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn
from torch.nn.functional import batch_norm

from fundus_ml.attacks import ThreatModel, apgd, frozen, minimum_norm, pgd
from fundus_ml.attacks.folding import folded
from fundus_ml.attacks.search import Problem
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from fundus_ml.models.ensembles import Ensemble
from tests.fundus_ml.tiny_learning import SmallNetwork, make_images


def make_network(arch):
    """A backbone whose BatchNorms have seen images, so that none is the identity."""
    spec = ClassifierSpec(
        arch=arch, head_hidden=8, mean=(0.3, 0.2, 0.1), std=(0.2, 0.2, 0.1), size=32
    )
    model = make_classifier(spec, seed=1).train()
    with torch.no_grad():
        model(make_images(count=6, height=32, width=40))
    return model.eval()


@pytest.mark.parametrize(
    "arch", ["resnet18", "mobilenet_v3_small", "densenet121", "efficientnet_lite0"]
)
def test_same_logits_and_gradients(arch):
    """In fp32, to rounding; the network itself stays what it was."""
    model, images = make_network(arch), make_images(count=4, height=32, width=40)
    before = deepcopy(model.state_dict())
    with frozen(model):
        quick = folded(model)
        found = []
        for network in (model, quick):
            x = images.clone().requires_grad_()
            logit = network(x)
            found.append((logit.detach(), torch.autograd.grad(logit.sum(), x)[0]))
        assert not any(parameter.requires_grad for parameter in quick.parameters())
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for net in (model, quick)]
    assert norms[1] < norms[0]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("arch", ["resnet18", "efficientnet_lite0", "test_resnet"])
def test_no_norm_is_left_and_weights_learn_as_before(arch):
    """timm's norms hold an activation, which stays; a frozen layer stays frozen."""
    model = make_network(arch)
    last = list(model.backbone.modules())[-1]
    model.requires_grad_(False)
    last.requires_grad_()
    quick = folded(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in quick.modules())
    assert not [node for node in quick.graph.nodes if node.target is batch_norm]
    asking = [name for name, tensor in quick.named_parameters() if tensor.requires_grad]
    assert asking == [name for name, tensor in model.named_parameters() if tensor.requires_grad]
    assert asking
    images = make_images(count=4, height=32, width=40)
    with torch.no_grad():
        torch.testing.assert_close(quick(images), model(images), rtol=1e-4, atol=1e-5)


def test_timms_activation_stays():
    """A norm with and without one, which a logit at zero would not tell apart."""
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        BatchNormAct2d(4),
        nn.Conv2d(4, 5, 3),
        BatchNormAct2d(5, apply_act=False),
    ).eval()
    with torch.no_grad():
        for norm in (network[1], network[3]):
            norm.running_mean.normal_()
            norm.bias.normal_()
    images = make_images(count=2, height=8, width=9)
    quick = folded(network)
    torch.testing.assert_close(quick(images), network(images), rtol=1e-4, atol=1e-5)
    assert isinstance(network[1], BatchNormAct2d)


@pytest.mark.parametrize("arch", ["resnet18", "test_resnet"])
def test_a_network_that_is_called_twice_is_folded_once(arch):
    """An image and its mirror image go through the same layers."""
    one = make_network(arch)
    both = make_classifier(replace(one.spec, both_flips=True), seed=0).eval()
    both.load_state_dict(one.state_dict())
    images = make_images(count=4, height=32, width=40)
    quick = folded(both)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in quick.modules())
    with torch.no_grad():
        wanted = (one(images) + one(images.flip(3))) / 2
        torch.testing.assert_close(quick(images), wanted, rtol=1e-4, atol=1e-5)


def test_every_member_of_an_ensemble_is_folded():
    """Once: what is folded, or has nothing to fold, comes back as it is."""
    members, images = (
        [make_network("resnet18"), make_network("test_resnet")],
        make_images(4, 32, 32),
    )
    ensemble = Ensemble(members).eval()
    before = deepcopy(ensemble.state_dict())
    quick = folded(ensemble)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in quick.modules())
    assert folded(quick) is quick
    x = images.clone().requires_grad_()
    wanted, found = (
        (logit.detach(), torch.autograd.grad(logit.sum(), x)[0])
        for logit in (ensemble(x), quick(x))
    )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert list(ensemble.members) == members
    stuck = Ensemble([nn.Sequential(nn.BatchNorm2d(3), Undecided()) for _ in range(2)]).eval()
    assert folded(stuck) is stuck
    assert all(torch.equal(value, before[name]) for name, value in ensemble.state_dict().items())


class Shared(nn.Module):
    """One convolution before two norms, and its output read beside a norm."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.other = nn.Conv2d(3, 4, 3)
        self.first, self.second, self.third = (nn.BatchNorm2d(4) for _ in range(3))

    def forward(self, images):
        """Mean of all."""
        pair = self.first(self.convolution(images)) + self.second(self.convolution(images / 2))
        beside = self.other(images)
        return (pair + beside * self.third(beside)).mean((1, 2, 3))


def test_a_layer_that_others_read_too_stays():
    model = Shared().eval()
    with torch.no_grad():
        for norm in (model.first, model.second, model.third):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
        images = make_images(count=2, height=8, width=9)
        torch.testing.assert_close(folded(model)(images), model(images))


def test_nothing_left_to_fold():
    """Folding what is folded copies nothing: a path of budgets folds once."""
    quick = folded(make_network("resnet18"))
    assert folded(quick) is quick


class Undecided(nn.Module):
    """Cannot be traced: what it does depends on what it sees."""

    def forward(self, images):
        """Mean of the images, doubled where it is large."""
        mean = images.mean((1, 2, 3))
        return 2 * mean if mean.max() > 0.5 else mean


def test_what_cannot_be_traced_stays():
    """The network itself comes back, and is attacked as it is."""
    model, images = Undecided(), make_images()
    assert folded(model) is model
    x_adv = pgd(
        model, images, torch.zeros(5), threat=ThreatModel(constraint="l2", eps=0.5),
        step_size=0.1, attack_steps=12, precision="bf16",
    )  # fmt: skip
    assert (model(x_adv) > model(images)).all()


@pytest.mark.parametrize("attack", ["pgd", "apgd", "minimum_norm"])
@pytest.mark.parametrize(("precision", "steps", "folds"), [
    ("bf16", 10, True), ("bf16", 9, False), ("fp32", 10, True), ("fp32", 9, False),
])  # fmt: skip
def test_only_long_attacks_fold(monkeypatch, attack, precision, steps, folds):
    """Elsewhere the passes are those of the network that was given."""
    model, images = SmallNetwork().eval(), make_images(count=4)
    labels = (model(images) > 0).float().detach()
    made = []
    monkeypatch.setattr(
        "fundus_ml.attacks.folding.folded", lambda net: made.append(folded(net)) or made[-1]
    )
    how = {"attack_steps": steps, "precision": precision}
    ball = ThreatModel(constraint="l2", eps=0.2)
    if attack == "pgd":
        x_adv = pgd(model, images, labels, threat=ball, step_size=0.05, **how)
    elif attack == "apgd":
        x_adv = apgd(model, images, labels, threat=ball, **how)
    else:
        x_adv = minimum_norm(model, images, labels, constraint="l2", **how).x_adv
    assert bool(made) is folds
    gained = (1 - 2 * labels) * (model(x_adv) - model(images)).detach()
    assert (gained > 0).all()


def make_problem(model, images):
    return Problem.make(
        model, images, torch.zeros(len(images)), target=None, precision="fp32",
        threat=ThreatModel(constraint="l2", eps=0.5),
    )  # fmt: skip


def test_a_folded_network_that_scores_otherwise_is_not_used(monkeypatch):
    """The search keeps the network itself."""
    model, images = SmallNetwork().eval(), make_images()
    other = folded(SmallNetwork(seed=7).eval())
    with frozen(model):
        assert make_problem(model, images).quickened().quick is not None
        monkeypatch.setattr("fundus_ml.attacks.folding.folded", lambda _: other)
        assert make_problem(model, images).quickened().quick is None


class Opposite(nn.Module):
    """Names the other class than a network does."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return -self.network(images)


def test_what_is_solved_is_told_by_the_network_itself():
    """Also in fp32, where a folded network's margin may lie across the boundary by rounding."""
    model, images = SmallNetwork().eval(), make_images(count=4)
    with torch.no_grad():
        model.head.bias -= model(images).median() / 4
    problem = replace(make_problem(model, images), quick=Opposite(model))
    with torch.no_grad():
        logit = model(images)
    torch.testing.assert_close(problem.margins(images), -logit)
    torch.testing.assert_close(problem.margins(images, exact=True), logit)
    assert torch.equal(problem.solved(images, torch.ones(4)), logit > 0)
    assert 0 < (logit > 0).sum() < 4
