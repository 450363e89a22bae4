"""Averages against plain means, rewritten constants against the pixels they mean."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import to_images
from fundus_ml.model_selection.averaging import (
    average_classifiers,
    check_averageable,
    mean_weights,
    reestimate_statistics,
    renormalised,
)
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from fundus_ml.statistics.clustered import auroc
from fundus_ml.training import predict
from tests.fundus_ml.tiny_learning import SIZE, make_dataset, make_images

ODIR = {"mean": (0.29, 0.19, 0.11), "std": (0.31, 0.22, 0.15)}
BRSET = {"mean": (0.42, 0.25, 0.13), "std": (0.27, 0.17, 0.10)}


def make(arch="resnet18", *, seed=0, size=SIZE, constants=ODIR):
    """A classifier whose BatchNorm has statistics that are not 0 and 1."""
    spec = ClassifierSpec(arch=arch, head_hidden=6, size=size, **constants)
    model = make_classifier(spec, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(len(module.running_mean), generator=generator))
            module.running_var.copy_(torch.rand(len(module.running_var), generator=generator) + 0.5)
    return model.eval()


def logits(model, images):
    with torch.inference_mode():
        return model(images)


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    return make_dataset(
        tmp_path_factory.mktemp("eyes") / "tiny", people={"train": 20, "val": 12}, signal=12
    )


@pytest.fixture(scope="module")
def taught(eyes):
    """A network that tells the sexes of ``eyes`` apart."""
    train = eyes.split("train")
    constants = {"mean": eyes.channel_mean, "std": eyes.channel_std}
    model = make("test_resnet", constants=constants).train()
    images = to_images(train.pixels(np.arange(len(train))))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with torch.random.fork_rng():
        for _ in range(12):
            optimizer.zero_grad()
            loss = binary_cross_entropy_with_logits(model(images), torch.from_numpy(train.labels))
            loss.backward()
            optimizer.step()
    return model.eval()


def shaken(model, *, seed, scale=0.002):
    """``model`` with a little noise on its weights, and statistics that a training moved."""
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=scale)
        for name, buffer in other.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(torch.randn(buffer.shape, generator=generator), alpha=scale)
    return other


def inverted(model):
    """``model`` calling every man a woman, loudly."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weight in other.head.parameters():
            weight.mul_(-5)
    return other


def test_every_weight_is_the_plain_mean():
    members = [make(seed=seed) for seed in range(3)]
    before = [copy.deepcopy(member.state_dict()) for member in members]
    found = mean_weights(members)
    for name, weight in found.named_parameters():
        plain = np.mean([member.get_parameter(name).detach().numpy() for member in members], axis=0)
        np.testing.assert_allclose(weight.detach().numpy(), plain, atol=1e-6)
    assert found.spec == members[0].spec
    for member, state in zip(members, before, strict=True):
        assert all(torch.equal(member.state_dict()[name], state[name]) for name in state)


def test_one_network_written_with_two_standard_deviations_averages_to_itself():
    """The zero padding means the same pixel in both, so the whole network is exact."""
    model = make(size=48)
    other = renormalised(model, mean=ODIR["mean"], std=BRSET["std"])
    images = make_images(3, 48, 40)
    assert other.spec.std == BRSET["std"]
    torch.testing.assert_close(logits(other, images), logits(model, images), atol=2e-4, rtol=1e-4)
    found = mean_weights([model, other])
    middle = [sum(pair) / 2 for pair in zip(ODIR["std"], BRSET["std"], strict=True)]
    assert found.spec.std == pytest.approx(middle)
    torch.testing.assert_close(found.std.flatten(), torch.tensor(middle))
    torch.testing.assert_close(logits(found, images), logits(model, images), atol=2e-4, rtol=1e-4)


def test_a_convolution_with_bias_and_no_padding_takes_any_constants():
    model = make("squeezenet1_1", size=48)
    other = renormalised(model, **BRSET)
    images = make_images(3, 48, 40)
    torch.testing.assert_close(logits(other, images), logits(model, images), atol=1e-5, rtol=1e-4)
    found = mean_weights([model, other])
    torch.testing.assert_close(logits(found, images), logits(model, images), atol=1e-5, rtol=1e-4)


def test_without_bias_new_statistics_take_up_the_rest(eyes):
    """Exact where nothing is padded: here, because the padding is taken away."""
    train = eyes.split("train")
    images = to_images(train.pixels(np.arange(8)))
    found = []
    for model in (make(), renormalised(make(), **BRSET)):
        model.backbone.conv1.padding = (0, 0)
        reestimate_statistics(model, train, batch_size=8, precision="fp32")
        found.append(logits(model, images))
    torch.testing.assert_close(found[1], found[0], atol=1e-4, rtol=1e-3)


