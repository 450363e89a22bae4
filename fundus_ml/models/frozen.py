"""A classifier cut after its frozen layers: what is computed once, and what learns."""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from fundus_ml.models.backbones import LEVELS, frozen_layers
from fundus_ml.models.classifiers import Classifier
from fundus_ml.models.feature_extractor import FeatureExtractor, last_layer
from fundus_ml.models.heads import pooled_levels, pools
from fundus_ml.models.levels import level_map
from fundus_ml.models.options import BACKBONE, LAST, LEVEL_HEADS, MAP_HEADS

TOLERANCE = 1e-3
"""Largest difference between the logits of the whole and of its two parts."""


class FrozenPart(nn.Module):
    """Pixels in, everything that the other part reads of them out, as one row per image.

    Attributes:
        kind: Backbone, head and number of levels; with the weights, all that decides the rows.
    """

    def __init__(self, classifier: Classifier, freeze: str) -> None:
        super().__init__()
        self._last = classifier.spec.head == LAST
        self._levels = 0 if freeze == BACKBONE else int(freeze)
        self.kind = f"{classifier.spec.arch} {classifier.spec.head} {self._levels}"
        whole = self._levels or not self._last
        self.network = copy.deepcopy(classifier) if whole else FeatureExtractor(classifier)
        if whole:
            del self.network.head  # its random weights must not tell stored features apart
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the frozen layers.

        Args:
            images: ``(N, 3, H, W)`` float RGB in [0, 1], unnormalised.

        Returns:
            ``(N, D)``: the features that the head, or the last layer, reads, a map as one row; or
            the activations of the last frozen level after what the head reads of the levels before
            it.
        """
        if not self._levels:
            network: Any = self.network
            features: Tensor = network(images) if self._last else network.features(images)
            return features.flatten(1)
        pooled, activation = self.levels(images)
        return torch.cat([pooled, activation.flatten(1)], dim=1)

    def levels(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Give what the head reads of earlier levels, ``(N, P)``, and the last frozen level."""
        network: Any = self.network
        normalised = (images - network.mean) / network.std
        levels = network.backbone.forward_intermediates(
            normalised, indices=list(range(self._levels)), intermediates_only=True, stop_early=True
        )
        read = levels[-1 - _earlier(network, self._levels) : -1]
        return torch.cat(
            [images.new_empty(len(images), 0), *pools(read, network.spec.head)], dim=1
        ), levels[-1]


class TrainedPart(nn.Module):
    """What :class:`FrozenPart` gives in, logits out; its layers have the classifier's names."""

    def __init__(self, classifier: Classifier, freeze: str, side: int) -> None:
        super().__init__()
        self.spec = classifier.spec
        self.head = copy.deepcopy(classifier.head)
        self._shape: tuple[int, ...] = ()
        self._earlier = 0
        if freeze != BACKBONE:
            self.backbone = _above(classifier.backbone, int(freeze))
            self._earlier = _earlier(classifier, int(freeze))
            self._shape = _shape_at(classifier, freeze, side)
        elif self.spec.head in MAP_HEADS:
            self._shape = _map_shape(classifier, side)
        elif self.spec.head == LAST:
            self.last = copy.deepcopy(classifier.backbone.get_submodule(last_layer(classifier)))

    def forward(self, stored: Tensor) -> Tensor:
        """Score eyes.

        Args:
            stored: ``(N, D)``, or ``(N, 2, D)`` of the images and their mirror images.

        Returns:
            ``(N,)`` logits, of two views the mean where the classifier averages them.
        """
        if stored.ndim == 2:  # noqa: PLR2004 (images, features)
            return self._score(stored)
        if not self.spec.both_flips:
            return self._score(stored[:, 0])
        return (self._score(stored[:, 0]) + self._score(stored[:, 1])) / 2

    def give_back(self, classifier: Classifier) -> None:
        """Put what was learned into the classifier that was cut."""
        named = {
            name.replace("last.", f"backbone.{last_layer(classifier)}.", 1)
            if name.startswith("last.") else name: value
            for name, value in self.state_dict().items()
        }  # fmt: skip
        _, unexpected = classifier.load_state_dict(named, strict=False)
        assert not unexpected, unexpected

    def _score(self, stored: Tensor) -> Tensor:
        logit: Tensor = self.head(self._features(stored))
        return logit.squeeze(1)

    def _features(self, stored: Tensor) -> Tensor:
        if not self._shape:
            features: Tensor = self.last(stored) if self.spec.head == LAST else stored
            return features
        first = stored.shape[1] - math.prod(self._shape)
        activation = stored[:, first:].view(-1, *self._shape)
        activation = activation.contiguous(memory_format=torch.channels_last)
        if not hasattr(self, "backbone"):
            return activation
        if self.spec.head in MAP_HEADS:
            return level_map(self.backbone, activation)
        if self.spec.head in LEVEL_HEADS:
            above = pooled_levels(self.backbone, activation, self.spec.head, skip=self._earlier)
            return torch.cat([stored[:, :first], above], dim=1)
        last: Tensor = self.backbone(activation)
        return last


