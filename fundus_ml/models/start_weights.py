"""What a backbone starts from: ImageNet through torchvision, a file, or nothing."""

import pickle
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

import safetensors
import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor

from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import Classifier

BATCH_COUNTER = ".num_batches_tracked"
"""BatchNorm's counter, which nothing reads here and files from before torch 0.4.1 lack."""
_PLAIN = "not a plain state dict; allowed: .safetensors, or torch.save of tensors by name"
_UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    LookupError,
    ValueError,
    safetensors.SafetensorError,
)
"""What torch and safetensors raise on a file that is none of theirs, or that would run code."""


def load_start_weights(classifier: Classifier, weights: str) -> list[str]:
    """Fill the backbone of ``classifier`` in place.

    The layers whose shape depends on the number of classes stay random, and are named.

    Args:
        classifier: Freshly made.
        weights: ``imagenet`` (torchvision's default weights of that architecture, downloaded
            once), ``none`` (stay random), or a file: ``.safetensors`` or a ``torch.save``
            state dict of the torchvision model or of a :class:`Classifier`.

    Returns:
        Names of the backbone tensors that stayed random.

    Raises:
        InputError: No network, no such file, or weights of another architecture.
    """
    if weights == "none":
        return []
    if weights == "imagenet":
        return _fill(classifier, _imagenet_state(classifier.spec.arch), weights)
    return _fill(classifier, _file_state(Path(weights).expanduser()), weights)


def _imagenet_state(arch: str) -> Mapping[str, Tensor]:
    weights = torchvision.models.get_model_weights(arch).DEFAULT
    try:
        # torchvision's own builder renames what old files call otherwise (densenet).
        with torch.random.fork_rng(devices=[]):
            model = torchvision.models.get_model(arch, weights=weights, progress=False)
    except (OSError, HTTPException, *_UNREADABLE) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"weights=imagenet: cannot download {weights.url.rsplit('/', 1)[-1]} ({reason}); "
            "without internet pass weights=none or weights=/path/to/state_dict"
        ) from error
    state: Mapping[str, Tensor] = model.state_dict()
    return state


def _file_state(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise InputError(f"weights={path}: no such file; allowed: imagenet, none or a file")
    try:
        if path.suffix == ".safetensors":
            state: object = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise InputError(f"weights={path}: {_PLAIN}") from error
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"weights={path}: {_PLAIN}")
    return state


def _fill(classifier: Classifier, state: Mapping[str, Tensor], weights: str) -> list[str]:
    prefix = "backbone."
    if any(key.startswith(prefix) for key in state):
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    own = classifier.backbone.state_dict()
    last_layer = _last_layer(classifier)
    fitting = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
    unfit = {key for key in own if key not in fitting and not key.endswith(BATCH_COUNTER)}
    foreign = set(state) - set(own)
    if foreign or not unfit <= last_layer:
        wrong = sorted(foreign | (unfit - last_layer))
        raise InputError(
            f"weights={weights}: not of arch={classifier.spec.arch}; "
            f"{len(wrong)} tensors do not fit, the first is {wrong[0]}"
        )
    classifier.backbone.load_state_dict(fitting, strict=False)
    return sorted(unfit)


def _last_layer(classifier: Classifier) -> set[str]:
    """Tensors of the backbone whose first axis is the number of classes, in its last layer."""
    names = list(dict.fromkeys(key.rpartition(".")[0] for key in classifier.backbone.state_dict()))
    width = classifier.spec.head_hidden
    for name in reversed(names):
        weight = classifier.backbone.get_parameter(f"{name}.weight")
        if weight.ndim > 1 and weight.shape[0] == width:
            return {f"{name}.weight", f"{name}.bias"}
    raise AssertionError(f"{classifier.spec.arch} has no classification layer")
