"""Tensors by name out of a file that somebody else wrote, with nothing in it executed."""

import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from fundus_ml.errors import InputError
from fundus_ml.models import inert_pickles

PLACES = (
    "state_dict", "model_state_dict", "model_state", "model", "teacher", "student", "encoder",
    "backbone", "network", "net", "module",
)  # fmt: skip
"""Where checkpoints keep the network, in the order in which they are looked at."""

NOT_WEIGHTS = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    MemoryError,
    struct.error,
    safetensors.SafetensorError,
)
"""What torch and safetensors raise on a file that is none of theirs, or that would run code."""

_PLAIN = (
    "allowed: .safetensors, or torch.save of tensors by name, alone or under one of "
    + ", ".join(PLACES[:5])
)
_ASKED_FOR = re.compile(r"GLOBAL (\S+) was not an allowed global")


def read_state(path: Path) -> Mapping[str, Tensor]:
    """Read the tensors of a network from a checkpoint.

    What the checkpoint holds beside them (flags, schedules, functions that dill pickled by their
    code) is left out unread; a state dict that holds anything but tensors is refused.

    Args:
        path: ``.safetensors``, or what ``torch.save`` wrote, with pickle or with dill, in today's
            format or the one before torch 1.6: a state dict, or a checkpoint that holds one beside
            its optimizer, its flags and its scores.

    Returns:
        Tensors by name, as the file names them, on the CPU.

    Raises:
        InputError: There is no such file, it holds no such tensors, or reading it would execute
            something.
    """
    if not path.is_file():
        raise InputError(
            f"weights={path}: no such file; allowed: imagenet, none or a file, and where an entry "
            "point reads it a registered version: models:/name@alias, models:/name/3"
        )
    try:
        if path.suffix == ".safetensors":
            content: object = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Not for TorchScript or tar archives, whose reading torch refuses with another error.
        state = _tensors_in(_inert(path))
        if state is None:
            raise InputError(f"weights={path}: {_reason(error)}; {_PLAIN}") from error
        return state
    except NOT_WEIGHTS as error:
        raise InputError(f"weights={path}: {_reason(error)}; {_PLAIN}") from error
    state = _tensors_in(content)
    if state is None:
        raise InputError(f"weights={path}: not a plain state dict{_held(content)}; {_PLAIN}")
    return state


def _inert(path: Path) -> object:
    """Read what torch's own safe reader refuses; None where that cannot be done either."""
    try:
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=inert_pickles)
    except NOT_WEIGHTS:
        return None


def _reason(error: Exception) -> str:
    asked = _ASKED_FOR.search(str(error))
    if asked is None:
        return "not a plain state dict"
    return f"not a plain state dict: it asks for {asked[1]}, which was not executed"


def _tensors_in(content: object) -> Mapping[str, Tensor] | None:
    if not isinstance(content, Mapping) or not content:
        return None
    if all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        return content
    for place in PLACES:
        found = _tensors_in(content.get(place))
        if found is not None:
            return found
    return None


def _held(content: object) -> str:
    if not isinstance(content, Mapping) or not content:
        return ""
    return f": it holds {', '.join(sorted(map(str, content))[:5])}"
