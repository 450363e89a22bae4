"""How long, how fast and on what the engine learns."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fundus_ml.errors import InputError, check_seed, refuse_outside
from fundus_ml.models.options import BACKBONE, check_precision

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "step", "onecycle", "constant")
BALANCES = ("none", "sampler", "loss")
AUGMENTATIONS = ("none", "flip", "geometry", "full")
FREEZES = ("none", BACKBONE, "batchnorm")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How long, how fast and on what the engine learns."""

    epochs: int = 10
    """Passes over the training split."""
    batch_size: int = 32
    """Images per step, those of all processes together."""
    accumulate: int = 1
    """Passes that gather the gradient of one step, each over an equal part of the batch: a large
    batch in little memory."""
    lr: float = 1e-3
    """Peak learning rate."""
    optimizer: str = "adamw"
    """adamw or sgd (Nesterov)."""
    schedule: str = "cosine"
    """cosine to zero, step (a tenth after each third), onecycle (up for 0.3 of the steps, down to
    zero), or constant."""
    warmup: float = 0.0
    """Epochs over which the rate rises linearly to its schedule."""
    momentum: float = 0.9
    """Momentum of sgd."""
    weight_decay: float = 0.05
    """Decoupled in adamw, L2 in sgd."""
    layer_decay: float = 1.0
    """Each layer of the backbone (of torchvision's networks each stage) learns at this share of the
    rate of the one after it; the head learns at the full rate."""
    head_epochs: int = 0
    """Epochs at the beginning in which only the head learns (and the backbone's last layer)."""
    clip_norm: float = 0.0
    """Longest gradient of a step; 0 does not clip."""
    label_smoothing: float = 0.0
    """Labels 0 and 1 are learned as this half above and below."""
    ema: float = 0.0
    """Decay per step of the averaged weights that are validated and kept; 0 keeps the last ones."""
    balance: str = "none"
    """none, or the dataset's weights: sampler draws eyes by them, loss weighs their errors."""
    freeze: str = "none"
    """none, backbone (only its last layer and the head learn), batchnorm (its statistics and
    weights stay), or a number: so many of the first levels of one of timm's networks stay."""
    augment: str = "flip"
    """none, flip, geometry (flip, rotation, scale, shift), or full (colour and blur too)."""
    patience: int = 0
    """Stop after this many epochs without a better validation score; 0 never stops early."""
    precision: str = "auto"
    """auto (on a GPU bf16, or fp16 where it has none; on a CPU the faster of fp32 and bf16 for this
    network, measured), fp32, bf16 or fp16."""
    seed: int = 0
    """Seed of the weights, the order, the augmentation, dropout and the perturbations."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        refuse_outside(self, at_least=_LEAST, one_of=_CHOICES)
        check_precision(self.precision)
        check_seed(self.seed)
        self._check_shares()
        self._check_freeze()
        if self.warmup >= self.epochs:
            raise InputError(f"warmup={self.warmup}: must be below epochs={self.epochs}")
        if self.batch_size % self.accumulate:
            raise InputError(
                f"accumulate={self.accumulate}: must divide batch_size={self.batch_size}"
            )

    def _check_freeze(self) -> None:
        if self.freeze not in FREEZES and not (self.freeze.isdecimal() and int(self.freeze)):
            raise InputError(
                f"freeze={self.freeze}: allowed: {', '.join(FREEZES)}, or a number of levels from 1"
            )
        if self.head_epochs >= self.epochs:
            raise InputError(f"head_epochs={self.head_epochs}: must be below epochs={self.epochs}")

    def _check_shares(self) -> None:
        for name in ("ema", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)}: must be 0 or more and below 1")
        if not 0 < self.lr < math.inf:
            raise InputError(f"lr={self.lr}: must be a finite number above 0")
        if not 0 < self.layer_decay <= 1:
            raise InputError(f"layer_decay={self.layer_decay}: must be above 0 and at most 1")


_LEAST: Mapping[str, int] = MappingProxyType(
    {
        "epochs": 1,
        "batch_size": 2,
        "accumulate": 1,
        "warmup": 0,
        "head_epochs": 0,
        "momentum": 0,
        "weight_decay": 0,
        "clip_norm": 0,
        "patience": 0,
    }
)
_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
        "balance": BALANCES,
        "augment": AUGMENTATIONS,
    }
)
