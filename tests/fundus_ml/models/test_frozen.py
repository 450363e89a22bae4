"""A classifier cut after its frozen layers computes what it did whole."""

import pytest
import torch
from torch import nn

from fundus_ml.errors import InputError
from fundus_ml.models.backbones import frozen_layers
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from fundus_ml.models.frozen import cut
from fundus_ml.models.options import BAG, HEADS
from tests.fundus_ml.tiny_learning import make_images

SIDE = 48


def classifier(arch="test_resnet", *, seed=0, **changed):
    usual = {
        "arch": arch, "head_hidden": 5, "mean": (0.3, 0.2, 0.1), "std": (0.3, 0.2, 0.15),
        "size": SIDE,
    }  # fmt: skip
    made = make_classifier(ClassifierSpec(**usual | changed), seed=seed).eval()
    for module in made.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.uniform_(-0.1, 0.1)
    return made


def both_views(frozen, images):
    return torch.stack([frozen(images), frozen(images.flip(3))], dim=1)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    ("arch", "freeze"),
    [
        ("test_resnet", "backbone"),
        ("test_resnet", "1"),
        ("test_resnet", "3"),
        ("test_convnext", "3"),
        ("test_efficientnet", "1"),
        *(
            pytest.param(arch, freeze, marks=pytest.mark.slow)
            for arch, freeze in (
                ("test_convnext", "backbone"),
                ("test_convnext", "1"),
                ("test_efficientnet", "backbone"),
                ("test_efficientnet", "3"),
            )
        ),
    ],
)
def test_both_parts_compute_what_the_whole_does(arch, freeze, head):
    """For an image, and for it and its mirror image where these are averaged."""
    images = make_images(3, SIDE, SIDE)
    if head == BAG and freeze == "3":
        freeze = "1"  # it keeps no more levels
    for both_flips in (False, True):
        whole = classifier(arch, head=head, both_flips=both_flips)
        frozen, trained = cut(whole, freeze, side=SIDE)
        with torch.no_grad():
            found = trained.eval()(both_views(frozen, images))
            torch.testing.assert_close(found, whole(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("freeze", ["backbone", "2"])
def test_what_was_learned_comes_back(freeze, head):
    whole = classifier(head=head)
    before = {name: value.clone() for name, value in whole.state_dict().items()}
    frozen, trained = cut(whole, freeze, side=SIDE)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.1)
    assert all(torch.equal(value, before[name]) for name, value in whole.state_dict().items())
    trained.give_back(whole)
    images = make_images(2, SIDE, SIDE)
    with torch.no_grad():
        torch.testing.assert_close(trained.eval()(frozen(images)), whole(images))
    changed = {n for n, value in whole.state_dict().items() if not torch.equal(value, before[n])}
    assert changed
    assert not any(name.startswith(("backbone.conv1", "backbone.layer1")) for name in changed)


def test_the_last_layer_of_torchvisions_networks_learns_too():
    whole = classifier("resnet18")
    _, trained = cut(whole, "backbone", side=SIDE)
    names = {name for name, _ in trained.named_parameters()}
    assert names == {"last.weight", "last.bias", "head.1.weight", "head.1.bias"}


def test_a_vision_transformer_is_not_cut_between_its_blocks():
    assert cut(classifier("test_vit"), "2", side=SIDE) is None
    assert cut(classifier("test_vit"), "backbone", side=SIDE) is not None


def test_the_layers_of_a_level_are_named():
    """Everything up to the end of the level, in the order it runs."""
    network = classifier("efficientnet_lite0", head="multiscale").backbone
    assert frozen_layers(network, "3") == ["conv_stem", "bn1", "blocks.0", "blocks.1", "blocks.2"]


@pytest.mark.parametrize(
    ("arch", "freeze", "line"),
    [
        ("test_resnet", "6", "freeze=6: the backbone has levels 1 to 5"),
        ("resnet18", "2", "freeze=2: torchvision's networks name no levels"),
    ],
)
def test_levels_that_are_not_there_are_refused(arch, freeze, line):
    with pytest.raises(InputError, match=line):
        cut(classifier(arch), freeze, side=SIDE)
