"""Flags that several entry points share; imports nothing that takes time."""

from dataclasses import dataclass

from fundus_ml.errors import InputError
from fundus_ml.training.options import TrainingOptions


@dataclass(frozen=True, kw_only=True)
class ResumableOptions(TrainingOptions):
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
