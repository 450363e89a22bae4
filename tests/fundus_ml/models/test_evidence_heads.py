"""Heads that say where their evidence lies: attention over a level, and a bag of local features."""

import pytest
import timm
import torch
from torch import nn

from fundus_ml.attacks import ThreatModel, pgd
from fundus_ml.attacks.folding import folded
from fundus_ml.errors import InputError
from fundus_ml.models import load_classifier, load_start_weights, save_classifier
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier, weight_bytes
from fundus_ml.models.frozen import cut
from fundus_ml.models.imagenet import imagenet_weights
from fundus_ml.models.levels import cut_for, receptive_field
from tests.fundus_ml.tiny_learning import make_images

SIDE = 64


def made(head, arch="test_resnet", *, shuffled=True, **changed):
    """In evaluation mode; BatchNorms that are not the identity, no residual branch at zero."""
    usual = {
        "arch": arch, "head_hidden": 7, "mean": (0.3, 0.2, 0.1), "std": (0.3, 0.2, 0.15),
        "size": SIDE, "head": head,
    }  # fmt: skip
    classifier = make_classifier(ClassifierSpec(**usual | changed), seed=0).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for module in classifier.modules() if shuffled else ():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.1, generator=generator)
                if module.weight is not None:
                    module.weight.uniform_(0.5, 1.5, generator=generator)
    return classifier


@pytest.mark.parametrize("arch", ["test_resnet", "test_efficientnet", "test_convnext"])
@pytest.mark.parametrize("both_flips", [False, True])
def test_the_evidence_of_a_bag_adds_up_to_the_logit(arch, both_flips):
    classifier = made("bag", arch, both_flips=both_flips)
    images = make_images(3, 64, 96)
    with torch.no_grad():
        evidence = classifier.evidence(images)
        torch.testing.assert_close(evidence.sum((1, 2)), classifier(images), atol=1e-5, rtol=1e-5)
    assert evidence.shape[2] * 2 == evidence.shape[1] * 3
    assert evidence.dtype == torch.float32
    assert classifier.has_evidence
    assert classifier.evidence_is_signed


def test_what_a_position_says_is_a_small_network_of_its_features():
    """Every position by itself, by matrices."""
    classifier = made("bag")
    images = make_images(2, 64, 96)
    _, first, _, _, last = classifier.head.local
    with torch.no_grad():
        maps = classifier.features(images)
        norm = classifier.head.norm
        for row, column in ((0, 0), (5, 11), (15, 23)):
            standard = (maps[:, :, row, column] - norm.running_mean) / (1 + norm.eps) ** 0.5
            hidden = (standard @ first.weight[:, :, 0, 0].T + first.bias).clamp(min=0)
            wanted = (hidden @ last.weight[0, :, 0, 0] + last.bias) / (16 * 24)
            found = classifier.evidence(images)[:, row, column]
            torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


def assert_local(classifier, *, field, stride, side):
    """Noise outside the field of a position leaves it as it was to the bit, at its rim does not."""
    found = receptive_field(classifier.backbone)
    assert (found.size, found.stride) == (field, stride)
    row, column = side // stride // 2, side // stride // 2 - 1
    top, left = (found.start + place * stride for place in (row, column))
    images = make_images(1, side, side)
    noise = make_images(1, side, side, seed=1)
    outside = noise.clone()
    outside[..., top : top + field, left : left + field] = images[
        ..., top : top + field, left : left + field
    ]
    with torch.no_grad():
        before = classifier.evidence(images)[0, row, column]
        assert torch.equal(classifier.evidence(outside)[0, row, column], before)
        for rim in (top, top + field - 1):
            changed = images.clone()
            changed[..., rim, left : left + field] = noise[..., rim, left : left + field]
            assert classifier.evidence(changed)[0, row, column] != before
        for rim in (left, left + field - 1):
            changed = images.clone()
            changed[..., top : top + field, rim] = noise[..., top : top + field, rim]
            assert classifier.evidence(changed)[0, row, column] != before


@pytest.mark.parametrize(
    ("arch", "field", "stride"), [("test_resnet", 31, 4), ("test_efficientnet", 19, 8)]
)
def test_a_position_reads_its_field_and_nothing_else(arch, field, stride):
    assert_local(made("bag", arch).double(), field=field, stride=stride, side=SIDE)


@pytest.mark.slow
def test_the_field_of_the_packaged_network_is_35_pixels():
    """With its ImageNet weights: 3 + 4 + 4 (depthwise), 8 + 8, and 4 of 5 by 5 at stride 4, 16."""
    classifier = made("bag", "efficientnet_lite0", shuffled=False).double()
    load_start_weights(classifier, "imagenet")
    assert_local(classifier.eval(), field=35, stride=8, side=128)


