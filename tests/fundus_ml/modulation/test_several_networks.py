"""Enrichment and success over people and networks, from long frames."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.modulation.localisation import enrichment_by_part
from fundus_ml.modulation.several_networks import (
    enrichment_over_networks,
    success_over_networks,
)

EYES = pd.DataFrame(
    {
        "image_id": [f"eye{number}" for number in range(8)],
        "person_group": [f"person{number // 2}" for number in range(8)],
    }
)


def shares(networks=3):
    """Shares of a part and its rest at two budgets; one eye that one network left as it was."""
    draw = np.random.default_rng(0)
    rows = []
    for network in range(networks):
        for eps in (1.0, 2.0):
            energy = draw.uniform(0.1, 0.3, 8) * (1 + network)
            for part, share, area in (("disc", energy, 0.1), ("background", 1 - energy, 0.9)):
                rows.append(
                    EYES[["image_id"]].assign(
                        network=f"models:/eye/{network}", eps=eps, part=part,
                        energy_share=share, area_share=area, enrichment=share / area,
                        sham_energy_share=np.nan, sham_area_share=np.nan,
                    )
                )  # fmt: skip
    long = pd.concat(rows, ignore_index=True)
    still = long["network"].eq("models:/eye/0") & long["image_id"].eq("eye5")
    long.loc[still, ["energy_share", "enrichment"]] = np.nan
    return long


def test_each_network_counts_as_it_does_alone():
    long = shares()
    found = enrichment_over_networks(long, EYES, resamples=200, seed=0)
    assert len(found) == 4
    each = pd.concat(
        [enrichment_by_part(own, EYES, resamples=20, seed=0) for _, own in long.groupby("network")]
    )
    for row in found.to_dict("records"):
        own = each[each["eps"].eq(row["eps"]) & each["part"].eq(row["part"])]["enrichment"]
        assert row["enrichment"] == pytest.approx(np.exp(np.log(own).mean()))
        assert row["enrichment_between"] == pytest.approx(np.log(own).std(ddof=1))
        assert row["networks"] == 3
        assert row["eyes"] == 8
        assert row["enrichment_low"] < row["enrichment_people_low"]
        assert row["enrichment_high"] > row["enrichment_people_high"]


def test_a_part_that_a_network_leaves_alone_has_no_row():
    long = shares()
    none = long["network"].eq("models:/eye/1") & long["part"].eq("disc")
    long.loc[none, "energy_share"] = 0.0
    found = enrichment_over_networks(long, EYES, resamples=50, seed=0)
    assert set(found["part"]) == {"background"}


def test_success_is_the_mean_of_all():
    draw = np.random.default_rng(1)
    effects = pd.concat(
        [
            EYES.assign(network=network, eps=eps, success=draw.random(8) < 0.3 + 0.2 * network)
            for network in range(3)
            for eps in (1.0, 2.0)
        ]
    )
    found = success_over_networks(effects, resamples=200, seed=0)
    expected = effects.groupby("eps")["success"].mean()
    assert found["success"].to_numpy() == pytest.approx(expected.to_numpy())
    assert (found["success_low"] < found["success_people_low"]).all()


def test_one_network_is_refused():
    with pytest.raises(InputError, match="networks: 1; two or more are needed"):
        enrichment_over_networks(shares(1), EYES, resamples=50, seed=0)
    with pytest.raises(InputError, match="eyes: lack 2 of the 8 that were changed"):
        enrichment_over_networks(shares(), EYES[2:], resamples=50, seed=0)


def test_eyes_that_lack_the_part_are_not_resampled():
    """Seen in two eyes of one person: the same as if those were all."""
    long = shares()
    lacks = long["part"].eq("disc") & ~long["image_id"].isin(["eye0", "eye1"])
    long.loc[lacks, "area_share"] = 0
    found = enrichment_over_networks(long, EYES, resamples=50, seed=0)
    few = long[long["image_id"].isin(["eye0", "eye1"])]
    alone = enrichment_over_networks(few, EYES, resamples=50, seed=0)
    disc = found[found["part"].eq("disc")].reset_index(drop=True)
    pd.testing.assert_frame_equal(disc, alone[alone["part"].eq("disc")].reset_index(drop=True))


def test_a_network_that_changed_the_part_of_one_person_leaves_no_interval():
    """The value stands; what other people would give is not known."""
    long = shares()
    own = long["part"].eq("disc") & long["network"].eq("models:/eye/0")
    long.loc[own & ~long["image_id"].eq("eye0"), "energy_share"] = 0.0
    found = enrichment_over_networks(long, EYES, resamples=50, seed=0)
    disc = found[found["part"].eq("disc")]
    assert np.isfinite(disc["enrichment"]).all()
    assert disc[["enrichment_low", "enrichment_people_high"]].isna().all(axis=None)