def cut(classifier: Classifier, freeze: str, *, side: int) -> tuple[FrozenPart, TrainedPart] | None:
    """Cut a classifier where ``freeze`` ends, into copies of its two parts.

    Args:
        classifier: Left as it is.
        freeze: ``backbone`` or a number of levels.
        side: Side of the images, pixels.

    Returns:
        The parts; None where the network is none that runs layer after layer, as vision
        transformers, which add positions behind their first layer.

    Raises:
        InputError: From :func:`fundus_ml.models.backbones.frozen_layers`.
    """
    if freeze != BACKBONE:
        frozen_layers(classifier.backbone, freeze)
        if hasattr(classifier.backbone, "patch_embed"):
            return None
    elif not isinstance(_last(classifier), nn.Linear | nn.Identity):
        return None
    parts = FrozenPart(classifier, freeze), TrainedPart(classifier, freeze, side)
    return parts if _alike(classifier, *parts, side=side) else None


def _last(classifier: Classifier) -> nn.Module:
    return classifier.backbone.get_submodule(last_layer(classifier))


def _above(backbone: nn.Module, levels: int) -> nn.Module:
    """Copy a backbone whose first levels let pass what they are given."""
    above = copy.deepcopy(backbone)
    for name in frozen_layers(backbone, str(levels)):
        above.set_submodule(name, nn.Identity())
    return above


def _earlier(classifier: Classifier, levels: int) -> int:
    """Count the levels that the head reads before the last frozen one."""
    if classifier.spec.head not in LEVEL_HEADS:
        return 0
    every: Any = classifier.backbone.feature_info
    return max(0, levels - 1 - (len(every) - LEVELS))


@torch.no_grad()
def _shape_at(classifier: Classifier, freeze: str, side: int) -> tuple[int, ...]:
    images = torch.zeros(1, 3, side, side, device=classifier.mean.device)
    _, activation = FrozenPart(classifier, freeze).levels(images)
    return tuple(activation.shape[1:])


@torch.no_grad()
def _map_shape(classifier: Classifier, side: int) -> tuple[int, ...]:
    images = torch.zeros(1, 3, side, side, device=classifier.mean.device)
    return tuple(copy.deepcopy(classifier).eval().features(images).shape[1:])


@torch.no_grad()
def _alike(classifier: Classifier, frozen: FrozenPart, trained: TrainedPart, *, side: int) -> bool:
    """Whether both parts one after the other compute what the classifier does."""
    whole, rest = copy.deepcopy(classifier).eval(), copy.deepcopy(trained).eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, side, side, generator=generator).to(classifier.mean.device)
    both = torch.stack([frozen(images), frozen(images.flip(3))], dim=1)
    return bool((whole(images) - rest(both)).abs().max() <= TOLERANCE)
