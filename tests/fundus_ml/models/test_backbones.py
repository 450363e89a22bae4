"""Two libraries under one list of names: what is built, for which size, and what is refused."""

import pytest
import timm
import torch
from torch import nn

from fundus_ml.attacks.folding import folded
from fundus_ml.errors import InputError
from fundus_ml.models.backbones import (
    last_layer_name,
    make_backbone,
    of_timm,
    of_torchvision,
    on_meta,
)
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from tests.fundus_ml.tiny_learning import make_images

FAMILIES = (
    "efficientnet_lite0", "regnety_002", "resnet10t", "test_byobnet", "test_convnext",
    "test_efficientnet", "test_resnet",
)  # fmt: skip
ON_A_GRID = (
    "beit_base_patch16_224", "eva02_tiny_patch14_224", "swin_tiny_patch4_window7_224",
    "test_vit", "vit_small_patch16_224",
)  # fmt: skip


@pytest.mark.parametrize("arch", FAMILIES)
def test_timms_families_take_any_size(arch):
    backbone = on_meta(arch, outputs=7, size=40).eval()
    assert backbone(torch.empty(2, 3, 65, 72, device="meta")).shape == (2, 7)


@pytest.mark.parametrize("arch", ON_A_GRID)
def test_networks_on_a_grid_are_built_for_the_size_of_their_training(arch):
    """80 px is the size of none of their pretrained weights."""
    backbone = on_meta(arch, outputs=7, size=80).eval()
    assert backbone(torch.empty(2, 3, 80, 80, device="meta")).shape == (2, 7)


def test_a_vision_transformer_interpolates_its_positions():
    """Trained at 48 px, it reads 80 px, and 40 px, which its patches do not divide."""
    backbone = make_backbone("test_vit", outputs=3, size=48).eval()
    with torch.no_grad():
        for side in (40, 80):
            assert backbone(torch.rand(2, 3, side, side)).shape == (2, 3)


def test_a_network_on_a_grid_says_which_side_it_takes():
    classifier = make_classifier(spec("swin_tiny_patch4_window7_224", size=56), seed=0).eval()
    assert classifier.only_side == 56
    line = r"images are 64 by 56 pixels: arch=swin_tiny.* was built for 56 by 56 and takes no other"
    with torch.no_grad():
        assert classifier(torch.rand(1, 3, 56, 56)).shape == (1,)
        with pytest.raises(InputError, match=line):
            classifier(torch.rand(1, 3, 64, 56))
    for arch in ("test_vit", "efficientnet_lite0", "resnet18"):
        assert make_classifier(spec(arch, size=48), seed=0).only_side is None


def test_a_name_of_both_libraries_is_torchvisions():
    """Checkpoints of before name their tensors as torchvision does."""
    assert {"resnet18", "resnet50"} < of_torchvision() & of_timm()
    names = make_classifier(spec("resnet18"), seed=0).backbone.state_dict()
    assert "layer1.0.downsample.0.weight" not in names
    assert "layer2.0.downsample.0.weight" in names
    assert not hasattr(make_backbone("resnet18", outputs=2, size=40), "pretrained_cfg")


@pytest.mark.parametrize("arch", [*FAMILIES, *ON_A_GRID, "resnet18", "squeezenet1_1", "swin_t"])
def test_the_last_layer_has_the_outputs(arch):
    backbone = on_meta(arch, outputs=7, size=48)
    assert backbone.get_submodule(last_layer_name(backbone)).weight.shape[0] == 7


def spec(arch, size=40):
    return ClassifierSpec(
        arch=arch, head_hidden=5, mean=(0.3, 0.2, 0.1), std=(0.3, 0.2, 0.1), size=size
    )


@pytest.mark.parametrize("arch", ["test_resnet", "test_efficientnet", "test_vit"])
def test_folding_leaves_the_logits_of_timms_layers(arch):
    """Its BatchNorm may carry the activation, which folding must not lose."""
    classifier = make_classifier(spec(arch, size=48), seed=0).train()
    with torch.no_grad():
        classifier(make_images(8, 48, 48))
        classifier.eval()
        images = make_images(4, 48, 48)
        found, wanted = folded(classifier)(images), classifier(images)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_a_regnet_of_torchvision_tells_its_size():
    """It computes its widths with tensors, which the meta device has no values for."""
    assert isinstance(on_meta("regnet_y_400mf", outputs=2, size=40), nn.Module)


@pytest.mark.parametrize(
    ("arch", "size", "line"),
    [
        ("resnet51", 40, "arch=resnet51: no backbone of torchvision or timm; near it: .*resnet5"),
        ("effnet_lite0", 40, "near it: efficientnet_lite0"),
        ("maxvit_tiny_tf_224", 100, "size=100: arch=maxvit_tiny_tf_224 cannot be built for it: "),
        ("coat_tiny", 80, "size=80: arch=coat_tiny cannot be built for it: "),
        ("deit_tiny_distilled_patch16_224", 64, "has several last layers"),
    ],
)
def test_one_line_says_what_is_refused(arch, size, line):
    with pytest.raises(InputError, match=line) as refusal:
        make_classifier(spec(arch, size=size), seed=0)
    assert "\n" not in str(refusal.value)


ONE_LAST_LAYER = [name for name in timm.list_models(module="vision_transformer")
                  if isinstance(timm.get_pretrained_cfg(name).classifier, str)]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("arch", ONE_LAST_LAYER)
def test_every_vision_transformer_is_built_for_a_size_of_its_own(arch):
    backbone = on_meta(arch, outputs=3, size=112).eval()
    assert backbone(torch.empty(1, 3, 112, 112, device="meta")).shape == (1, 3)
