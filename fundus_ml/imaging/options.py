"""How an eye is cut out of its photograph: what a user may ask; imports nothing that takes time."""

from dataclasses import dataclass, fields
from typing import Literal

from fundus_ml.errors import InputError, refuse_outside

PADDINGS = ("black", "mirror")
SURROUNDS = ("black", "keep")


@dataclass(frozen=True, kw_only=True)
class CropOptions:
    """How an eye is cut out of its photograph, and which are good enough."""

    size: int = 300
    """Side of the square eyes, pixels."""
    padding: Literal["black", "mirror"] = "black"
    """What fills the square where the circle leaves the frame: black or mirror."""
    surround: Literal["black", "keep"] = "black"
    """Outside the circle: black, or keep what the camera wrote there (dates, paper)."""
    min_quality: float = 0.0
    """Eyes of a lower quality, 0 to 1, are rejected."""
    same_person: bool = True
    """Look for the same eye under several ids, and let the ids count as one person."""

    def plain(self) -> "CropOptions":
        """Leave out what a subclass adds: a process that crops need not import the subclass."""
        return CropOptions(**{f.name: getattr(self, f.name) for f in fields(CropOptions)})

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        refuse_outside(
            self, at_least={"size": 1}, one_of={"padding": PADDINGS, "surround": SURROUNDS}
        )
        if not 0 <= self.min_quality <= 1:
            raise InputError(f"min_quality={self.min_quality}: must be from 0 to 1")
