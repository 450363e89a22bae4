"""The weights that come with the package: read once, and only as they were written."""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
from safetensors.torch import load
from torch import Tensor, nn

from fundus_ml.errors import InputError

PACKAGED = Path(__file__).parent


class TrainedNetwork(NamedTuple):
    """Weights and what is told of them.

    Attributes:
        state: Tensors by name, float32.
        card: Data, recipe, figures, calibration.
    """

    state: Mapping[str, Tensor]
    card: Mapping[str, Any]


@lru_cache(maxsize=4)
def read_trained(part: str, folder: Path = PACKAGED) -> TrainedNetwork:
    """Read ``<part>.safetensors`` and the card ``<part>.json`` beside it.

    Raises:
        InputError: A file is missing or damaged, or the tensors are not those the card tells of.
    """
    weights, described = folder / f"{part}.safetensors", folder / f"{part}.json"
    try:
        card = json.loads(described.read_text(encoding="utf-8"))
        content = weights.read_bytes()
        digest, told = hashlib.sha256(content).hexdigest(), str(card["sha256"])
        state = load(content) if digest == told else {}
    except (OSError, ValueError, LookupError, TypeError, safetensors.SafetensorError) as error:
        raise InputError(
            f"{weights.name} and {described.name} in {folder}: cannot be read ({error}); install "
            "the package again, or train them: -e train_regions"
        ) from None
    if digest != told:
        raise InputError(
            f"{weights}: is damaged: its SHA-256 is {digest[:12]}…, not {told[:12]}…; install the "
            "package again, or train it: -e train_regions"
        )
    return TrainedNetwork({name: value.float() for name, value in state.items()}, card)


def fill(network: nn.Module, state: Mapping[str, Tensor], *, named: str) -> None:
    """Give a network these tensors.

    Raises:
        InputError: They are not its own.
    """
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        told = " ".join(str(error).split())[:200]
        raise InputError(f"{named}: not the weights of this network ({told})") from None
