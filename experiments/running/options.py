"""Flags that several entry points share; imports nothing that takes time."""

from collections.abc import Mapping
from dataclasses import dataclass

from fundus_ml.data.options import check_labels
from fundus_ml.errors import InputError, check_seed, refuse_outside
from fundus_ml.models.options import check_head
from fundus_ml.training.options import TrainingOptions
from tracking.options import Direction

METRICS: Mapping[str, Direction] = {
    "val_auroc": "maximize",
    "val_loss": "minimize",
    "robust_val_auroc": "maximize",
}
"""What a study may seek, and in which direction."""


SAME, ANY, NO = "same", "any", "no"
REUSES = (SAME, ANY, NO)
"""Which finished runs stand for a step: those of the same code, those of any, none."""


def check_reuse(reuse: str) -> None:
    """Refuse a word that is none of :data:`REUSES`.

    Raises:
        InputError: It is none.
    """
    if reuse not in REUSES:
        raise InputError(f"reuse={reuse}: allowed: {', '.join(REUSES)}")


@dataclass(frozen=True, kw_only=True)
class ConsoleOptions:
    """What a run prints."""

    verbose: bool = False
    """Also print the tables, details and notices of libraries that the run keeps as artifacts."""


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(TrainingOptions):
    """Which network is trained, from what, and how."""

    arch: str = "efficientnet_lite0"
    """Backbone, by its name in torchvision or timm."""
    head: str = "last"
    """What the logit is read from: last, the backbone's last layer; of networks of timm also
    multiscale, means and maxima over the picture of its last three levels of resolution; grid,
    their means over the cells of a grid too, each with its mirror image; attention, the mean of a
    level (stride 16) weighted by an attention map; or bag, the mean of what patches of about 33
    pixels say each by itself. The last two say where their evidence lies."""
    head_hidden: int = 256
    """Width of the layer before the logit, and of the one before the attention."""
    dropout: float = 0.0
    """Share of features and hidden units that all heads but last drop in training."""
    both_flips: bool = False
    """Answer the mean logit of an image and its mirror image; twice the passes, in attacks too."""
    weights: str = "imagenet"
    """Start weights: imagenet (installed for efficientnet_lite0 to 2, else downloaded), none, a
    registered version such as models:/fundus-pretrained@candidate, or a file of weights."""
    recipe: str = ""
    """Values for these flags from a file: probe (frozen ImageNet features), finetune, attention,
    bagnet, or a YAML file of one's own; a flag that is given another value than its default keeps
    it."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        check_head(self.head, self.dropout)


@dataclass(frozen=True, kw_only=True)
class ResumableOptions(TrainingOptions, ConsoleOptions):
    """Flags of a training that is kept on disk while it lasts."""

    checkpoints: str = ""
    """Folder of the unfinished training; checkpoints/NAME-DIGEST, by its flags, if empty."""
    checkpoint_minutes: float = 10.0
    """Time between checkpoints inside an epoch; each epoch ends with one."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        if not self.checkpoint_minutes > 0:
            raise InputError(f"checkpoint_minutes={self.checkpoint_minutes}: must be above 0")


@dataclass(frozen=True, kw_only=True)
class ReplicatedOptions(ResumableOptions):
    """Flags of a training that may be asked for several networks, or for null models."""

    labels: str = "true"
    """Labels that are learned: true; or, for a null model, shuffled between people, or another real
    label: eye (side), age (older half), camera or source (two halves). A null model gets no alias
    and no exported program, and must start from nothing that learned other labels."""
    replicates: int = 1
    """Networks to train, from seed, seed+1, …, each a run and a version; only the first may get an
    alias."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        check_labels(self.labels, augment=self.augment)
        refuse_outside(self, at_least={"replicates": 1})
        check_seed(self.seed + self.replicates - 1)
