"""The one level of a network of timm that a head with evidence reads, and what it sees there."""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fundus_ml.errors import InputError
from fundus_ml.models.options import ATTENTION, BAG

ATTENTION_STRIDE = 16
"""Largest stride, pixels, of the level that ``head=attention`` reads: 8 by 8 positions at 128
pixels, where the last level of most networks has 4 by 4."""
BAG_STRIDE, BAG_FIELD = 8, 33
"""Largest stride of the level that ``head=bag`` reads, and the receptive field that it is to have:
those of BagNet-33."""
LOCAL_FIELDS = (9, 66)
"""Smallest and largest receptive field, pixels, that is taken: BagNet-9's, twice BagNet-33's."""
PROBE = (160, 32)
"""Height and width of the picture on which receptive fields are measured along its height."""


class ReceptiveField(NamedTuple):
    """What one position of a map reads, in pixels, alike along both sides of the picture.

    Attributes:
        size: Length of the square that a position reads.
        stride: Distance of the squares of neighbouring positions.
        start: First row and column that position (0, 0) reads; below 0 in the padding.
    """

    size: int
    stride: int
    start: int


class _Place(NamedTuple):
    """A place where a network may be cut: after so many blocks of a level, or after all (0)."""

    level: int
    blocks: int
    module: str


def cut_for(network: nn.Module, head: str, *, arch: str) -> nn.Module:
    """Leave out what lies above the level that ``head`` reads, in place.

    ``attention`` reads the last level of a stride of at most `ATTENTION_STRIDE`. ``bag`` reads the
    place within the levels of a stride of at most `BAG_STRIDE` whose theoretical receptive field is
    the nearest to `BAG_FIELD` by ratio, within `LOCAL_FIELDS`: after a level, or after one of its
    blocks.

    Args:
        network: One of timm's, whole.
        head: ``attention`` or ``bag``.
        arch: Its name, for the line that refuses it.

    Raises:
        InputError: The network has no such level.
    """
    levels = _levels(network)
    if not levels or not hasattr(network, "prune_intermediate_layers"):
        raise InputError(f"head={head}: arch={arch} has no levels to read")
    if head == ATTENTION:
        fine = [place for place in _places(network, ATTENTION_STRIDE) if not place.blocks]
        if not fine:
            raise InputError(
                f"head={head}: arch={arch} has no level of stride {ATTENTION_STRIDE} or less"
            )
        return _cut_after(network, fine[-1])
    assert head == BAG, head
    places = [] if hasattr(network, "patch_embed") else _places(network, BAG_STRIDE)
    fields = _fields(network, places) if places else []
    least, most = LOCAL_FIELDS
    local = [pair for pair in zip(places, fields, strict=True) if least <= pair[1].size <= most]
    if not local:
        raise InputError(
            f"head={head}: arch={arch} has no local level: {_why_not_local(network)}; allowed are "
            f"convolutional networks without pooling over the picture in their first levels, such "
            f"as efficientnet_lite0"
        )
    place, _ = min(local, key=lambda pair: _ratio(pair[1].size))
    return _cut_after(network, place)


def receptive_field(backbone: nn.Module) -> ReceptiveField:
    """Measure what one position of the last level of a backbone of timm reads.

    A position's gradient reaches exactly the pixels that it reads, in a copy with positive random
    weights, where nothing cancels, and with mean in place of maximum pooling.

    Args:
        backbone: Convolutional; that of a classifier with ``head=bag``.
    """
    last = len(_levels(backbone)) - 1
    place = _Place(last, 0, str(_levels(backbone)[last]["module"]))
    return _fields(backbone, [place])[0]


def level_width(backbone: nn.Module) -> int:
    """Channels of the last level of a backbone that was cut."""
    return int(_levels(backbone)[-1]["num_chs"])


def level_map(backbone: nn.Module, images: Tensor) -> Tensor:
    """Compute the last level of a backbone that was cut.

    Args:
        backbone: From :func:`cut_for`.
        images: ``(N, 3, H, W)``, normalised.

    Returns:
        ``(N, C, h, w)``.
    """
    read: Any = backbone.forward_intermediates
    last = [len(_levels(backbone)) - 1]
    found: Tensor = read(images, indices=last, intermediates_only=True, stop_early=True)[0]
    return found


