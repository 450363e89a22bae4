"""The one range of seeds."""

from fundus_ml.errors import InputError
from fundus_ml.numerals import LARGEST_WHOLE as LARGEST_SEED

__all__ = ["LARGEST_SEED", "check_seed"]


def check_seed(seed: int) -> None:
    """Refuse a seed that some generator does not take: 0 to 4294967295 are taken by all.

    Raises:
        InputError: It lies outside.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"seed={seed}: must be from 0 to {LARGEST_SEED}")
