"""What maps say by region, on an eye drawn by hand."""

import numpy as np
import pytest

from benchmarks.map_features import REGIONS, map_features, region_masks, sham_masks
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.synthesis.edits import support
from tests.benchmarks import drawn_eyes

DRAWN = drawn_eyes.region_map()[None]


def test_regions_cover_the_square_once():
    masks = region_masks(DRAWN)
    assert tuple(masks) == REGIONS
    assert (np.sum(list(masks.values()), axis=0) == 1).all()
    assert all(mask.any() for mask in masks.values())


@pytest.mark.parametrize("name", ["foveal_darkness", "border_notch", "vessel_calibre"])
def test_a_sham_has_the_size_of_the_truth_and_lies_off_every_structure(name):
    truth = support(name, drawn_eyes.parts())[None]
    sham = sham_masks(truth, DRAWN)
    assert not (sham & truth).any()
    taken = REGION_FLAGS["disc"] | REGION_FLAGS["macula"]
    assert not (sham & (DRAWN & taken > 0)).any()
    assert not (sham & (DRAWN == 0)).any()
    assert 0.5 * truth.sum() <= sham.sum() <= 1.1 * truth.sum()


def test_the_whole_retina_and_nothing_have_no_sham():
    for truth in (DRAWN > 0, np.zeros_like(DRAWN, np.bool_)):
        assert not sham_masks(truth, DRAWN).any()


def test_maps_are_measured_by_hand():
    truth = (DRAWN & REGION_FLAGS["disc"]) > 0
    sham = np.roll(truth, -18, axis=2)
    maps = np.where(truth, -2.0, np.where(sham, 1.0, 0)).astype(np.float32)
    flat = np.ones_like(maps)
    found = map_features(
        np.concatenate([maps, flat]),
        np.concatenate([DRAWN] * 2),
        np.concatenate([truth] * 2),
        np.concatenate([sham] * 2),
    )
    area = truth.mean()
    np.testing.assert_allclose(found["pointing"], [1, area])
    np.testing.assert_allclose(found["truth_area"], area)
    np.testing.assert_allclose(found["in_truth"], [2 / 3 / area, 1])
    np.testing.assert_allclose(found["in_sham"], [1 / 3 / area, 1])
    disc = REGIONS.index("disc")
    np.testing.assert_allclose(found["enrichment"][:, disc], [2 / 3 / area, 1])
    np.testing.assert_allclose(found["signed"][:, disc], [-2 / 3, area])
    np.testing.assert_allclose(found["enrichment"][1], 1)


def test_a_region_that_an_eye_lacks_has_no_enrichment():
    without = DRAWN & ~np.uint8(REGION_FLAGS["vessels"])
    nothing = np.zeros_like(DRAWN, np.bool_)
    found = map_features(np.ones((1, 40, 40), np.float32), without, nothing, nothing)
    assert np.isnan(found["enrichment"][0, REGIONS.index("vessels")])
    assert np.isnan(found["in_truth"]).all()
