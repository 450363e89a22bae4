"""A folded network is the same network, and attacks use it where it pays."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from fundus_ml.attacks import ThreatModel, apgd, frozen, minimum_norm, pgd
from fundus_ml.attacks.folding import folded
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
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


@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v3_small", "densenet121"])
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
    ("bf16", 10, True), ("bf16", 9, False), ("fp32", 10, False),
])  # fmt: skip
def test_only_long_attacks_below_fp32_fold(monkeypatch, attack, precision, steps, folds):
    """Elsewhere the passes are those of the network that was given."""
    model, images = SmallNetwork().eval(), make_images(count=4)
    labels = (model(images) > 0).float().detach()
    made = []
    monkeypatch.setattr(
        "fundus_ml.attacks.search.folded", lambda net: made.append(folded(net)) or made[-1]
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
