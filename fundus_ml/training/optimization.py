"""What turns a gradient into a step: optimizer, rates, averaged weights, what stays frozen."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from timm.optim import param_groups_layer_decay  # type: ignore[attr-defined]
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fundus_ml.models.backbones import frozen_layers, last_layer_name
from fundus_ml.models.options import BACKBONE
from fundus_ml.training.options import TrainingOptions

PEAK = 0.3
"""Share of the steps at which one-cycle reaches its highest rate (Smith & Topin 2018)."""
DEEPEST = 2
"""Names of a parameter's path that tell its stage: ``backbone.layer3``."""


def freeze(model: nn.Module, what: str) -> None:
    """Hold parameters still: see ``TrainingOptions.freeze``.

    The parameters keep their values; :func:`training_mode` keeps the statistics.

    Raises:
        InputError: The backbone has not so many levels, or names none.
    """
    for part in held(model, what):
        part.requires_grad_(requires_grad=False)
    if what == BACKBONE:
        backbone = model.get_submodule("backbone")
        backbone.get_submodule(last_layer_name(backbone)).requires_grad_()


def training_mode(model: nn.Module, what: str) -> None:
    """Put ``model`` in training mode, but what is frozen in evaluation mode."""
    model.train()
    for part in held(model, what):
        part.eval()


def held(model: nn.Module, what: str) -> list[nn.Module]:
    """List what ``TrainingOptions.freeze`` holds still of a model."""
    if what == "none":
        return []
    if what == "batchnorm":
        return [module for module in model.modules() if is_batch_norm(module)]
    backbone = model.get_submodule("backbone")
    if what == BACKBONE:
        return [backbone]
    return [backbone.get_submodule(name) for name in frozen_layers(backbone, what)]


def is_batch_norm(module: nn.Module) -> bool:
    """Whether a layer keeps running statistics of its batches."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001 (no public name)


def make_optimizer(model: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """Make the optimizer of what asks for gradients, in groups by depth where rates differ.

    Source:
        Bao et al. 2022, arXiv:2106.08254, as timm does it, where biases and weights of
        normalisations do not decay.
    """
    groups = _groups(model, options)
    if options.optimizer == "adamw":
        return torch.optim.AdamW(
            groups, lr=options.lr, weight_decay=options.weight_decay, fused=True
        )
    return torch.optim.SGD(
        groups,
        lr=options.lr,
        momentum=options.momentum,
        nesterov=options.momentum > 0,
        weight_decay=options.weight_decay,
    )


def make_schedule(
    optimizer: torch.optim.Optimizer, options: TrainingOptions, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Make the schedule, a function of the step alone."""
    total = options.epochs * steps_per_epoch
    warmup = round(options.warmup * steps_per_epoch)
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate(options.schedule, step, total=total, warmup=warmup)
    )


def rate(schedule: str, step: int, *, total: int, warmup: int = 0) -> float:
    """Share of the peak rate at a step.

    Args:
        schedule: ``cosine``, ``step``, ``onecycle`` or ``constant``.
        step: From 0; ``total`` is after the last one.
        total: Steps of the training.
        warmup: Steps at the beginning over which the share rises linearly to its schedule.

    Returns:
        A number in [0, 1].

    Source:
        Loshchilov & Hutter 2017, arXiv:1608.03983 (cosine); Smith & Topin 2018, arXiv:1708.07120
        (one cycle; ours begins at a twenty-fifth and ends at zero); Goyal et al. 2017,
        arXiv:1706.02677 (warm-up).
    """
    if step < warmup:
        return (step + 1) / (warmup + 1) * rate(schedule, warmup, total=total)
    done = step / total
    if schedule == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    if schedule == "step":
        return float(0.1 ** (step // math.ceil(total / 3)))
    if schedule == "onecycle":
        if done < PEAK:
            return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * done / PEAK)) / 2
        return (1 + math.cos(math.pi * (done - PEAK) / (1 - PEAK))) / 2
    return 1.0


def averaged(model: nn.Module, decay: float) -> AveragedModel | None:
    """Make the exponential average of weights and BatchNorm statistics; None where decay is 0."""
    if decay == 0:
        return None
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


def _groups(model: nn.Module, options: TrainingOptions) -> list[dict[str, Any]]:
    backbone: Any = getattr(model, "backbone", None)
    if options.layer_decay == 1 or not hasattr(backbone, "group_matcher"):
        return [
            {"params": parameters, "lr": options.lr * options.layer_decay**depth}
            for depth, parameters in _by_depth(model, apart=options.layer_decay < 1)
        ]
    layers = param_groups_layer_decay(
        backbone, weight_decay=options.weight_decay, layer_decay=options.layer_decay
    )
    groups = [
        {
            "params": layer["params"],
            "lr": options.lr * options.layer_decay * layer["lr_scale"],
            "weight_decay": layer["weight_decay"],
        }
        for layer in layers
    ]
    inside = {parameter for layer in layers for parameter in layer["params"]}
    head = [p for p in model.parameters() if p.requires_grad and p not in inside]
    return [*groups, {"params": head, "lr": options.lr}]


def _by_depth(model: nn.Module, *, apart: bool) -> Iterator[tuple[int, list[nn.Parameter]]]:
    """Yield the trainable parameters of each stage with its distance from the last one."""
    stages: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            stages.setdefault(_stage(name) if apart else "", []).append(parameter)
    for place, parameters in enumerate(stages.values()):
        yield len(stages) - 1 - place, parameters


def _stage(name: str) -> str:
    parts = [part for part in name.split(".")[:-1] if part != "features"]
    return ".".join(parts[:DEEPEST]) if parts[:1] == ["backbone"] else ".".join(parts[:1])