def _levels(network: nn.Module) -> Sequence[dict[str, Any]]:
    levels: Any = getattr(network, "feature_info", [])
    return list(levels)


def _places(network: nn.Module, stride: int) -> list[_Place]:
    """List where a network may be cut up to a stride, in the order its layers run."""
    found = []
    for level, told in enumerate(_levels(network)):
        if int(told["reduction"]) > stride:
            break
        name = str(told["module"])
        module = network.get_submodule(name)
        if isinstance(module, nn.Sequential):
            found += [
                _Place(level, blocks, f"{name}.{child}")
                for blocks, (child, _) in enumerate(list(module.named_children())[:-1], start=1)
            ]
        found.append(_Place(level, 0, name))
    return found


def _cut_after(network: nn.Module, place: _Place) -> nn.Module:
    levels = _levels(network)[: place.level + 1]
    prune: Any = network.prune_intermediate_layers
    prune([place.level], prune_norm=True)
    if place.blocks:
        stage: Any = network.get_submodule(str(levels[-1]["module"]))
        del stage[place.blocks :]
    network.feature_info = levels  # type: ignore[assignment]
    return network


def _fields(network: nn.Module, places: Sequence[_Place]) -> list[ReceptiveField]:
    probe = _probe_of(network, level=places[-1].level)
    maps: dict[str, Tensor] = {}
    for place in places:

        def keep(
            _module: nn.Module, _inputs: tuple[Tensor], found: Tensor, name: str = place.module
        ) -> None:
            maps[name] = found

        probe.get_submodule(place.module).register_forward_hook(keep)
    generator = torch.Generator().manual_seed(1)
    images = 0.5 + torch.rand(1, 3, *PROBE, dtype=torch.float64, generator=generator, device="cpu")
    images.requires_grad_()
    with torch.enable_grad(), torch.device("cpu"):
        read: Any = probe.forward_intermediates
        read(images, indices=[places[-1].level], intermediates_only=True, stop_early=True)
        return [_field(images, maps[place.module]) for place in places]


def _field(images: Tensor, found: Tensor) -> ReceptiveField:
    height, width = found.shape[2:]
    score = found[0, :, height // 2, width // 2].sum()
    (gradient,) = torch.autograd.grad(score, images, retain_graph=True)
    rows = gradient[0].abs().amax((0, 2)).nonzero().flatten().tolist()
    stride = PROBE[0] // height
    start = rows[0] - height // 2 * stride
    return ReceptiveField(size=rows[-1] - rows[0] + 1, stride=stride, start=start)


def _probe_of(network: nn.Module, *, level: int) -> nn.Module:
    """Copy a network up to a level, with positive weights and statistics that change nothing."""
    copied: Any = copy.deepcopy(network)
    copied.prune_intermediate_layers([level], prune_norm=True)
    probe: nn.Module = copied.to_empty(device="cpu").double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in probe.named_parameters():
            drawn = torch.rand(
                parameter.shape, dtype=torch.float64, generator=generator, device="cpu"
            )
            inputs = max(1, parameter[0].numel()) if parameter.ndim > 1 else 1
            # Small biases keep activations that are cut off above, such as ReLU6, below their end.
            scale = 0.01 if name.endswith("bias") else 1 / inputs
            parameter.copy_((0.5 + drawn) * scale)
        for name, buffer in probe.named_buffers():
            buffer.fill_(0 if name.endswith(("running_mean", "num_batches_tracked")) else 1)
    for parent in list(probe.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.MaxPool2d):
                size: Any = (layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
                setattr(parent, name, nn.AvgPool2d(*size))
    return probe


def _ratio(size: int) -> float:
    return max(size / BAG_FIELD, BAG_FIELD / size)


def _why_not_local(network: nn.Module) -> str:
    for name, layer in network.named_modules():
        kind = type(layer).__name__
        if "Squeeze" in kind or kind in ("SEModule", "EffectiveSEModule", "GlobalContext"):
            return f"{name} ({kind}) pools over the whole picture"
    least, most = LOCAL_FIELDS
    return f"none reads {least} to {most} pixels at a stride of at most {BAG_STRIDE}"
