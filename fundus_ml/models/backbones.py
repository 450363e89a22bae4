"""Backbones by name, from torchvision and from timm, with a last layer of any width."""

import math
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from functools import cache
from typing import Any

import timm
import torch
import torchvision
from timm.layers import resample_abs_pos_embed  # type: ignore[attr-defined]
from torch import Tensor, nn

from fundus_ml.errors import InputError, first_line
from fundus_ml.models.levels import cut_for
from fundus_ml.models.options import LAST, MAP_HEADS, MULTISCALE

FIXED_SIZE = ("vit_", "maxvit_")
AUXILIARY_OUTPUTS = ("googlenet", "inception_v3")
LEVELS = 3
"""Last levels of resolution (blocks, in a transformer) that a head of several levels reads."""
NEAREST = 3
"""Names that are suggested for one that is unknown."""
GRIDS = (("img_size", "dynamic_img_size", "dynamic_img_pad"), ("img_size",), ())
"""What timm's networks with positions may be told of their grid, the most willing first."""


@cache
def of_torchvision() -> frozenset[str]:
    """Names of the torchvision classification models that work at any image size.

    Vision transformers with a fixed grid (``vit_*``, ``maxvit_*``) and models with auxiliary
    training outputs (``googlenet``, ``inception_v3``) are left out; timm has them for any size.
    """
    names = torchvision.models.list_models(module=torchvision.models)
    return frozenset(name for name in names if not name.startswith(FIXED_SIZE + AUXILIARY_OUTPUTS))


@cache
def of_timm() -> frozenset[str]:
    """Names of timm's models, without their weights' tags."""
    return frozenset(timm.list_models())


def check_backbone(arch: str) -> None:
    """Refuse a name that neither library knows.

    Raises:
        InputError: It is unknown; the line names the nearest ones.
    """
    if arch not in of_torchvision() | of_timm():
        near = get_close_matches(arch, sorted(of_torchvision() | of_timm()), NEAREST, cutoff=0.4)
        raise InputError(
            f"arch={arch}: no backbone of torchvision or timm"
            + (f"; near it: {', '.join(near)}" if near else "")
        )


def make_backbone(
    arch: str, *, outputs: int | None, size: int, head: str = MULTISCALE
) -> nn.Module:
    """Build a network with random weights whose last layer has ``outputs`` outputs.

    A name that both libraries know is torchvision's; without a last layer it is timm's, whose
    levels of resolution have names.

    Args:
        arch: Name of the network.
        outputs: Width of its last layer; None builds neither that nor what lies between the last
            level of resolution and it.
        size: Side of its training images, pixels. Networks that place their pieces on a grid are
            built for it; vision transformers interpolate their positions to other sizes.
        head: What reads its levels where ``outputs`` is None; levels above those that it reads are
            not built either.

    Raises:
        InputError: The network cannot be built for that size, has no single last layer, or has no
            levels where they are asked for.
    """
    if outputs is None and arch not in of_timm():
        raise InputError(f"head={head}: timm has no arch={arch}; its networks have such heads")
    if arch in of_torchvision() and outputs is not None:
        network: nn.Module = torchvision.models.get_model(arch, weights=None, num_classes=outputs)
        return network
    try:
        network = _of_timm(arch, outputs=outputs or 0, size=size)
    except NotImplementedError:  # a RuntimeError that says nothing about the size: see on_meta
        raise
    except (AssertionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"size={size}: arch={arch} cannot be built for it: {first_line(error)}"
        ) from error
    if outputs is None:
        if head in MAP_HEADS:
            return cut_for(network, head, arch=arch)
        return _up_to_last_level(network, arch, head=head)
    if not isinstance(_configuration(network)["classifier"], str):
        raise InputError(f"arch={arch}: has several last layers; allowed are networks with one")
    return network


