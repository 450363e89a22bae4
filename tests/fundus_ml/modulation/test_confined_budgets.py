"""Confined budgets at equal RMS per value: closed forms, and a linear network."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.modulation.confined_budgets import confined_table

EYES = pd.DataFrame({"person_group": list("abcd")})


def table(norms, allowed, constraint="l2"):
    """Rows of one condition, by region."""
    found = confined_table(
        {"modulation": {name: np.array(each, float) for name, each in norms.items()}},
        allowed,
        EYES,
        constraint=constraint,
        resamples=50,
        seed=0,
    )
    return found.set_index("region")


def masks(**pixels):
    """``(4, 10, 10)`` masks of that many pixels in each eye."""
    flat = {name: np.arange(100) < np.atleast_1d(n)[:, None] for name, n in pixels.items()}
    return {name: np.broadcast_to(m.reshape(-1, 10, 10), (4, 10, 10)) for name, m in flat.items()}


def test_a_large_region_does_not_win_by_its_area():
    """A network with one weight everywhere: norms fall with the root of area, RMS stays."""
    allowed = masks(disc=4, vessels=64)
    found = table({"disc": [1 / np.sqrt(12)] * 4, "vessels": [1 / np.sqrt(192)] * 4}, allowed)
    # norm = margin / (weight * sqrt(values)), so rms = margin / (weight * values)
    assert found.loc["disc", "rms"] == pytest.approx(1 / 12)
    assert found.loc["vessels", "rms"] == pytest.approx(1 / 192)
    assert found["values"].tolist() == [12, 192]
    per_value = table({"disc": [0.1] * 4, "vessels": [0.1] * 4}, allowed, "linf")
    assert per_value["rms"].tolist() == [0.1, 0.1]


def test_a_region_is_set_beside_its_sham_eye_by_eye():
    """Median of ratios; inf is larger than any number, neither flipping is 1, NaN abstains."""
    allowed = {**masks(disc=4), "sham disc": masks(disc=16)["disc"]}
    norms = {"whole": [1] * 4, "disc": [1, 1, np.inf, np.nan], "sham disc": [8, np.inf, np.inf, 1]}
    found = table(norms, allowed)
    assert found.index.tolist() == ["disc", "sham disc"]
    assert found.loc["disc", "eyes"] == 3
    # rms 1/sqrt(12) over 8/sqrt(48) = 0.25, 0 and 1
    assert found.loc["disc", "over_sham"] == pytest.approx(0.25)
    assert np.isnan(found.loc["sham disc", "over_sham"])


def test_eyes_that_look_like_the_target_are_not_asked():
    """Norm 0."""
    found = table({"disc": [0, 0, 0, 2.0]}, masks(disc=12))
    assert found.loc["disc", ["eyes", "rms"]].tolist() == [1, pytest.approx(2 / 6)]
    assert table({"disc": [0, 0, 0, np.nan]}, masks(disc=12)).empty
