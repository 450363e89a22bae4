"""What a head reads: the last layer, or means and maxima of the last levels."""

import json

import pytest
import timm
import torch

from fundus_ml.errors import InputError
from fundus_ml.models import load_classifier, load_start_weights, save_classifier
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier, weight_bytes
from fundus_ml.models.heads import pools
from fundus_ml.models.imagenet import imagenet_weights
from fundus_ml.models.weights import SPEC_FILE
from tests.fundus_ml.tiny_learning import make_images

MULTISCALE = ("test_resnet", "test_convnext", "test_efficientnet", "test_vit", "resnet18")


def spec(arch="test_resnet", **changed):
    usual = {
        "arch": arch, "head_hidden": 7, "mean": (0.3, 0.2, 0.1), "std": (0.3, 0.2, 0.15),
        "size": 64, "head": "multiscale",
    }  # fmt: skip
    return ClassifierSpec(**usual | changed)


@pytest.mark.parametrize("arch", MULTISCALE)
def test_the_features_are_means_and_maxima_of_the_last_three_levels(arch):
    """timm's own ``features_only`` network with the same weights gives the maps to pool."""
    classifier = make_classifier(spec(arch), seed=0).eval()
    sized = {"img_size": 64} if arch == "test_vit" else {}
    maps = timm.create_model(arch, features_only=True, out_indices=(-3, -2, -1), **sized).eval()
    inner = maps.model if hasattr(maps, "model") else maps
    theirs = inner.state_dict()
    named = {k.replace(".", "_", k.count(".") - 1 if "_" in next(iter(theirs)) else 0): v
             for k, v in classifier.backbone.state_dict().items()}  # fmt: skip
    ours = classifier.backbone.state_dict()
    flat = {key.replace("_", "."): key for key in theirs}
    fill = {flat[k.replace("_", ".")]: v for k, v in ours.items() if k.replace("_", ".") in flat}
    assert len(fill) == len(theirs), named.keys()
    inner.load_state_dict(fill)
    images = make_images(2, 64, 64)
    with torch.no_grad():
        wanted = maps((images - classifier.mean) / classifier.std)
        wanted = torch.cat([p for m in wanted for p in (m.mean((2, 3)), m.amax((2, 3)))], dim=1)
        found = classifier.features(images)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_a_grid_adds_means_of_cells_each_with_its_mirror_image():
    level = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    mean, maximum, cells = pools([level], "grid")
    torch.testing.assert_close(mean, level.mean((2, 3)))
    torch.testing.assert_close(maximum, level.amax((2, 3)))
    row, column = 3, 1
    rows = slice(2 * row, 2 * row + 2)
    both = torch.cat([level[0, 2, rows, 2:4], level[0, 2, rows, 4:6]])
    torch.testing.assert_close(cells.view(2, 3, 4, 2)[0, 2, row, column], both.mean())
    for pooled, wanted in zip(pools([level], "multiscale"), (mean, maximum), strict=True):
        torch.testing.assert_close(pooled, wanted)


@pytest.mark.parametrize("side", [8, 7, 5, 2])
def test_a_grid_knows_how_high_a_thing_lies_not_on_which_side(side):
    level = torch.zeros(1, 1, side, side)
    level[0, 0, 0, -1] = 1.0
    mirrored, upside_down = level.flip(3), level.flip(2)
    for wanted, found in zip(pools([level], "grid"), pools([mirrored], "grid"), strict=True):
        torch.testing.assert_close(found, wanted)
    assert (pools([upside_down], "grid")[2] - pools([level], "grid")[2]).abs().max() > 0.05


def test_a_grid_changes_nothing_but_what_is_read():
    """The backbone is that of multiscale, and what multiscale reads stands among the features."""
    grid = make_classifier(spec(head="grid"), seed=0).eval()
    multiscale = make_classifier(spec(), seed=0).eval()
    grid.backbone.load_state_dict(multiscale.backbone.state_dict())
    images = make_images(2, 64, 64)
    with torch.no_grad():
        found, wanted = grid.features(images), multiscale.features(images)
    assert found.shape[1] == 5 * wanted.shape[1]
    first = wanted.shape[1] // 2 - 1  # the mean of the last channel of some level
    assert torch.isin(wanted[:, first], found).all()


