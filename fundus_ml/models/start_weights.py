"""What a backbone starts from: ImageNet, a file, or nothing."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import Classifier
from fundus_ml.models.feature_extractor import last_layer
from fundus_ml.models.imagenet import imagenet_weights
from fundus_ml.models.origins import looks_like
from fundus_ml.models.weight_files import read_state

BATCH_COUNTER = ".num_batches_tracked"
"""BatchNorm's counter, which nothing reads here and files from before torch 0.4.1 lack."""
NORMALISER = ("normalizer.new_mean", "normalizer.new_std")
"""How the tensors end by which the library `robustness` normalises pixels inside the network."""


def load_start_weights(classifier: Classifier, weights: str) -> list[str]:
    """Fill the backbone of ``classifier`` in place.

    The layers whose shape depends on the number of classes stay random, and are named.

    Args:
        classifier: Freshly made.
        weights: ``imagenet`` (see :func:`fundus_ml.models.imagenet.imagenet_weights`; pixels are
            normalised as those weights learned them), ``none`` (stay random), or a file that
            :func:`fundus_ml.models.weight_files.read_state` takes.

    Returns:
        Names of the backbone tensors that stayed random.

    Raises:
        InputError: No such weights or file, no network, or weights of another architecture.
    """
    if weights == "none":
        return []
    if weights == "imagenet":
        found = imagenet_weights(classifier.spec.arch)
        random = fill_backbone(classifier, found.state, weights=weights)
        _normalise_by(classifier, found.mean, found.std)
        return random
    state = read_state(Path(os.path.expanduser(weights)))
    return fill_backbone(classifier, state, weights=weights)


def fill_backbone(
    classifier: Classifier, state: Mapping[str, Tensor], *, weights: str
) -> list[str]:
    """Fill the backbone of ``classifier`` in place from tensors by name.

    The network may stand under any prefix (``module.``, ``backbone.``, ``module.model.`` …): the
    one under which most tensors fit is taken, what stands under others is left. Where the file
    normalises inside the network, as `robustness` does, its mean and std replace the classifier's:
    what a feature extractor is robust to in pixels depends on them.

    Args:
        classifier: Whose last layer and head stay random where the file has others.
        state: State dict of the torchvision model, of a :class:`Classifier`, or of something around
            one.
        weights: Where they come from, for the line that refuses them.

    Returns:
        Names of the backbone tensors that stayed random.

    Raises:
        InputError: They are of another architecture; nothing was filled.
    """
    own = classifier.backbone.state_dict()
    last = last_layer(classifier) + "."
    prefix = _prefix(own, state)
    named = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    fitting = {k: v for k, v in named.items() if k in own and v.shape == own[k].shape}
    unfit = {key for key in own if key not in fitting and not key.endswith(BATCH_COUNTER)}
    wrong = sorted(name for name in unfit | (set(named) - set(own)) if not name.startswith(last))
    if wrong:
        raise InputError(
            f"weights={weights}: not of arch={classifier.spec.arch}{looks_like(state)}; "
            f"{len(wrong)} tensors do not fit, the first is {wrong[0]}"
        )
    _normalise_alike(classifier, state)
    classifier.backbone.load_state_dict(fitting, strict=False)
    return sorted(unfit)


def _normalise_alike(classifier: Classifier, state: Mapping[str, Tensor]) -> None:
    found = [[v for k, v in state.items() if k.endswith(end)] for end in NORMALISER]
    if not all(found):
        return
    mean, std = (tuple(values[0].flatten().tolist()) for values in found)
    _normalise_by(classifier, mean, std)


def _normalise_by(classifier: Classifier, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    classifier.spec = replace(classifier.spec, mean=mean, std=std)
    for buffer, channels in ((classifier.mean, mean), (classifier.std, std)):
        buffer.copy_(torch.tensor(channels).view_as(buffer))


def _prefix(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """The part of the file's names before most of the backbone's; of equals the first shortest."""
    fitting: Counter[str] = Counter({"": 0})
    for key, value in state.items():
        parts = key.split(".")
        for cut in range(len(parts)):
            name = ".".join(parts[cut:])
            if name in own and own[name].shape == value.shape:
                fitting[key.removesuffix(name)] += 1
    most = max(fitting.values())
    return min((prefix for prefix, count in fitting.items() if count == most), key=len)
