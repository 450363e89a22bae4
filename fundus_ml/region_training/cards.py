"""Write a trained network: half-precision weights, and a card that tells what they are."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn


def write_trained(
    network: nn.Module, card: Mapping[str, object], folder: Path, *, part: str
) -> tuple[Path, Path]:
    """Write ``<part>.safetensors`` and ``<part>.json``; the same network gives the same bytes.

    Args:
        network: Its tensors are stored as fp16.
        card: Plain JSON values; the weights' digest and number are added.
        folder: Made when missing.
        part: ``landmarks``.

    Returns:
        Both files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: value.detach().to("cpu", torch.float16).contiguous()
        for name, value in sorted(network.state_dict().items())
    }
    content = save(state)
    weights, described = folder / f"{part}.safetensors", folder / f"{part}.json"
    told = {
        "part": part,
        "sha256": hashlib.sha256(content).hexdigest(),
        "parameters": sum(value.numel() for value in state.values()),
        **card,
    }
    weights.write_bytes(content)
    described.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return weights, described


def rounded_to_half(network: nn.Module) -> nn.Module:
    """Round the weights in place as they will be stored, so that what is measured is what ships."""
    with torch.no_grad():
        for value in network.state_dict().values():
            value.copy_(value.half().float())
    return network
