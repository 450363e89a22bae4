"""Where an eye may change."""

import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import write_png
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.modulation import allowed_pixels

SHAPE = (3, 4, 5)


@pytest.fixture
def regions():
    """A map per eye; the last eye shows no disc, and none a macula."""
    flags = np.random.default_rng(0).integers(0, 32, SHAPE, dtype=np.uint8)
    flags &= ~np.uint8(REGION_FLAGS["macula"])
    flags[2] &= ~np.uint8(REGION_FLAGS["disc"])
    return flags


def test_structures_and_their_unions(regions):
    """A structure is its bit, whatever lies over it."""
    disc, vessels = ((regions & REGION_FLAGS[name]) > 0 for name in ("disc", "vessels"))
    assert np.array_equal(allowed_pixels("disc", regions, shape=SHAPE), disc)
    both = allowed_pixels("disc+vessels", regions, shape=SHAPE)
    assert np.array_equal(both, disc | vessels)
    assert not disc[2].any()
    assert allowed_pixels("whole", None, shape=SHAPE) is None


def test_any_mask(tmp_path, regions):
    """All of a PNG that is not black, in every eye."""
    mask = np.zeros((4, 5, 3), np.uint8)
    mask[1, 2], mask[3, 0] = (0, 0, 9), (255, 255, 255)
    write_png(mask, tmp_path / "mask.png")
    for maps in (None, regions):
        allowed = allowed_pixels(str(tmp_path / "mask.png"), maps, shape=SHAPE)
        assert allowed.shape == SHAPE
        assert np.argwhere(allowed[1]).tolist() == [[1, 2], [3, 0]]
        assert (allowed == allowed[0]).all()


def test_refuses(tmp_path, regions):
    """What is no region, not in the maps, or not of this size."""
    black, small = np.zeros((4, 5, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    write_png(black, tmp_path / "black.png")
    write_png(small, tmp_path / "small.png")
    for region, maps, message in (
        ("fovea", regions, "region=fovea: allowed: whole, retina, disc, macula, vessels, periph"),
        ("disc+", regions, r"region=disc\+: allowed"),
        ("disc", None, "region=disc: the dataset has no region maps"),
        ("macula", regions, "region=macula: none of 3 eyes shows it"),
        (str(tmp_path / "none.png"), regions, "none.png: no such picture"),
        (str(tmp_path / "small.png"), regions, r"small.png: is \(4, 4\), the eyes are \(4, 5\)"),
        (str(tmp_path / "black.png"), regions, "black.png: all black"),
    ):
        with pytest.raises(InputError, match=message):
            allowed_pixels(region, maps, shape=SHAPE)
