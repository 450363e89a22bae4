"""A feature extractor is the backbone up to its last layer, whatever the family."""

import copy

import pytest
import torch

from fundus_ml.models.backbones import of_torchvision
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from fundus_ml.models.feature_extractor import FeatureExtractor, last_layer
from tests.fundus_ml.tiny_learning import make_images

ENDING_IN_A_LINEAR_LAYER = (
    "alexnet",
    "mobilenet_v3_small",
    "resnet18",
    "shufflenet_v2_x0_5",
    "swin_t",
)
OTHERS = (
    "convnext_tiny", "densenet121", "efficientnet_b0", "mnasnet0_5", "mobilenet_v2",
    "regnet_y_400mf",
)  # fmt: skip


def make(arch, *, head_hidden=5, seed=0):
    """An untrained classifier in evaluation mode."""
    channels = {"mean": (0.3, 0.2, 0.1), "std": (0.3, 0.2, 0.1)}
    spec = ClassifierSpec(arch=arch, head_hidden=head_hidden, size=64, **channels)
    return make_classifier(spec, seed=seed).eval()


@pytest.mark.parametrize(
    "arch", [*ENDING_IN_A_LINEAR_LAYER, *(pytest.param(o, marks=pytest.mark.slow) for o in OTHERS)]
)
def test_the_last_layer_reads_the_trunk(arch):
    """Feature extractor, last layer and head are the classifier."""
    classifier = make(arch)
    extractor = FeatureExtractor(classifier).eval()
    images = make_images(2, 64, 72)
    with torch.inference_mode():
        features = extractor(images)
        last = classifier.backbone.get_submodule(last_layer(classifier))
        logit = classifier.head(last(features)).squeeze(1)
        assert features.shape == (2, extractor.width)
        torch.testing.assert_close(logit, classifier(images))


def test_a_last_layer_that_is_a_convolution():
    """SqueezeNet classifies each place and then takes the mean; so does its feature extractor's
    identity."""
    classifier = make("squeezenet1_1")
    extractor = FeatureExtractor(classifier).eval()
    images = make_images(2, 64, 64)
    with torch.inference_mode():
        normal = (images - classifier.mean) / classifier.std
        places = classifier.backbone.features(normal).relu()
        torch.testing.assert_close(extractor(images), places.mean(dim=(2, 3)))


def test_give_back_fills_all_but_the_last_layer_and_the_head():
    """What was learned arrives, the rest keeps its random weights."""
    classifier = make("squeezenet1_1")
    before = copy.deepcopy(classifier.state_dict())
    extractor = FeatureExtractor(classifier)
    with torch.no_grad():
        for parameter in extractor.parameters():
            parameter.add_(1)
    assert all(torch.equal(value, before[k]) for k, value in classifier.state_dict().items())
    extractor.give_back(classifier)
    for name, value in classifier.state_dict().items():
        kept = name in {"mean", "std"} or name.startswith(("head.", "backbone.classifier.1."))
        assert torch.equal(value, before[name] if kept else before[name] + 1), name


@pytest.mark.slow
@pytest.mark.parametrize("arch", sorted(of_torchvision()))
def test_every_backbone_has_a_trunk(arch):
    """The layer that is taken away is the one whose outputs are the head's inputs."""
    classifier = make(arch, head_hidden=7)
    last = classifier.backbone.get_submodule(last_layer(classifier))
    assert last.weight.shape[:2] == (7, FeatureExtractor(classifier).width)