def test_a_field_is_what_kernels_and_strides_add_up_to():
    """A ResNet's stem (7, stride 2), pool (3, stride 2) and first block (3, 3): 7 + 4 + 16."""
    field = receptive_field(made("bag", "resnet18").backbone)
    assert field == (7 + 2 * 2 + 2 * 4 * 2, 4, -3 - 2 - 8)


@pytest.mark.parametrize("arch", ["test_resnet", "test_convnext", "test_vit"])
@pytest.mark.parametrize("both_flips", [False, True])
def test_attention_is_positive_and_adds_up_to_one(arch, both_flips):
    classifier = made("attention", arch, both_flips=both_flips)
    with torch.no_grad():
        evidence = classifier.evidence(make_images(3, 64, 96))
    assert evidence.shape == (3, 4, 6)
    assert (evidence > 0).all()
    torch.testing.assert_close(evidence.sum((1, 2)), torch.ones(3))
    assert classifier.has_evidence
    assert not classifier.evidence_is_signed


def test_the_logit_reads_the_mean_weighted_by_attention():
    classifier = made("attention")
    images = make_images(2, 64, 96)
    norm, score = classifier.head.norm, classifier.head.score
    with torch.no_grad():
        standard = (classifier.features(images) - norm.running_mean[:, None, None]) / (
            1 + norm.eps
        ) ** 0.5
        weights = classifier.evidence(images)
        read = torch.einsum("nchw,nhw->nc", standard, weights)
        hidden = (read @ score[1].weight.T + score[1].bias).clamp(min=0)
        wanted = hidden @ score[4].weight[0] + score[4].bias
        torch.testing.assert_close(classifier(images), wanted, atol=1e-5, rtol=1e-5)


class Brightness(nn.Module):
    """Stands for a backbone: one channel, the mean of each 16 by 16 square."""

    feature_info = ({"num_chs": 1, "module": "pool"},)

    def forward_intermediates(self, images, **_):
        return [nn.functional.avg_pool2d(images, 16).mean(1, keepdim=True)]


