"""Whom to draw: what a user may ask of a synthetic population; imports nothing that takes time."""

import math
from dataclasses import dataclass

from fundus_ml.errors import InputError, check_seed

CUES = ("disc", "vessels", "macula", "none")
"""Where the sexes may be made to differ."""
AGE_SD = 14.0
"""Standard deviation of the ages, years."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """Whom to draw, and how their sexes differ.

    Attributes:
        patients: Number of patients, one or two eyes each.
        cue: Where the sexes differ, one of :data:`CUES`.
        cue_strength: Distance between the sexes' means of the planted trait, in its standard
            deviation within a sex; males higher.
        age_sex_shift: Years by which males are older; 0 leaves age unrelated to sex.
        camera_sex_odds: Odds ratio of a male rather than a female being taken with the first
            half of the cameras; 1 leaves the camera unrelated to sex.
        seed: Seed of every draw.
    """

    patients: int = 600
    cue: str = "disc"
    cue_strength: float = 4.0
    age_sex_shift: float = 0.0
    camera_sex_odds: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values no population can be drawn from.

        Raises:
            InputError: A field is outside what its description allows.
        """
        if self.patients < 1:
            raise InputError(f"patients={self.patients}: allowed: 1 or more")
        if self.cue not in CUES:
            raise InputError(f"cue={self.cue}: allowed: {', '.join(CUES)}")
        if not (math.isfinite(self.cue_strength) and self.cue_strength >= 0):
            raise InputError(f"cue_strength={self.cue_strength}: allowed: a number from 0 up")
        if not abs(self.age_sex_shift) <= AGE_SD:
            raise InputError(
                f"age_sex_shift={self.age_sex_shift}: allowed: -{AGE_SD:g} to {AGE_SD:g} years"
            )
        if not (math.isfinite(self.camera_sex_odds) and self.camera_sex_odds > 0):
            raise InputError(f"camera_sex_odds={self.camera_sex_odds}: allowed: a number above 0")
        check_seed(self.seed)
