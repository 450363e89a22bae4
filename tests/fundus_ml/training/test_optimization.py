"""Rates in closed form, and which parameter gets which."""

import math

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from fundus_ml.training import TrainingOptions
from fundus_ml.training.optimization import (
    freeze,
    make_optimizer,
    make_schedule,
    rate,
    training_mode,
)


def rates(schedule, total, warmup=0):
    return np.array([rate(schedule, step, total=total, warmup=warmup) for step in range(total)])


@pytest.mark.parametrize("total", [3, 12, 100])
def test_cosine_is_torchs(total):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total)
    wanted = []
    for _ in range(total):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert rates("cosine", total) == pytest.approx(np.array(wanted), abs=1e-9)


@pytest.mark.parametrize(
    ("total", "shares"),
    [
        (3, [1, 0.1, 0.01]),
        (5, [1, 1, 0.1, 0.1, 0.01]),
        (7, [1, 1, 1, 0.1, 0.1, 0.1, 0.01]),
        (1, [1]),
    ],
)
def test_step_has_three_levels_whatever_the_length(total, shares):
    assert rates("step", total) == pytest.approx(np.array(shares))


def test_one_cycle_is_torchs_at_its_corners():
    """Ours ends at zero; theirs, with the same start, at a ten-thousandth of it."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=1001, cycle_momentum=False
    )
    wanted = []
    for _ in range(1000):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert rates("onecycle", 1000) == pytest.approx(np.array(wanted), abs=5e-3)


def test_constant_is_one():
    assert (rates("constant", 5) == 1).all()


@pytest.mark.parametrize("schedule", ["cosine", "step", "onecycle", "constant"])
def test_warmup_rises_in_a_straight_line_to_the_schedule(schedule):
    warm, plain = rates(schedule, 40, 8), rates(schedule, 40)
    assert np.diff(warm[:9]) == pytest.approx(np.full(8, plain[8] / 9))
    assert (warm[8:] == plain[8:]).all()


def classifier(arch):
    spec = ClassifierSpec(arch=arch, head_hidden=4, mean=(0.5,) * 3, std=(0.2,) * 3, size=32)
    return make_classifier(spec, seed=0)


@pytest.mark.parametrize(
    ("arch", "stages"),
    [
        ("resnet18", ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]),
        ("squeezenet1_1", [*(str(n) for n in (0, 3, 4, 6, 7, 9, 10, 11, 12)), "classifier"]),
    ],
)
def test_each_stage_learns_at_a_share_of_the_next(arch, stages):
    model = classifier(arch)
    how = TrainingOptions(lr=0.1, layer_decay=0.5)
    groups = make_optimizer(model, how).param_groups
    by_parameter = {id(p): group["lr"] for group in groups for p in group["params"]}
    found = {}
    for name, parameter in model.named_parameters():
        inner = name.replace("features.", "").split(".")[1]
        stage = inner if name.startswith("backbone.") else "head"
        found.setdefault(stage, set()).add(by_parameter[id(parameter)])
    wanted = {s: {0.1 * 0.5 ** (len(stages) - i)} for i, s in enumerate([*stages, "head"])}
    assert found == wanted


def test_one_group_where_all_learn_alike():
    groups = make_optimizer(classifier("resnet18"), TrainingOptions(lr=0.1)).param_groups
    assert len(groups) == 1


def test_groups_keep_their_shares_along_the_schedule():
    optimizer = make_optimizer(classifier("resnet18"), TrainingOptions(lr=0.1, layer_decay=0.5))
    schedule = make_schedule(optimizer, TrainingOptions(epochs=2), 5)
    before = [group["lr"] for group in optimizer.param_groups]
    for _ in range(5):
        optimizer.step()
        schedule.step()
    after = [group["lr"] for group in optimizer.param_groups]
    assert np.array(after) == pytest.approx(np.array(before) * (1 + math.cos(math.pi / 2)) / 2)


@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v2", "densenet121"])
def test_a_frozen_backbone_leaves_its_last_layer_and_the_head(arch):
    model = classifier(arch)
    freeze(model, "backbone")
    learning = {n for n, p in model.named_parameters() if p.requires_grad}
    last = list(torchvision.models.get_model(arch, weights=None).named_modules())[-1][0]
    assert learning == {
        f"backbone.{last}.weight", f"backbone.{last}.bias", "head.1.weight", "head.1.bias"
    }  # fmt: skip


def test_each_layer_of_timms_networks_learns_at_a_share_of_the_next():
    """Ten blocks and a stem, each at half the rate of the one after it; biases do not decay."""
    model = classifier("test_efficientnet")
    how = TrainingOptions(lr=0.1, layer_decay=0.5, weight_decay=0.2)
    groups = make_optimizer(model, how).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in groups
        for p in group["params"]
    }
    assert rates.keys() == set(names.values())
    assert rates["head.1.weight"] == (0.1, 0.2)
    assert rates["backbone.classifier.weight"] == pytest.approx((0.05, 0.2))
    assert rates["backbone.classifier.bias"] == pytest.approx((0.05, 0.0))
    order = ["conv_stem", *(name for name, _ in model.backbone.blocks.named_children())]
    found = [rates[f"backbone.{order[0]}.weight"][0]]
    for stage in order[1:]:
        inside = {r for n, (r, _) in rates.items() if n.startswith(f"backbone.blocks.{stage}.")}
        assert max(inside) > found[-1]
        found.append(max(inside))
    assert found[-1] <= 0.05


def test_frozen_levels_hold_weights_and_statistics():
    model = classifier("test_resnet")
    freeze(model, "2")
    training_mode(model, "2")
    still = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert still
    assert all(
        name.startswith(("backbone.conv1", "backbone.bn1", "backbone.layer1")) for name in still
    )
    modes = {name: module.training for name, module in model.backbone.named_modules()}
    assert not modes["layer1"]
    assert modes["layer2"]