def test_the_head_standardises_and_has_one_hidden_layer():
    classifier = make_classifier(spec(dropout=0.5), seed=0).eval()
    norm, _, first, _, _, last = classifier.head
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    images = make_images(3, 64, 64)
    with torch.no_grad():
        features = classifier.features(images)
        standard = (features - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        hidden = (standard @ first.weight.T + first.bias).clamp(min=0)
        wanted = hidden @ last.weight[0] + last.bias
        torch.testing.assert_close(classifier(images), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("head", ["last", "multiscale"])
def test_both_flips_are_averaged_in_evaluation_alone(head):
    images = make_images(4, 64, 64)
    one = make_classifier(spec(head=head), seed=0).eval()
    both = make_classifier(spec(head=head, both_flips=True), seed=0).eval()
    with torch.no_grad():
        wanted = (one(images) + one(images.flip(3))) / 2
        assert (one(images) - wanted).abs().max() > 1e-4
        torch.testing.assert_close(both(images), wanted)
        torch.testing.assert_close(both.train()(images), one.train()(images))


def test_imagenet_fills_a_network_without_its_last_layers():
    """The tensors that the levels do not need are left, the others are there."""
    classifier = make_classifier(spec("efficientnet_lite0"), seed=0)
    assert load_start_weights(classifier, "imagenet") == []
    state = imagenet_weights("efficientnet_lite0").state
    own = classifier.backbone.state_dict()
    assert {"conv_head.weight", "classifier.weight"}.isdisjoint(own)
    assert all(torch.equal(value, state[name]) for name, value in own.items())
    assert classifier.spec.mean == (0.5, 0.5, 0.5)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(timm.create_model("test_convnext").state_dict(), tmp_path / "other.pt")
    with pytest.raises(InputError, match="not of arch=test_resnet"):
        load_start_weights(make_classifier(spec(), seed=0), str(tmp_path / "other.pt"))


def test_a_backbone_trained_with_a_last_layer_starts_one_without():
    whole = make_classifier(spec(head="last"), seed=3)
    levels = make_classifier(spec(), seed=4)
    from fundus_ml.models import fill_backbone  # noqa: PLC0415

    assert fill_backbone(levels, whole.state_dict(), weights="whole") == []
    theirs = whole.backbone.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in levels.backbone.state_dict().items())


def test_a_classifier_comes_back_from_disk_with_its_head(tmp_path):
    before = make_classifier(spec(dropout=0.25, both_flips=True), seed=0).eval()
    save_classifier(before, tmp_path)
    after = load_classifier(tmp_path)
    assert after.spec == before.spec
    images = make_images(2, 64, 64)
    with torch.no_grad():
        assert torch.equal(after(images), before(images))


def test_a_file_says_what_it_said_before_where_the_head_is_the_last_layer(tmp_path):
    save_classifier(make_classifier(spec(head="last"), seed=0), tmp_path)
    said = json.loads((tmp_path / SPEC_FILE).read_text())
    assert set(said) == {"format", "arch", "head_hidden", "mean", "std", "size"}


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"head": "first"}, "head=first: allowed: last, multiscale, grid, attention, bag"),
        ({"dropout": 1.0}, "dropout=1.0: must be 0 or more and below 1"),
        ({"dropout": 0.1, "head": "last"}, "dropout=0.1: head=last drops nothing"),
    ],
)
def test_what_no_head_is_is_refused(changed, line):
    with pytest.raises(InputError, match=line):
        spec(**changed)


def test_a_network_without_levels_is_refused():
    with pytest.raises(InputError, match="head=multiscale: timm has no arch=squeezenet1_1"):
        make_classifier(spec("squeezenet1_1"), seed=0)


def test_the_size_of_the_weights_is_that_of_the_pruned_network():
    classifier = make_classifier(spec("efficientnet_lite0"), seed=0)
    size = sum(tensor.nbytes for tensor in classifier.backbone.state_dict().values())
    assert weight_bytes("efficientnet_lite0", 7, "multiscale") == size
