"""How photographs become a dataset: what a user may ask; imports nothing that takes time."""

from dataclasses import dataclass, fields
from typing import Literal

from fundus_ml.data.options import check_factors, check_fractions
from fundus_ml.errors import InputError, check_seed, refuse_outside

PADDINGS = ("black", "mirror")
SURROUNDS = ("black", "keep")
CONTRADICTING = ("reject", "keep")
SPLITTINGS = ("by_person", "by_file")
STRATA = ("age", "findings")


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


@dataclass(frozen=True, kw_only=True)
class PreprocessingOptions(CropOptions):
    """How photographs become a dataset."""

    contradicting: Literal["reject", "keep"] = "reject"
    """Eyes found to be of one person under both sexes: reject, or keep with a flag."""
    val_fraction: float = 0.15
    """Share of the eyes in the validation split."""
    test_fraction: float = 0.15
    """Share of the eyes in the test split."""
    split: Literal["by_person", "by_file"] = "by_person"
    """by_person; by_file only to show what leakage does: it tears people apart."""
    stratify: Literal["age", "findings"] = "age"
    """What each split gets its share of, beside sex and source: age bands, or first the findings of
    the release (glaucoma …) and within them age bands."""
    balance: str = "sex,source"
    """What the sampling weights in the manifest make equal: sex (within every source and age
    band), source, age (bands), with commas; empty for none."""
    permutations: int = 1000
    """Shuffled labels behind the audit's chance levels."""
    seed: int = 0
    """Seed of the split, the audit and, for synthetic, the people."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        refuse_outside(
            self,
            at_least={"permutations": 1},
            one_of={"contradicting": CONTRADICTING, "split": SPLITTINGS, "stratify": STRATA},
        )
        check_fractions(val_fraction=self.val_fraction, test_fraction=self.test_fraction)
        check_factors(self.balance_factors)
        check_seed(self.seed)

    @property
    def balance_factors(self) -> tuple[str, ...]:
        """``balance`` as names."""
        return tuple(name.strip() for name in self.balance.split(",") if name.strip())
