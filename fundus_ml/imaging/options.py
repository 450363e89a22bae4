"""How an eye is cut out of its photograph: what a user may ask; imports nothing that takes time."""

from dataclasses import dataclass, fields
from typing import Literal

from fundus_ml.errors import InputError, refuse_outside

PADDINGS = ("black", "mirror")
SURROUNDS = ("black", "keep")
WHOLE = "whole"
BORDER = "border"
SHOWS = {
    WHOLE: "whole eyes",
    "disc": "discs alone",
    "macula": "maculas alone",
    BORDER: "borders alone",
}
"""What squares of each kind show."""


@dataclass(frozen=True, kw_only=True)
class CropOptions:
    """How an eye is cut out of its photograph, and which are good enough."""

    size: int = 300
    """Side of the square eyes, pixels."""
    around: Literal["whole", "disc", "macula", "border"] = "whole"
    """What the square shows: the whole field of view; a part of it, finer: the surroundings of the
    disc or of the macula, an eye on which it is not found is rejected; or border: the whole square
    with the retina painted grey, so that what a network reads there is no anatomy."""
    around_width: float = 0.35
    """Side of the square around disc or macula, in diameters of the field of view."""
    padding: Literal["black", "mirror"] = "black"
    """What fills the square where the circle leaves the frame: black or mirror."""
    surround: Literal["black", "keep"] = "black"
    """Outside the circle: black, or keep what the camera wrote there (dates, paper)."""
    min_quality: float = 0.0
    """Eyes of a lower quality, 0 to 1, are rejected."""
    same_person: bool = True
    """Look for the same eye under several ids, and let the ids count as one person."""

    @property
    def whole_size(self) -> int:
        """Side of a square of the whole field of view as fine as what is shown, pixels."""
        return round(self.size / self.around_width) if self.around_part else self.size

    @property
    def around_part(self) -> bool:
        """Whether the square is cut around a part of the eye, which has to be found."""
        return self.around not in (WHOLE, BORDER)

    def plain(self) -> "CropOptions":
        """Leave out what a subclass adds: a process that crops need not import the subclass."""
        return CropOptions(**{f.name: getattr(self, f.name) for f in fields(CropOptions)})

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        refuse_outside(
            self,
            at_least={"size": 1},
            one_of={"padding": PADDINGS, "surround": SURROUNDS, "around": SHOWS},
        )
        if self.around == BORDER and self.padding != "black":
            raise InputError(f"padding={self.padding}: mirrors retina; around=border needs black")
        if not 0 < self.around_width <= 1:
            raise InputError(f"around_width={self.around_width}: must be above 0 and at most 1")
        if not 0 <= self.min_quality <= 1:
            raise InputError(f"min_quality={self.min_quality}: must be from 0 to 1")
