"""How photographs become a dataset: what a user may ask; imports nothing that takes time."""

from dataclasses import dataclass
from typing import Literal

from fundus_ml.data.options import check_factors, check_fractions, factors_of
from fundus_ml.errors import InputError, check_seed, refuse_outside
from fundus_ml.imaging.options import CropOptions

CONTRADICTING = ("reject", "keep")
SPLITTINGS = ("by_person", "by_file")
STRATA = ("age", "findings")


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
    splits_of: str = ""
    """Dataset folder of the same photographs, cut otherwise: people, known by eye or id, keep the
    split they have there, so that versions of both can be compared on one test split. Others are
    dealt as ever."""
    stratify: Literal["age", "findings"] = "age"
    """What each split gets its share of, beside sex and source: age bands, or first the findings of
    the release (glaucoma …) and within them age bands."""
    balance: str = "sex,source"
    """What the sampling weights in the manifest make equal: sex (within every source and age
    band), source, age (bands), with commas; empty for none."""
    regions: str = "yes"
    """Where disc, cup, fovea and vessels lie: yes (look for them), no, or a folder with drawn masks
    in disc, cup or vessels, named like their photographs, which go before what is found."""
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
        if self.around_part and self.regions == "no":
            raise InputError(f"around={self.around}: needs regions=yes, which finds it")
        check_fractions(val_fraction=self.val_fraction, test_fraction=self.test_fraction)
        check_factors(self.balance_factors)
        check_seed(self.seed)

    @property
    def balance_factors(self) -> tuple[str, ...]:
        """``balance`` as names."""
        return factors_of(self.balance)
