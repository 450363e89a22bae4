"""Ages fall into bands by decade, unknown ones into their own."""

import numpy as np
import pandas as pd

from fundus_ml.data.ages import BANDS, age_bands


def test_bands_begin_at_their_edge():
    """Every edge belongs to the older band; the ends are open."""
    ages = pd.Series([0, 29.9, 30, 39, 40, 59.5, 60, 79, 80, 104, np.nan], index=range(5, 16))
    bands = age_bands(ages)
    assert bands.tolist() == [
        *("0-29", "0-29", "30-39", "30-39", "40-49", "50-59"),
        *("60-69", "70-79", "80+", "80+", "unknown"),
    ]
    assert bands.index.equals(ages.index)


def test_bands_are_those_of_a_slow_rewrite():
    """Decades from 30 to 80, by integer division, sorted as they are named."""
    ages = pd.Series(np.arange(0, 120, 0.5))
    expected = [
        "0-29" if age < 30 else "80+" if age >= 80 else f"{age // 10:.0f}0-{age // 10:.0f}9"
        for age in ages
    ]
    assert age_bands(ages).tolist() == expected
    assert sorted(BANDS) == list(BANDS) == list(dict.fromkeys(expected))


def test_no_known_age_at_all():
    """Releases without ages, whatever the column's type, are one band."""
    for ages in (
        pd.Series([np.nan] * 3),
        pd.Series([None] * 3, dtype=float),
        pd.Series([], dtype=float),
    ):
        assert age_bands(ages).tolist() == ["unknown"] * len(ages)