def test_a_bright_patch_draws_the_attention_to_where_it_is():
    classifier = made("attention")
    classifier.backbone, head = Brightness(), classifier.head
    head.norm = nn.Identity()
    head.attention = nn.Conv2d(1, 1, 1)
    nn.init.constant_(head.attention.weight, 5.0)
    for row, column in ((0, 0), (1, 4), (3, 2)):
        images = torch.zeros(1, 3, 64, 96)
        images[..., 16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = 1
        with torch.no_grad():
            evidence = classifier.evidence(images)[0]
        assert divmod(int(evidence.argmax()), 6) == (row, column)
        assert evidence.max() > 0.9
        both = made("attention", both_flips=True)
        both.backbone, both.head = classifier.backbone, head
        torch.testing.assert_close(both.evidence(images)[0], evidence)


@pytest.mark.parametrize("head", ["attention", "bag"])
def test_both_flips_are_averaged_in_evaluation_alone(head):
    images = make_images(4, 64, 96)
    one, both = made(head), made(head, both_flips=True)
    with torch.no_grad():
        mirrored = one.evidence(images.flip(3)).flip(2)
        wanted = (one.evidence(images) + mirrored) / 2
        assert (one.evidence(images) - wanted).abs().max() > 1e-6
        torch.testing.assert_close(both.evidence(images), wanted)
        torch.testing.assert_close(
            both(images), (one(images) + one(images.flip(3))) / 2, atol=1e-5, rtol=1e-5
        )
        torch.testing.assert_close(both.train().evidence(images), one.train().evidence(images))


@pytest.mark.parametrize("head", ["attention", "bag"])
def test_a_classifier_comes_back_from_disk_with_its_head(tmp_path, head):
    before = made(head, dropout=0.25, both_flips=True)
    save_classifier(before, tmp_path)
    after = load_classifier(tmp_path)
    assert after.spec == before.spec
    images = make_images(2, 64, 96)
    with torch.no_grad():
        assert torch.equal(after(images), before(images))
        assert torch.equal(after.evidence(images), before.evidence(images))


def exported(classifier):
    """A program for any batch and size."""
    shape = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    example = torch.zeros(2, 3, 64, 80)
    return torch.export.export(classifier, (example,), dynamic_shapes=(shape,)).module()


def test_levels_that_are_too_coarse_or_not_there_are_refused():
    coarse = timm.create_model("test_vit")
    for level in coarse.feature_info:
        level["reduction"] = 32
    with pytest.raises(InputError, match="arch=coarse has no level of stride 16 or less"):
        cut_for(coarse, "attention", arch="coarse")
    with pytest.raises(InputError, match="head=bag: arch=flat has no levels to read"):
        cut_for(nn.Identity(), "bag", arch="flat")


@pytest.mark.slow
@pytest.mark.parametrize("head", ["attention", "bag"])
def test_a_program_takes_any_batch_and_size(head):
    classifier = made(head, "test_efficientnet", both_flips=True)
    program = exported(classifier)
    for shape in ((1, 64, 64), (3, 72, 96)):
        images = make_images(*shape)
        with torch.no_grad():
            torch.testing.assert_close(program(images), classifier(images), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["attention", "bag"])
def test_the_packaged_network_is_exported_folded_and_cut(head):
    classifier = made(head, "efficientnet_lite0", shuffled=False)
    assert load_start_weights(classifier, "imagenet") == []
    state = imagenet_weights("efficientnet_lite0").state
    own = classifier.backbone.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in own.items())
    images = make_images(2, 96, 128)
    program = exported(classifier.eval())
    with torch.no_grad():
        wanted = classifier(images)
        torch.testing.assert_close(program(images), wanted, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(folded(classifier)(images), wanted, atol=1e-4, rtol=1e-4)
    for freeze in ("backbone", "2"):
        assert cut(classifier, freeze, side=SIDE) is not None


@pytest.mark.parametrize(
    ("arch", "head"), [("test_resnet", "attention"), ("test_efficientnet", "bag")]
)
def test_attacks_see_the_same_network(arch, head):
    """Folded, with the same gradients, and a step climbs its loss."""
    classifier, images = made(head, arch, both_flips=True), make_images(2, 64, 96)
    quick = folded(classifier)
    assert quick is not classifier
    gradients = []
    for network in (classifier, quick):
        x = images.clone().requires_grad_()
        gradients.append(torch.autograd.grad(network(x).sum(), x)[0])
    scale = gradients[0].abs().max()
    torch.testing.assert_close(gradients[1] / scale, gradients[0] / scale, atol=1e-4, rtol=1e-3)
    x_adv = pgd(
        classifier, images, torch.zeros(2), threat=ThreatModel(constraint="l2", eps=0.5),
        step_size=0.1, attack_steps=10,
    )  # fmt: skip
    with torch.no_grad():
        assert (classifier(x_adv) > classifier(images)).all()


@pytest.mark.parametrize("head", ["attention", "bag"])
def test_half_precision_gives_about_the_same(head):
    classifier, images = made(head), make_images(2, 64, 96)
    with torch.no_grad():
        wanted, evidence = classifier(images), classifier.evidence(images)
        with torch.autocast("cpu", torch.bfloat16):
            found, halved = classifier(images), classifier.evidence(images)
    torch.testing.assert_close(found.float(), wanted, atol=0.05, rtol=0.05)
    torch.testing.assert_close(halved, evidence, atol=0.05 * float(evidence.abs().max()), rtol=0.1)


@pytest.mark.parametrize("head", ["last", "multiscale"])
def test_heads_without_evidence_name_those_that_have_it(head):
    classifier = made(head)
    assert not classifier.has_evidence
    assert not classifier.evidence_is_signed
    with pytest.raises(InputError, match=f"head={head} has none; heads that have: attention, bag"):
        classifier.evidence(make_images(2, 64, 64))


def test_evidence_is_asked_of_pixels_the_network_takes():
    with pytest.raises(InputError, match="must be float RGB"):
        made("bag").evidence(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    fixed = made("attention")
    fixed.only_side = SIDE
    with pytest.raises(InputError, match="takes no other"):
        fixed.evidence(torch.zeros(1, 3, 96, 96))


@pytest.mark.parametrize(
    ("arch", "head", "line"),
    [
        ("efficientnet_b0", "bag", r"no local level: blocks.0.0.se \(SqueezeExcite\) pools over"),
        ("test_vit", "bag", "no local level: none reads 9 to 66 pixels at a stride of at most 8"),
        ("squeezenet1_1", "bag", "head=bag: timm has no arch=squeezenet1_1"),
    ],
)
def test_networks_that_no_head_can_read_are_refused(arch, head, line):
    """Before their weights are made."""
    with pytest.raises(InputError, match=line):
        weight_bytes(arch, 7, head)


@pytest.mark.parametrize("head", ["attention", "bag"])
def test_the_size_of_the_weights_is_that_of_the_cut_network(head):
    state = made(head, "test_efficientnet").backbone.state_dict()
    size = sum(tensor.nbytes for tensor in state.values())
    assert weight_bytes("test_efficientnet", 7, head) == size
