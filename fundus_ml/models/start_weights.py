"""What a backbone starts from: ImageNet, a file, or nothing."""

import os
from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from fundus_ml.errors import InputError
from fundus_ml.models.backbones import (
    interpolated_positions,
    names_whole,
    of_timm,
    of_torchvision,
)
from fundus_ml.models.classifiers import Classifier
from fundus_ml.models.feature_extractor import last_layer
from fundus_ml.models.imagenet import imagenet_weights
from fundus_ml.models.options import LAST
from fundus_ml.models.origins import looks_like
from fundus_ml.models.weight_files import read_state

BATCH_COUNTER = ".num_batches_tracked"
"""BatchNorm's counter, which nothing reads here and files from before torch 0.4.1 lack."""
NORMALISERS: Mapping[str, str] = MappingProxyType(
    {"mean": "std", "new_mean": "new_std", "mu": "sigma"}
)
"""What networks that normalise pixels themselves call the mean, and the deviation beside it:
classifiers of ours and most others, the library `robustness`, and RobustBench."""
CHANNELS = 3
MAE_DECODER = ("decoder_", "mask_token")
"""How names begin of what a masked autoencoder learns beside its encoder."""
POSITIONS = "pos_embed"
BRIGHTEST = 255
"""Value of the brightest pixel for networks whose mean exceeds 1."""


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
        spec = classifier.spec
        found = imagenet_weights(spec.arch, head=spec.head, size=spec.size)
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
    normalises inside the network, as `robustness` and classifiers of ours do, its mean and std
    replace the classifier's: what the weights make of pixels depends on them. The decoder of a
    masked autoencoder (MAE, RETFound) is left, and the positions that a vision transformer learned
    at another size are interpolated.

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
    normaliser = _normaliser(state)
    learned = {k: v for k, v in state.items() if k not in (normaliser or ())}
    prefix = _prefix(own, learned)
    named = {k.removeprefix(prefix): v for k, v in learned.items() if k.startswith(prefix)}
    named = {k: v for k, v in named.items() if not k.startswith(MAE_DECODER)}
    if POSITIONS in named:
        named[POSITIONS] = interpolated_positions(classifier.backbone, named[POSITIONS])
    fitting = {k: v for k, v in named.items() if k in own and v.shape == own[k].shape}
    unfit = {key for key in own if key not in fitting and not key.endswith(BATCH_COUNTER)}
    foreign = set(named) - set(own) - _not_built(classifier)
    wrong = sorted(name for name in unfit | foreign if not name.startswith(last))
    if wrong:
        raise InputError(
            f"weights={weights}: not of arch={classifier.spec.arch}{looks_like(state)}; "
            f"{len(wrong)} tensors do not fit, the first is {wrong[0]}"
        )
    if normaliser is not None:
        _normalise_alike(classifier, *(state[name] for name in normaliser))
    classifier.backbone.load_state_dict(fitting, strict=False)
    return sorted(unfit)


def _not_built(classifier: Classifier) -> AbstractSet[str]:
    """Names of the whole network's tensors, where the classifier was built without its end."""
    spec = classifier.spec
    if spec.head == LAST:
        return frozenset()
    libraries = [
        library
        for library, known in (("torchvision", of_torchvision()), ("timm", of_timm()))
        if spec.arch in known
    ]
    names = (names_whole(spec.arch, size=spec.size, library=library) for library in libraries)
    return frozenset().union(*names)


def _normaliser(state: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """Names of the mean and the deviation that a network normalises its pixels by."""
    for key, mean in state.items():
        place, dot, name = key.rpartition(".")
        std = f"{place}{dot}{NORMALISERS.get(name)}"
        if std in state and mean.numel() == state[std].numel() == CHANNELS:
            return key, std
    return None


def _normalise_alike(classifier: Classifier, mean: Tensor, std: Tensor) -> None:
    unit = BRIGHTEST if mean.max() > 1 else 1
    mean, std = (channels.flatten() / unit for channels in (mean, std))
    _normalise_by(classifier, tuple(mean.tolist()), tuple(std.tolist()))


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
