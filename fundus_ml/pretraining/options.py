"""What a user may ask of a pretraining; imports nothing that takes time."""

import math
from dataclasses import dataclass

from fundus_ml.errors import InputError

PAIRS = ("photograph", "person")


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """What each term of the loss counts."""

    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        for name, value in vars(self).items():
            if not 0 <= value < math.inf:
                raise InputError(f"{name}={value}: must be 0 or more")
        if self.variance == 0:
            raise InputError("variance=0: must be above 0, or every eye is described alike")