def test_padding_differs_at_the_border_alone():
    """Inside, a constant per channel; outside the weights that lie over the edge are missing."""
    model, images = make(), make_images(2, 24, 24)
    other = renormalised(model, **BRSET)
    seen = [(images - each.mean) / each.std for each in (model, other)]
    before, after = (
        each.backbone.conv1(x).detach() for each, x in zip((model, other), seen, strict=True)
    )
    apart = after - before
    shift = (other.mean - model.mean) / model.std
    constant = -(model.backbone.conv1.weight * shift).sum(dim=(1, 2, 3)).detach()
    inside = apart[:, :, 2:-2, 2:-2]  # kernel 7, stride 2, padding 3
    torch.testing.assert_close(
        inside, constant.view(1, -1, 1, 1).expand_as(inside), atol=1e-5, rtol=0
    )
    assert (apart[:, :, 0] - constant.view(1, -1, 1)).abs().max() > 1e-3


def test_statistics_of_one_batch_are_those_of_its_values(eyes):
    train = eyes.split("train")
    model = make()
    reestimate_statistics(model, train, batch_size=len(train), precision="fp32")
    images = to_images(train.pixels(np.arange(len(train))))
    values = model.backbone.conv1((images - model.mean) / model.std).detach().numpy()
    first = model.backbone.bn1
    np.testing.assert_allclose(first.running_mean, values.mean(axis=(0, 2, 3)), atol=1e-5)
    unbiased = values[:, 0].size / (values[:, 0].size - 1)
    plain = values.var(axis=(0, 2, 3), dtype=np.float64) * unbiased
    np.testing.assert_allclose(first.running_var, plain, rtol=1e-4)
    assert (first.momentum, first.training) == (0.1, False)


def test_statistics_are_the_mean_over_full_shuffled_batches(eyes):
    """40 eyes in batches of 15: two are full, ten eyes are left out."""
    train = eyes.split("train")
    model, passed = make(), []
    reestimate_statistics(
        model, train, batch_size=15, precision="fp32", seed=3, on_step=passed.append
    )
    assert passed == [15, 15]
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3)).numpy()
    parts = [to_images(train.pixels(order[start : start + 15])) for start in (0, 15)]
    means = [
        model.backbone.conv1((part - model.mean) / model.std).mean(dim=(0, 2, 3)) for part in parts
    ]
    plain = torch.stack(means).mean(dim=0).detach()
    torch.testing.assert_close(model.backbone.bn1.running_mean, plain, atol=1e-5, rtol=0)


def test_dropout_stays_off_while_statistics_are_estimated(eyes):
    """Dropout before BatchNorm would show in its variance."""
    convolution = nn.Conv2d(3, 3, 1)
    found = []
    for chance in (0.0, 0.9):
        norm = nn.BatchNorm2d(3)
        model = nn.Sequential(convolution, nn.Dropout(chance), norm)
        reestimate_statistics(model, eyes.split("train"), batch_size=10, precision="fp32")
        assert not any(module.training for module in model.modules())
        found.append(norm.running_var)
    torch.testing.assert_close(found[0], found[1])


def test_statistics_that_no_training_moved_stay(eyes, taught):
    """Layers were frozen; heads that learned above them average to what they say."""
    same = average_classifiers(
        {"one": taught, "two": copy.deepcopy(taught)}, eyes.split("train"), eyes.split("val"),
        method="uniform", batch_size=8,
    ).model  # fmt: skip
    images = to_images(eyes.split("val").pixels(np.arange(8)))
    torch.testing.assert_close(logits(same, images), logits(taught, images))
    moved = copy.deepcopy(taught)
    norm = next(m for m in moved.modules() if isinstance(m, nn.BatchNorm2d))
    norm.running_mean.add_(1)
    mixed = average_classifiers(
        {"one": taught, "two": moved}, eyes.split("train"), eyes.split("val"),
        method="uniform", batch_size=8,
    ).model  # fmt: skip
    changed = {
        name
        for name, buffer in mixed.named_buffers()
        if name.endswith("running_mean") and not torch.equal(buffer, taught.get_buffer(name))
    }
    assert len(changed) == 1


