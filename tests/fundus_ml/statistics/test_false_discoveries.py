"""Rows without a test stay without one and do not count among the tests."""

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from fundus_ml.statistics.false_discoveries import q_values


def test_rows_without_a_test_do_not_count():
    p = pd.Series([0.04, np.nan, 0.01, 0.2], index=list("abcd"))
    found = q_values(p)
    assert found.index.tolist() == list("abcd")
    assert np.isnan(found["b"])
    np.testing.assert_array_equal(
        found[["a", "c", "d"]], false_discovery_control([0.04, 0.01, 0.2])
    )


def test_no_test_at_all_gives_no_rate():
    assert q_values(pd.Series([np.nan, np.nan])).isna().all()
    assert q_values(pd.Series([], dtype=float)).empty