def last_layer_name(backbone: nn.Module) -> str:
    """Name of the layer of a made backbone whose outputs would be classes."""
    if _configuration(backbone):
        return str(_configuration(backbone)["classifier"])
    weighted: list[str] = [
        name for name, layer in backbone.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    return weighted[-1]


def takes_any_size(backbone: nn.Module) -> bool:
    """Whether a made backbone reads images of sides it was not built for."""
    known = _configuration(backbone)
    return not known.get("fixed_input_size") or bool(getattr(backbone, "dynamic_img_size", False))


def interpolated_positions(backbone: nn.Module, learned: Tensor) -> Tensor:
    """Fit the positions that a vision transformer learned at another size to a made backbone.

    Args:
        backbone: Any; one without positions on a grid gets them as they are.
        learned: ``(1, tokens, width)``, the first of them of no place, the others of a square grid.
    """
    grid = getattr(getattr(backbone, "patch_embed", None), "grid_size", None)
    prefix = getattr(backbone, "num_prefix_tokens", 0)
    patches = learned.shape[1] - prefix
    if grid is None or patches < 1 or math.isqrt(patches) ** 2 != patches:
        return learned
    fitted: Tensor = resample_abs_pos_embed(learned, new_size=list(grid), num_prefix_tokens=prefix)
    return fitted


def frozen_layers(backbone: nn.Module, freeze: str) -> list[str]:
    """Name the layers that run up to the end of a level, each with all that is in it.

    Args:
        backbone: One of timm's networks.
        freeze: Number of levels.

    Raises:
        InputError: It has not so many levels, or names none.
    """
    levels: Any = getattr(backbone, "feature_info", None)
    if levels is None:
        raise InputError(
            f"freeze={freeze}: torchvision's networks name no levels; pass none, backbone, "
            "batchnorm, or another head than last, which takes timm's"
        )
    if not 1 <= int(freeze) <= len(levels):
        raise InputError(f"freeze={freeze}: the backbone has levels 1 to {len(levels)}")
    found: list[str] = []
    within = backbone
    path = str(levels[int(freeze) - 1]["module"]).split(".")
    for depth, part in enumerate(path):
        for name, _ in within.named_children():
            if name == part:
                break
            found.append(".".join([*path[:depth], name]))
        within = within.get_submodule(part)
    return [*found, ".".join(path)]


def on_meta(arch: str, *, outputs: int | None, size: int, head: str = MULTISCALE) -> nn.Module:
    """Build a network without memory for its weights, to ask it for their shapes.

    Raises:
        InputError: From :func:`make_backbone`.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return make_backbone(arch, outputs=outputs, size=size, head=head)
        except NotImplementedError:  # torchvision's RegNets compute their widths with tensors
            return make_backbone(arch, outputs=outputs, size=size, head=head)


@cache
def names_whole(arch: str, *, size: int, library: str) -> frozenset[str]:
    """Names of the tensors of a whole network, its last layer among them, as one library calls it.

    Args:
        arch: Name that the library knows.
        size: Side of its images, pixels.
        library: ``torchvision`` or ``timm``.
    """
    if library == "torchvision":
        return frozenset(on_meta(arch, outputs=1, size=size).state_dict())
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return frozenset(_of_timm(arch, outputs=1, size=size).state_dict())


def library_of(arch: str, *, head: str, size: int) -> str:
    """Say whose ImageNet weights fit a backbone: torchvision's where its names do, else timm's.

    Under heads other than ``last`` a network is timm's, which calls the layers of some networks
    (ResNets, DenseNets) as torchvision does, and those of others (ConvNeXts) not.
    """
    if arch not in of_torchvision():
        return "timm"
    if head == LAST:
        return "torchvision"
    theirs = names_whole(arch, size=size, library="torchvision")
    return "torchvision" if names_whole(arch, size=size, library="timm") == theirs else "timm"


def _of_timm(arch: str, *, outputs: int, size: int) -> nn.Module:
    known = timm.get_pretrained_cfg(arch, allow_unregistered=True)
    if known is None or not known.fixed_input_size:
        return timm.create_model(arch, num_classes=outputs)
    for names in GRIDS:
        grid: dict[str, Any] = {name: size if name == "img_size" else True for name in names}
        with suppress(TypeError):  # a word that this network does not know
            with torch.random.fork_rng(devices=[]), torch.device("meta"):
                # Some grids are told apart only by the pixels that do not fit them.
                trial = timm.create_model(arch, num_classes=outputs, **grid)
                trial.eval()(torch.empty(1, 3, size, size))
            return timm.create_model(arch, num_classes=outputs, **grid)
    raise InputError(f"arch={arch}: timm does not build it with {outputs} outputs")


def _up_to_last_level(network: nn.Module, arch: str, *, head: str) -> nn.Module:
    """Leave out what none of the levels needs."""
    prune: Any = getattr(network, "prune_intermediate_layers", None)
    if prune is None or len(network.feature_info) < LEVELS:  # type: ignore[arg-type]
        raise InputError(f"head={head}: arch={arch} has no {LEVELS} levels to read")
    prune(LEVELS, prune_norm=True)
    return network


def _configuration(network: nn.Module) -> Mapping[str, Any]:
    """What timm knows about a network of its own; nothing about torchvision's."""
    found: Any = getattr(network, "pretrained_cfg", {})
    return found if isinstance(found, Mapping) else {}
