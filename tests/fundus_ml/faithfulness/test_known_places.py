import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.faithfulness import KNOWN_PLACES, known_place_table
from fundus_ml.faithfulness.known_places import COMPETING

EYES = pd.DataFrame({"person_group": ["a", "a", "b", "c"]})


def scores(**by_part):
    return pd.concat(
        [
            pd.DataFrame(
                {"row": range(4), "score": "enrichment", "part": part.replace("_", " "),
                 "value": values}
            )
            for part, values in by_part.items()
        ]
    )  # fmt: skip


def test_the_part_must_be_denser_than_every_rival_and_its_sham():
    found = scores(
        disc=[3.0, 2.0, 5.0, np.nan],
        macula=[1.0, 4.0, 1.0, 1.0],
        outside=[9.0, 9.0, 9.0, 9.0],
        sham_disc=[1.0, 1.0, 6.0, 1.0],
        sham_macula=[8.0, 8.0, 8.0, 8.0],
    )
    table = known_place_table({"gradient": found}, EYES, "disc", resamples=200, seed=0)
    (row,) = table.to_dict("records")
    assert (row["eyes"], row["abstained"], row["sham_eyes"]) == (3, 1, 3)
    assert row["first"] == pytest.approx(2 / 3)
    assert row["over_sham"] == pytest.approx(2 / 3)
    assert row["first_low"] <= row["first"] <= row["first_high"]


def test_eyes_that_all_abstain_give_no_share_and_a_method_without_the_part_is_left_out():
    none = scores(disc=[np.nan] * 4, macula=[1.0] * 4)
    other = scores(macula=[1.0] * 4)
    table = known_place_table({"a": none, "b": other}, EYES, "disc", resamples=20, seed=0)
    assert table["method"].tolist() == ["a"]
    assert table["eyes"].tolist() == [0]
    assert table["first"].isna().all()


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(InputError, match=r"^part=nose: allowed: disc, macula, "):
        known_place_table({"a": scores(disc=[1.0] * 4)}, EYES, "nose", resamples=20, seed=0)
    with pytest.raises(InputError, match=r"no row of enrichment in macula"):
        known_place_table({"a": scores(disc=[1.0] * 4)}, EYES, "macula", resamples=20, seed=0)


def test_every_known_place_can_be_measured():
    assert set(KNOWN_PLACES.values()) <= set(COMPETING)