def test_a_network_without_batch_norm_is_left_alone(eyes):
    model = make("squeezenet1_1")
    before = copy.deepcopy(model.state_dict())
    reestimate_statistics(model, eyes.split("train"), batch_size=8)
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)
    assert not model.training


def average(parents, eyes, **changed):
    usual = {"method": "greedy", "batch_size": 10, "precision": "fp32"}
    return average_classifiers(parents, eyes.split("train"), eyes.split("val"), **usual | changed)


def val_auroc(model, eyes):
    val = eyes.split("val")
    return auroc(val.labels, predict(model, val, batch_size=10, precision="fp32").numpy())


def test_uniform_takes_all_and_counts_its_work(eyes, taught):
    parents = {"a": taught, "b": shaken(taught, seed=1), "c": shaken(taught, seed=2)}
    steps = []
    found = average(parents, eyes, method="uniform", on_step=lambda *step: steps.append(step))
    assert found.members == ("a", "b", "c")
    assert found.trail["kept"].all()
    assert found.trail["average_val_auroc"].isna().all()
    assert steps[-1] == (40, 40)
    plain = mean_weights(list(parents.values()))
    reestimate_statistics(plain, eyes.split("train"), batch_size=10, precision="fp32")
    for name, value in plain.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], value)


def test_greedy_is_the_recipe_step_by_step(eyes, taught):
    """Against the recipe written out; what spoils the average is left out."""
    parents = {"wrong": inverted(taught), "b": shaken(taught, seed=1), "a": taught}
    steps = []
    found = average(parents, eyes, on_step=lambda *step: steps.append(step))
    alone = {name: val_auroc(model, eyes) for name, model in parents.items()}
    assert alone["wrong"] < 0.5 < min(alone["a"], alone["b"])
    order = sorted(parents, key=lambda name: alone[name], reverse=True)
    kept, reached = [order[0]], alone[order[0]]
    for name in order[1:]:
        tried = mean_weights([parents[each] for each in [*kept, name]])
        reestimate_statistics(tried, eyes.split("train"), batch_size=10, precision="fp32")
        value = val_auroc(tried, eyes)
        if value >= reached:
            kept, reached = [*kept, name], value
    assert found.members == tuple(kept)
    assert "wrong" not in found.members
    assert found.trail["model"].tolist() == order
    assert found.trail["val_auroc"].tolist() == [alone[name] for name in order]
    assert val_auroc(found.model, eyes) == pytest.approx(reached)
    assert reached >= max(alone.values())
    assert steps[-1][0] == steps[-1][1]


def test_greedy_may_keep_one_as_it_is(eyes, taught):
    found = average({"wrong": inverted(taught), "a": taught}, eyes)
    assert found.members == ("a",)
    assert found.model is taught
    assert found.trail["kept"].tolist() == [True, False]


def test_what_cannot_be_averaged_is_named():
    small, other = make(), make("resnet34")
    with pytest.raises(InputError, match="models: 1 given, an average needs two or more"):
        check_averageable({"a": small})
    with pytest.raises(
        InputError,
        match=r"a is arch=resnet18 head=last head_hidden=6 size=12 .*, c is arch=resnet34",
    ):
        check_averageable({"a": small, "b": small, "c": other})
    wide = copy.copy(small)
    wide.spec = dataclasses.replace(small.spec, head_hidden=7)
    with pytest.raises(InputError, match=r"head_hidden=6 size=12 .*, b is .*head_hidden=7"):
        check_averageable({"a": small, "b": wide})


@pytest.mark.parametrize("arch", ["test_efficientnet_gn", "test_nfnet"])
def test_networks_that_cannot_take_other_constants_are_refused(arch):
    """Without BatchNorm the shift would be lost; standardised weights undo the factor."""
    own, other = make(arch), make(arch, constants={"mean": (0.4,) * 3, "std": (0.3,) * 3})
    with pytest.raises(InputError, match=f"arch={arch} cannot be rewritten"):
        check_averageable({"a": own, "b": other})
    check_averageable({"a": own, "b": copy.deepcopy(own)})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": "best"}, "method=best: allowed: uniform, greedy"),
        ({"precision": "fp8"}, "precision=fp8: allowed"),
    ],
)
def test_unknown_words_are_refused(eyes, taught, changed, message):
    with pytest.raises(InputError, match=message):
        average({"a": taught, "b": taught}, eyes, **changed)


def test_eyes_of_another_size_are_refused(eyes):
    models = {name: make(size=64) for name in "ab"}
    with pytest.raises(InputError, match="eyes of size 12, the models were trained at 64"):
        average(models, eyes)
