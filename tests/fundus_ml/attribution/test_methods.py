"""What holds for every method."""

import numpy as np
import pytest
import torch
from torch import nn

from fundus_ml.attribution import METHODS, SIGNED, cannot_serve, is_signed
from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import two_logits
from tests.fundus_ml.attribution.tiny_explanations import (
    PatchNetwork,
    classifier,
    explain,
    eyes,
    small_classifier,
)
from tests.fundus_ml.tiny_learning import LinearNetwork, SmallNetwork

REGIONS = np.tile(np.arange(48, dtype=np.uint8), (3, 40, 1))
OF_LOGITS = [name for name in METHODS if name not in {"evidence", "xrai"}]
SQUARED = {"gradient_squared", "smoothgrad_squared"}
WITHOUT_LOGIT = {"modulation", "random", "centre", "edges", "vessels", "area"}
MANY_STEPS = {"modulation", "integrated_gradients", "smoothgrad", "smoothgrad_squared"}
"""Where rounding puts a ReLU on its other side, a few pixels differ."""
NOT_MIRRORED = {"smoothgrad", "smoothgrad_squared", "random", "xrai", "vessels"}


class Tokens(nn.Module):
    """Patches in a row, of which nobody says how they lie."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 8, 8, stride=8), nn.LayerNorm(8)

    def forward(self, images):
        return self.norm(self.convolution(images).flatten(2).mT).mean(1)


class WithEvidence(nn.Module):
    """A coarse map whose mean is the logit."""

    has_evidence = True

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 1, 8, stride=8)

    def evidence(self, images):
        return self.convolution(images)[:, 0]

    def forward(self, images):
        return self.evidence(images).mean((1, 2))


def relative(found, wanted):
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("method", OF_LOGITS)
def test_maps(method):
    """Type, sign, batches, repeats, the two-class view, both flips, and a model left as it was."""
    network, images, done = small_classifier(both_flips=True), eyes(), []
    network.backbone.bn1.eval()
    found = explain(
        method, network, images, regions=REGIONS, on_step=lambda *step: done.append(step)
    )
    assert done == [(2, 3), (3, 3)]
    assert network.training
    assert not network.backbone.bn1.training
    assert all(each.requires_grad and each.grad is None for each in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
    assert network.spec.both_flips
    assert found.shape == (3, 40, 48)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert torch.equal(found, explain(method, network, images, regions=REGIONS))
    if not SIGNED[method] and method != "modulation":
        assert (found >= 0).all()
    singles = torch.cat(
        [
            explain(method, network, images[place : place + 1], regions=REGIONS[:1], batch_size=5)
            for place in range(3)
        ]
    )
    assert relative(singles, found) < (0.02 if method in MANY_STEPS else 1e-4)
    view = explain(method, two_logits(network), images, regions=REGIONS)
    factor = 0.25 if method in SQUARED else 1.0 if method in WITHOUT_LOGIT else 0.5
    assert relative(view, factor * found) < 1e-5
    if method not in NOT_MIRRORED:
        mirrored = explain(method, network, images.flip(3)).flip(2)
        assert relative(mirrored, found) < (0.02 if method in MANY_STEPS else 1e-3)


@pytest.mark.parametrize(
    "method",
    [
        "gradient",
        "gradient_squared",
        "gradient_times_input",
        "smoothgrad",
        "smoothgrad_squared",
        "integrated_gradients",
        "occlusion",
        "modulation",
    ],
)
def test_a_network_that_reads_one_patch_gets_its_map_there(method):
    network = PatchNetwork()
    found = explain(method, network, eyes(2), window=0.1, stride=0.1).abs()
    inside = network.patch
    if method == "occlusion":  # a window that touches the patch hides pixels beside it
        inside = nn.functional.max_pool2d(inside[None].float(), 11, 1, 5)[0] > 0
    assert (found[:, ~inside] <= 1e-5 * found.max()).all()
    assert (found[:, network.patch].mean(1) > 0).all()


def test_xrai_puts_the_highest_segment_on_the_patch():
    network, images = PatchNetwork(), eyes(1, low=0.4, high=0.45)
    images[:, :, 8:20, 12:28] += 0.5
    network.weight.data[:, 8:20, 12:28] = 1.0
    found = explain("xrai", network, images)[0]
    assert (found[network.patch] > 0).all()
    near = nn.functional.max_pool2d(network.patch[None].float(), 23, 1, 11)[0] > 0
    assert found[~near].max() < found[network.patch].min()


def test_evidence_of_its_own_is_stretched():
    network, images = WithEvidence(), eyes(3)
    found = explain("evidence", network, images)
    wanted = nn.functional.interpolate(
        network.evidence(images)[:, None], (40, 48), mode="bilinear"
    )[:, 0].detach()
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(explain("evidence", two_logits(network), images), wanted / 2)
    assert cannot_serve("evidence", network) is None
    assert is_signed("evidence", network)
    network.evidence_is_signed = False
    assert not is_signed("evidence", two_logits(network))
    assert is_signed("gradient", network)


def test_says_what_cannot_serve():
    linear, small, vit = LinearNetwork(40, 48), SmallNetwork(), classifier("test_vit")
    tokens, blocks = small_classifier(), small_classifier()
    tokens.backbone, blocks.backbone = Tokens(), Tokens()
    blocks.backbone.blocks = nn.Sequential(blocks.backbone.norm)
    reasons = {
        ("evidence", vit): "arch=test_vit with head=last has no evidence of its own",
        ("evidence", small): "SmallNetwork has no evidence of its own",
        ("guided_backprop", small): "SmallNetwork has no ReLU layer",
        ("grad_cam", tokens): "arch=test_resnet ends in tokens whose grid is not known",
        ("grad_cam_plus_plus", blocks): "arch=test_resnet ends in tokens whose grid is not known",
    }
    for (method, network), reason in reasons.items():
        found = cannot_serve(method, network)
        assert found.startswith(reason)
        with pytest.raises(InputError, match=f"^(method={method}: )?{reason}"):
            explain(method, network, eyes(1))
    assert cannot_serve("vessels", small, has_regions=False) == "there are no region maps"
    assert all(cannot_serve(name, small) is None for name in ("occlusion", "vessels", "modulation"))
    assert cannot_serve("grad_cam", two_logits(vit)) is None
    with pytest.raises(InputError, match="LinearNetwork has no layer whose output has places"):
        explain("grad_cam", linear, eyes(1))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": "lime"}, "method=lime: allowed: gradient, gradient_squared"),
        ({"method": "vessels"}, "method=vessels: there are no region maps"),
        ({"images": eyes(1)[0]}, r"images: shape must be \(N, 3, H, W\), not \(3, 40, 48\)"),
        ({"images": eyes(1).double()}, r"images: must be float32, not torch.float64"),
        ({"images": eyes(1) + 1}, r"images: pixels must lie in \[0, 1\], found 1"),
        ({"regions": REGIONS}, r"regions: shape must be \(2, 40, 48\), not \(3, 40, 48\)"),
        (
            {"network": nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())},
            r"classifier: gives \(2, 2\) for 2 images; allowed are one logit each or two_logits",
        ),
    ],
)
def test_refuses(changed, message):
    given = {"method": "gradient", "network": SmallNetwork(), "images": eyes(2)} | changed
    with pytest.raises(InputError, match=f"^{message}"):
        explain(**given)
    with pytest.raises(InputError, match="method=lime: allowed"):
        cannot_serve("lime", SmallNetwork())


def test_no_eyes_no_maps():
    for method in ("gradient", "random"):
        assert explain(method, SmallNetwork(), eyes(1)[:0]).shape == (0, 40, 48)
