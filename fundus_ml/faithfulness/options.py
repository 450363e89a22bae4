"""What a user may ask of the scores of explanation maps; imports nothing that takes time."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from fundus_ml.attribution.options import BASELINES
from fundus_ml.errors import InputError, check_seed, refuse_outside

ENERGIES = ("square", "magnitude")
"""How a map becomes an energy: squared, as a gradient or a change is, or in absolute value."""


@dataclass(frozen=True, kw_only=True)
class FaithfulnessOptions:
    """How explanation maps are scored.

    Attributes:
        batch_size: Images per forward pass.
        levels: Steps of a deletion or insertion curve, each of the same number of pixels.
        fills: What deletion and insertion curves put in place of pixels, names among
            :data:`fundus_ml.attribution.options.BASELINES`.
        blur: Standard deviation of the fill ``blur``, share of the longer side.
        removal_fill: What sensitivity-n and infidelity put there, one of the same names.
        patch: Side of the square patches that sensitivity-n and infidelity remove, pixels.
        removed_shares: Shares of the patches that are removed at once, each above 0, below 1.
        subsets: Random subsets of patches per share, at least 3.
        noise_radius: Largest change of a value in max-sensitivity; pixels lie in [0, 1].
        noise_draws: Noisy copies of an image in max-sensitivity.
        stages: Stages of the cascading randomisation; the last one holds all layers.
        repeats: Seeds of the repeatability, at least 2.
        tolerance: Distance from a part at which the pointing game still hits, pixels.
        energy: Whether the enrichment's energy is the map's ``square`` or its ``magnitude``.
        seed: Seed of subsets, noise, weights and of the order of pixels of equal value.

    Raises:
        InputError: A field is outside its range.
    """

    batch_size: int = 32
    levels: int = 16
    fills: Sequence[str] = ("mean", "blur")
    blur: float = 0.1
    removal_fill: str = "mean"
    patch: int = 8
    removed_shares: Sequence[float] = (0.1, 0.3, 0.6)
    subsets: int = 32
    noise_radius: float = 0.02
    noise_draws: int = 4
    stages: int = 4
    repeats: int = 3
    tolerance: float = 0.0
    energy: str = "square"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        least = dict.fromkeys(("batch_size", "levels", "patch", "noise_draws", "stages"), 1)
        refuse_outside(
            self,
            at_least=least | {"subsets": 3, "repeats": 2, "tolerance": 0},
            one_of={"removal_fill": BASELINES, "energy": ENERGIES},
        )
        if not self.fills:
            raise InputError(f"fills: empty; allowed: {', '.join(BASELINES)}")
        if unknown := [name for name in self.fills if name not in BASELINES]:
            raise InputError(f"fills={unknown[0]}: allowed: {', '.join(BASELINES)}")
        for name in ("blur", "noise_radius"):
            if not 0 < (value := getattr(self, name)) < inf:
                raise InputError(f"{name}={value}: must be a finite number above 0")
        if not self.removed_shares or not all(0 < share < 1 for share in self.removed_shares):
            shown = ", ".join(f"{share:g}" for share in self.removed_shares)
            raise InputError(f"removed_shares={shown}: each must lie above 0 and below 1")
        check_seed(self.seed)
