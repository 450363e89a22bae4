"""Any backbone with a head that ends in one logit, normalising its pixels inside itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite

import torch
from torch import Tensor, nn

from fundus_ml.errors import InputError, check_seed
from fundus_ml.models.backbones import check_backbone, make_backbone, on_meta, takes_any_size
from fundus_ml.models.heads import EvidenceHead, make_head, pooled_levels
from fundus_ml.models.levels import level_map
from fundus_ml.models.options import LAST, LEVEL_HEADS, MAP_HEADS, check_head

LARGEST = 65_536
"""Largest ``head_hidden`` and ``size``: more is a slip of the pen, and no memory holds it."""


@dataclass(frozen=True, kw_only=True)
class ClassifierSpec:
    """All that is needed, with the weights, to rebuild a classifier.

    Attributes:
        arch: Name of a network of torchvision or timm.
        head_hidden: Width of the layer between the backbone and the logit.
        mean: Per-channel mean of the training pixels, RGB in [0, 1].
        std: Per-channel standard deviation of the training pixels, each above 0.
        size: Side of the training images, pixels.
        head: ``last`` reads the backbone's last layer, ``multiscale`` the means and maxima
            over the picture of its last three levels of resolution, ``grid`` their means over the
            cells of a grid too, ``attention`` the mean of a level weighted by an attention map,
            ``bag`` a local level position by position.
        dropout: Share of features and hidden units that all heads but ``last`` drop in training.
        both_flips: In evaluation mode, whether the logit is the mean over an image and its mirror
            image.

    Raises:
        InputError: A field is outside its range.
    """

    arch: str
    head_hidden: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int
    head: str = "last"
    dropout: float = 0.0
    both_flips: bool = False

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        check_backbone(self.arch)
        check_head(self.head, self.dropout)
        for name, value in (("head_hidden", self.head_hidden), ("size", self.size)):
            if value < 1:
                raise InputError(f"{name}={value}: must be at least 1")
            if value > LARGEST:
                raise InputError(f"{name}={str(value)[:20]}: must be at most {LARGEST:,}")
        three = len(self.mean) == len(self.std) == 3  # noqa: PLR2004 (RGB)
        if not (three and all(map(isfinite, self.mean)) and all(0 < s < inf for s in self.std)):
            raise InputError(
                f"mean={self.mean}, std={self.std}: three finite numbers each, std above 0"
            )


class Classifier(nn.Module):
    """Pixels in, logit out.

    With ``head=last`` the backbone's own last layer is built with ``head_hidden`` outputs in place
    of the 1,000 ImageNet classes, so that every family gets the same head without surgery. With
    other heads the backbone is timm's, without what follows the last level that the head reads.

    Attributes:
        spec: What it was made from.
        only_side: Side of the images it takes, pixels; None takes any.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: ClassifierSpec) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("mean", _channels(spec.mean))
        self.register_buffer("std", _channels(spec.std))
        self.backbone = make_backbone(
            spec.arch,
            outputs=spec.head_hidden if spec.head == LAST else None,
            size=spec.size,
            head=spec.head,
        )
        self.head = make_head(
            spec.head, self.backbone, hidden=spec.head_hidden, dropout=spec.dropout
        )
        self.only_side = None if takes_any_size(self.backbone) else spec.size
        self.register_forward_pre_hook(_refuse_whole_numbers)
        if self.only_side is not None:
            self.register_forward_pre_hook(_refuse_other_sides)

    def forward(self, images: Tensor) -> Tensor:
        """Score photographs.

        Args:
            images: ``(N, 3, H, W)`` float RGB in [0, 1], unnormalised.

        Returns:
            ``(N,)`` logits; the sigmoid is P(second class).

        Raises:
            InputError: ``images`` are whole numbers. That floats lie in [0, 1] is not checked:
                every step of every attack and of every training would pay for it.
        """
        logit = self.read(self.features(images))
        if self.spec.both_flips and not self.training:
            logit = (logit + self.read(self.features(images.flip(3)))) / 2
        return logit

    @property
    def has_evidence(self) -> bool:
        """Whether :meth:`evidence` says where the logit comes from."""
        return isinstance(self.head, EvidenceHead)

    @property
    def evidence_is_signed(self) -> bool:
        """Whether the evidence is positive where it speaks for the second class, else negative."""
        return isinstance(self.head, EvidenceHead) and self.head.signed

    def evidence(self, images: Tensor) -> Tensor:
        """Say where in photographs the logit comes from.

        Args:
            images: ``(N, 3, H, W)`` float RGB in [0, 1], unnormalised.

        Returns:
            ``(N, h, w)`` over the positions that the head reads: with ``head=bag`` the share of
            each in the logit, to which they add up; with ``head=attention`` its weight, which is
            positive; they add up to 1. Where ``both_flips`` averages logits, it is the mean over an
            image and its mirror image, mirrored back.

        Raises:
            InputError: The head has no evidence, or the images are not what the network takes.
        """
        if not isinstance(self.head, EvidenceHead):
            raise InputError(
                f"evidence: head={self.spec.head} has none; heads that have: {', '.join(MAP_HEADS)}"
            )
        _refuse_whole_numbers(self, (images,))
        if self.only_side is not None:
            _refuse_other_sides(self, (images,))
        found = self.head.evidence(self.features(images))
        if self.spec.both_flips and not self.training:
            mirrored = self.head.evidence(self.features(images.flip(3)))
            found = (found + mirrored.flip(2)) / 2
        return found.float()

    def features(self, images: Tensor) -> Tensor:
        """Compute what the head reads: ``(N, F)`` numbers, or a ``(N, C, h, w)`` map."""
        return features_for(self.spec.head, self.backbone, (images - self.mean) / self.std)

    def read(self, features: Tensor) -> Tensor:
        """Turn :meth:`features` into ``(N,)`` logits."""
        logit: Tensor = self.head(features)
        return logit.squeeze(1)


