"""Tensors by name out of a file that somebody else wrote, with nothing in it executed."""

import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from fundus_ml.errors import InputError
from fundus_ml.models import restricted_unpickler

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

_SAFETENSORS = "safetensors"
_LONGEST_HEADER = 100_000_000  # safetensors' own limit
_OF_TORCH = ("a zip archive as torch.save writes it", "a pickle")
_STARTS = (
    (b"PK\x03\x04", _OF_TORCH[0]),
    (b"\x80", _OF_TORCH[1]),
    (b"version https://git-lfs", "a Git LFS pointer (git lfs pull fetches the file itself)"),
    (b"<", "a web page (was the download refused?)"),
    (b"\x1f\x8b", "compressed (gunzip it first)"),
    (b"\x89HDF", "HDF5, of Keras or TensorFlow"),
    (b"", "of no format known here"),
)
"""What files begin with that are offered as weights."""


def read_state(path: Path) -> Mapping[str, Tensor]:
    """Read the tensors of a network from a checkpoint.

    What the checkpoint holds beside them (flags, schedules, functions that dill pickled by their
    code) is left out unread; a state dict that holds anything but tensors is refused.

    Args:
        path: Safetensors under any name, told by their content, or what ``torch.save`` wrote, with
            pickle or with dill, in today's format or the one before torch 1.6: a state dict, or a
            checkpoint that holds one beside its optimizer, its flags and its scores.

    Returns:
        Tensors by name, as the file names them, on the CPU.

    Raises:
        InputError: There is no such file, it holds no such tensors, or reading it would execute
            something.
    """
    try:
        kind = _kind(path) if path.is_file() else None
    except OSError as error:
        raise InputError(f"weights={path}: cannot be read ({error.strerror})") from error
    if kind is None:
        raise InputError(
            f"weights={path}: no such file; allowed: imagenet, none or a file, and where an entry "
            "point reads it a registered version: models:/name@alias, models:/name/3"
        )
    if kind in _OF_TORCH and path.suffix == ".safetensors":
        raise InputError(
            f"weights={path}: is named .safetensors and is {kind}; rename it to .pth, and its "
            "tensors are read without executing anything"
        )
    try:
        if kind == _SAFETENSORS:
            content: object = load_file(path)
        else:
            content = _load(path, weights_only=True)
    except pickle.UnpicklingError as error:
        # Not for TorchScript or tar archives, whose reading torch refuses with another error.
        state = _tensors_in(_inert(path))
        if state is None:
            raise InputError(f"weights={path}: {_reason(error, kind)}; {_PLAIN}") from error
        return state
    except NOT_WEIGHTS as error:
        raise InputError(f"weights={path}: {_reason(error, kind)}; {_PLAIN}") from error
    state = _tensors_in(content)
    if state is None:
        raise InputError(f"weights={path}: not a plain state dict{_held(content)}; {_PLAIN}")
    return state


def _inert(path: Path) -> object:
    """Read what torch's own safe reader refuses; None where that cannot be done either."""
    try:
        return _load(path, weights_only=False, pickle_module=restricted_unpickler)
    except NOT_WEIGHTS:
        return None


def _load(path: Path, *, weights_only: bool, pickle_module: ModuleType | None = None) -> object:
    """Read with torch whatever the name: torch itself takes ``.safetensors`` at its word."""
    with path.open("rb") as file:
        return torch.load(
            file, map_location="cpu", weights_only=weights_only, pickle_module=pickle_module
        )


def _kind(path: Path) -> str:
    """What a file is, by its first bytes; safetensors begin with a length and its JSON header."""
    with path.open("rb") as file:
        start = file.read(32)
    if not start:
        return "empty"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < _LONGEST_HEADER:
        return _SAFETENSORS
    return next(kind for bytes_, kind in _STARTS if start.startswith(bytes_))


def _reason(error: Exception, kind: str) -> str:
    asked = _ASKED_FOR.search(str(error))
    if isinstance(error, safetensors.SafetensorError):
        return f"damaged safetensors ({str(error).partition(chr(10))[0]})"
    if asked is None:
        return f"not a plain state dict: it is {kind}"
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
