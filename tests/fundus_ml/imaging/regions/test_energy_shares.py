"""Shares of a map's energy against a loop, as :mod:`fundus_ml.modulation.localisation` has them."""

import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.energy_shares import OUTSIDE, PartAreas
from fundus_ml.imaging.regions.maps import PARTS, part_masks
from fundus_ml.imaging.regions.shams import sham_regions
from tests.fundus_ml.faithfulness.tiny_maps import COUNT, make_regions


@pytest.fixture
def regions():
    return make_regions()


def test_shares_follow_their_definition(regions):
    energy = np.random.default_rng(0).random(regions.shape, np.float32)
    found = PartAreas(regions).shares(energy).set_index(["part", "position"])
    assert len(found) == len(PARTS) * COUNT
    masks, shams = part_masks(regions), sham_regions(regions)
    for part in PARTS:
        for place in range(COUNT):
            row, own = found.loc[(part, place)], masks[part][place]
            ground = np.ones_like(own) if part == OUTSIDE else ~masks[OUTSIDE][place]
            total, area = energy[place][ground].sum(), ground.sum()
            share = energy[place][own].sum() / total
            assert row["energy_share"] == pytest.approx(share, rel=1e-5)
            assert row["area_share"] == pytest.approx(own.sum() / area)
            wanted = share / (own.sum() / area) if own.any() else np.nan
            assert row["enrichment"] == pytest.approx(wanted, rel=1e-5, nan_ok=True)
            sham = shams[part][place] if part in shams else np.zeros_like(own)
            wanted = energy[place][sham].sum() / total if sham.any() else np.nan
            assert row["sham_energy_share"] == pytest.approx(wanted, rel=1e-5, nan_ok=True)
    assert found["sham_energy_share"].notna().sum() > COUNT


def test_given_shams_are_used(regions):
    shams = {"disc": part_masks(regions)["background"]}
    found = PartAreas(regions, shams).shares(np.ones(regions.shape))
    disc = found[found["part"] == "disc"]
    assert (disc["sham_energy_share"] > disc["energy_share"]).all()
    assert found.loc[found["part"] == "macula", "sham_area_share"].isna().all()


def test_what_does_not_fit_is_refused(regions):
    with pytest.raises(InputError, match=r"^regions: must be \(N, H, W\) of uint8, not \(20, 26\)"):
        PartAreas(regions[0])
    with pytest.raises(InputError, match=r"of uint8, not \(5, 20, 26\) of int64$"):
        PartAreas(regions.astype(np.int64))
    with pytest.raises(InputError, match=r"^energy: shape must be \(5, 20, 26\), not \(3, 20, 26"):
        PartAreas(regions).shares(np.ones((3, 20, 26)))
