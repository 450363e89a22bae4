"""Flags that several entry points share; imports nothing that takes time."""

from collections.abc import Mapping
from dataclasses import dataclass

from fundus_ml.errors import InputError
from fundus_ml.training.options import TrainingOptions
from tracking.options import Direction

METRICS: Mapping[str, Direction] = {
    "val_auroc": "maximize",
    "val_loss": "minimize",
    "robust_val_auroc": "maximize",
}
"""What a study may seek, and in which direction."""


@dataclass(frozen=True, kw_only=True)
class ConsoleOptions:
    """What a run prints."""

    verbose: bool = False
    """Also print the tables, details and notices of libraries that the run keeps as artifacts."""


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
