"""Any backbone, one logit: shapes, normalisation and seeds."""

import pytest
import torch
import torchattacks
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from fundus_ml.errors import InputError
from fundus_ml.models.backbones import of_torchvision
from fundus_ml.models.classifiers import (
    Classifier,
    ClassifierSpec,
    make_classifier,
    two_logits,
)
from tests.fundus_ml.tiny_learning import SmallNetwork, make_images

FAMILIES = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "mnasnet0_5",
    "mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "vgg11",
)  # fmt: skip


def make_spec(arch="mobilenet_v3_small", **changed):
    """A small spec whose three channels differ."""
    usual = {
        "arch": arch, "head_hidden": 7, "mean": (0.3, 0.2, 0.1), "std": (0.3, 0.2, 0.15), "size": 40
    }  # fmt: skip
    return ClassifierSpec(**usual | changed)


def test_logit_is_backbone_relu_and_one_layer():
    """Pixels are normalised inside; then the backbone, ReLU and a weighted sum."""
    classifier = make_classifier(make_spec("resnet18"), seed=0).eval()
    images = make_images(5, 40, 48)
    channels = [
        (images[:, c] - m) / s
        for c, m, s in zip(range(3), (0.3, 0.2, 0.1), (0.3, 0.2, 0.15), strict=True)
    ]
    with torch.no_grad():
        features = classifier.backbone(torch.stack(channels, dim=1)).clamp(min=0)
        layer = classifier.head[1]
        wanted = (features * layer.weight[0]).sum(dim=1) + layer.bias
        found = classifier(images)
        unlike = classifier.head(classifier.backbone(images)).squeeze(1)
    assert (unlike - wanted).abs().min() > 1e-3
    assert features.shape == (5, 7)
    assert found.shape == (5,)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_batch_equals_singles():
    """In evaluation mode no photograph moves another."""
    classifier = make_classifier(make_spec("resnet18"), seed=1).eval()
    images = make_images(3, 33, 40)
    with torch.no_grad():
        alone = torch.cat([classifier(image[None]) for image in images])
        torch.testing.assert_close(classifier(images), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("arch", FAMILIES)
def test_every_family_takes_any_size(arch):
    """One architecture of each family gives one logit per photograph of odd sides."""
    with torch.device("meta"):
        classifier = Classifier(make_spec(arch)).eval()
        assert classifier(torch.empty(2, 3, 65, 72)).shape == (2,)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arch", [name for name in sorted(of_torchvision()) if not name.endswith(("_32gf", "_128gf"))]
)
def test_every_backbone_takes_any_size(arch):
    """All but the three that need gigabytes: RegNets compute their widths on a real device."""
    device = "cpu" if arch.startswith("regnet") else "meta"
    with torch.device(device), torch.no_grad():
        classifier = Classifier(make_spec(arch)).eval()
        assert classifier(torch.empty(2, 3, 65, 72)).shape == (2,)


def test_backbones_leave_out_what_cannot_work():
    """Fixed grids and auxiliary training outputs are not offered."""
    assert set(FAMILIES) < of_torchvision()
    assert not [
        name
        for name in of_torchvision()
        if name.startswith(("vit_", "maxvit_", "googlenet", "inc"))
    ]


def test_weights_depend_on_the_seed_alone():
    """Same seed, same weights; the global generator neither matters nor moves."""
    torch.manual_seed(5)
    first = make_classifier(make_spec(), seed=3).state_dict()
    torch.manual_seed(6)
    state = torch.get_rng_state()
    second = make_classifier(make_spec(), seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    other = make_classifier(make_spec(), seed=4).state_dict()
    assert not torch.equal(other["head.1.weight"], first["head.1.weight"])
    with pytest.raises(InputError, match="seed=-1: must be from 0 to 4294967295"):
        make_classifier(make_spec(), seed=-1)


def test_two_logits_keep_the_probabilities():
    """Softmax gives [P(female), P(male)]; both cross-entropies and both gradients agree."""
    model, labels = SmallNetwork().eval(), torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0])
    images = make_images().requires_grad_()
    pair, logit = two_logits(model)(images), model(images)
    assert pair.shape == (5, 2)
    prob = torch.sigmoid(logit)
    torch.testing.assert_close(pair.softmax(dim=1), torch.stack((1 - prob, prob), dim=1))
    one = binary_cross_entropy_with_logits(logit, labels)
    two = cross_entropy(pair, labels.long())
    torch.testing.assert_close(two, one)
    torch.testing.assert_close(
        torch.autograd.grad(two, images)[0], torch.autograd.grad(one, images)[0]
    )


@pytest.mark.parametrize("training", [False, True])
def test_two_logits_stand_in_the_models_mode(training):
    """Torchattacks puts a model back in the mode of the view: it must be the model's own."""
    model = SmallNetwork().train(training)
    torchattacks.PGD(two_logits(model), steps=1)(make_images(), torch.zeros(5).long())
    assert all(module.training is training for module in model.modules())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"arch": "resnet19"},
            "arch=resnet19: no backbone of torchvision or timm; near it: .*resnet18",
        ),
        ({"arch": "vit_b_16"}, "arch=vit_b_16: no backbone of torchvision or timm"),
        ({"arch": "äöü"}, "arch=äöü: no backbone of torchvision or timm$"),
        ({"head_hidden": 0}, "head_hidden=0: must be at least 1"),
        ({"size": 0}, "size=0: must be at least 1"),
        ({"mean": (0.3, 0.2)}, "three finite numbers each"),
        ({"std": (0.3, 0.2, 0.1, 0.1)}, "three finite numbers each"),
        ({"std": (0.3, 0.0, 0.1)}, "std above 0"),
        ({"std": (0.3, float("nan"), 0.1)}, "std above 0"),
        ({"mean": (0.3, float("inf"), 0.1)}, "three finite numbers each"),
    ],
)
def test_spec_refuses(changed, message):
    """A spec that cannot be built is refused when it is made."""
    with pytest.raises(InputError, match=message):
        make_spec(**changed)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_pixels_in_whole_numbers_are_refused(dtype):
    """They would be scored as if 255 were the value of one: logits of thousands."""
    images = torch.ones(2, 3, 40, 40, dtype=dtype)
    with pytest.raises(InputError, match=rf"images are {dtype}: must be float RGB in \[0, 1\]"):
        make_classifier(make_spec(), seed=0)(images)
