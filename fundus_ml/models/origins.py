"""The architecture that a file of weights seems to come from, for the line that refuses it."""

import re
from collections.abc import Mapping

import torchvision
from torch import Tensor

IMAGENET_CLASSES = 1000
_COUNTED_BY_NOBODY = (
    "running_mean", "running_var", "num_batches_tracked",
    "relative_position_index", "relative_coords_table",
)  # fmt: skip
"""Tensors that are no parameters."""
_TRANSFORMER = re.compile(r"(?:^|\.)(?:blocks|encoder_layer_|layers\.encoder_layer_)\.?(\d+)\.")


def looks_like(state: Mapping[str, Tensor]) -> str:
    """Say what ``state`` seems to be, as the end of a sentence; nothing where it cannot be told.

    A torchvision model is told by its number of parameters with 1,000 classes, a vision
    transformer by its blocks.
    """
    blocks = {int(found[1]) for key in state if (found := _TRANSFORMER.search(key))}
    if blocks and any(key.endswith(("cls_token", "class_token")) for key in state):
        return f", it looks like a vision transformer of {len(blocks)} blocks"
    names = _of_torchvision(state)
    return f", it looks like {' or '.join(names)}" if names else ""


def _of_torchvision(state: Mapping[str, Tensor]) -> list[str]:
    counts = {_with_imagenet_head(state, key) for key in state} - {0}
    return [
        name
        for name in torchvision.models.list_models(module=torchvision.models)
        if torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"] in counts
    ]


def _with_imagenet_head(state: Mapping[str, Tensor], key: str) -> int:
    """Parameters of the network if ``key`` was its last weight and had 1,000 classes; else 0."""
    weight, bias = state[key], state.get(f"{key.removesuffix('.weight')}.bias")
    if not key.endswith(".weight") or weight.ndim < 2 or bias is None:  # noqa: PLR2004 (no norm)
        return 0
    learned = [v.numel() for k, v in state.items() if not k.endswith(_COUNTED_BY_NOBODY)]
    per_class = weight[0].numel() + 1
    return sum(learned) + (IMAGENET_CLASSES - weight.shape[0]) * per_class
