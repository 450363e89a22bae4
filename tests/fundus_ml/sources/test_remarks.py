"""Flags and ages."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from fundus_ml.sources.remarks import joined_flags, plausible_ages


@given(st.lists(st.floats(allow_infinity=False), min_size=1))
def test_an_age_stays_or_is_remarked_on_once_or_was_never_there(written):
    """Whatever a table holds."""
    ages = plausible_ages(pd.Series(written, dtype="float64"))
    remarked = pd.DataFrame(ages.remarks).sum(axis=1)
    for before, after, remarks in zip(written, ages.years, remarked, strict=True):
        known = before == before  # noqa: PLR0124 (NaN)
        fine = known and 0 < before <= 120 and before != 1
        assert (after == before) == fine
        assert remarks == (known and not fine)


def test_remarks_are_joined_in_their_order():
    """And none leaves the flag empty."""
    remarks = {
        "placeholder age": pd.Series([True, False, True], index=[4, 5, 9]),
        "lens dust": pd.Series([True, False, False], index=[4, 5, 9]),
    }
    flags = joined_flags(remarks)
    assert flags.to_dict() == {4: "placeholder age; lens dust", 5: "", 9: "placeholder age"}