def features_for(head: str, backbone: nn.Module, normalised: Tensor) -> Tensor:
    """Compute what a head reads of ``(N, 3, H, W)`` normalised pixels."""
    if head in MAP_HEADS:
        return level_map(backbone, normalised)
    if head in LEVEL_HEADS:
        return pooled_levels(backbone, normalised, head)
    features: Tensor = backbone(normalised)
    return features


class TwoLogits(nn.Module):
    """A one-logit model seen as a two-class one, for tools that want ``(N, 2)``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training  # tools put a model back as they found the view

    def forward(self, images: Tensor) -> Tensor:
        """Return ``(N, 2)`` logits ``[-z/2, z/2]``, whose softmax is the two classes' P."""
        logit = self.model(images)
        return torch.stack((-logit / 2, logit / 2), dim=1)


def two_logits(model: nn.Module) -> TwoLogits:
    """View a one-logit ``model`` as ``(N, 2)`` logits with the same probabilities."""
    return TwoLogits(model)


def make_classifier(spec: ClassifierSpec, *, seed: int) -> Classifier:
    """Build a classifier with random weights that depend on ``seed`` alone.

    Raises:
        InputError: From :class:`ClassifierSpec` or :func:`check_seed`.
    """
    check_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Classifier(spec)


def weight_bytes(arch: str, head_hidden: int, head: str = "last") -> int:
    """Size of the weights of a classifier's backbone, without making them.

    Raises:
        InputError: From :class:`ClassifierSpec`, or the backbone has no such head.
    """
    spec = ClassifierSpec(
        arch=arch,
        head_hidden=head_hidden,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        size=224,
        head=head,
    )
    outputs = spec.head_hidden if head == LAST else None
    backbone = on_meta(spec.arch, outputs=outputs, size=spec.size, head=head)
    return sum(tensor.nbytes for tensor in backbone.state_dict().values())


def _refuse_whole_numbers(_model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Look at what enters; inside ``forward`` the look would keep attacks from folding it."""
    (images,) = inputs
    if not images.is_floating_point():
        raise InputError(
            f"images are {images.dtype}: must be float RGB in [0, 1], 8-bit values over 255"
        )


def _refuse_other_sides(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    (images,) = inputs
    assert isinstance(model, Classifier)
    if images.shape[-2:] != (model.only_side, model.only_side):
        height, width = images.shape[-2:]
        raise InputError(
            f"images are {height} by {width} pixels: arch={model.spec.arch} was built for "
            f"{model.only_side} by {model.only_side} and takes no other"
        )


def _channels(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1)
