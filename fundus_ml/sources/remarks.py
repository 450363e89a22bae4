"""What is remarked of an eye and kept beside it: flags, and ages that are no ages."""

from collections.abc import Mapping
from itertools import compress
from typing import NamedTuple

import pandas as pd

PLACEHOLDER_AGES = (0, 1)
"""Written where the age is unknown: 1 in ODIR; no release here is of infants."""
OLDEST = 120


class Ages(NamedTuple):
    """Ages, and what was wrong with those that are no longer there.

    Attributes:
        years: NaN where unknown.
        remarks: Which rows each remark is about.
    """

    years: pd.Series
    remarks: dict[str, pd.Series]


def plausible_ages(written: pd.Series) -> Ages:
    """Take out ages that cannot be: placeholders, and numbers below 0 or above :data:`OLDEST`.

    Args:
        written: Years as the release has them, float, NaN where it has none.
    """
    placeholder = written.isin(PLACEHOLDER_AGES)
    implausible = (written < 0) | (written > OLDEST)
    return Ages(
        years=written.mask(placeholder | implausible),
        remarks={"placeholder age": placeholder, "implausible age": implausible},
    )


def joined_flags(remarks: Mapping[str, pd.Series]) -> pd.Series:
    """Join the remarks that hold of each row.

    Args:
        remarks: For each remark, in the order they are to be joined, which rows it is about.

    Returns:
        Texts such as ``"placeholder age; lens dust"``, empty where none holds.
    """
    held = pd.DataFrame(dict(remarks))
    joined = ["; ".join(compress(remarks, row)) for row in held.to_numpy(bool)]
    return pd.Series(joined, index=held.index, dtype="str")
