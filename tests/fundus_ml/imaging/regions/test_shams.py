"""Shams keep the shape of their structure, lie where none is, and abstain where none fits."""

import numpy as np
import pytest

from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.imaging.regions.shams import LEAST_LEFT, SHAMMED, sham_regions

SIZE, MIDDLE = 96, 47.5


def circle(x, y, radius):
    """``(SIZE, SIZE)`` booleans."""
    down, across = np.mgrid[:SIZE, :SIZE]
    return np.hypot(across - x, down - y) <= radius


def eye(disc=(80, 47), fovea=(47, 47), *, vessels=True):
    """A round retina with a disc, a macula and one straight vessel above them."""
    drawn = circle(MIDDLE, MIDDLE, 46).astype(np.uint8)
    places = {"disc": circle(*disc, 6), "macula": circle(*fovea, 12)}
    if vessels:
        places["vessels"] = np.zeros((SIZE, SIZE), np.bool_)
        places["vessels"][20:24, 20:80] = True
    for name, mask in places.items():
        drawn[mask & (drawn > 0)] |= REGION_FLAGS[name]
    return drawn


def own(regions, name):
    """Mask of the real structure."""
    return regions & REGION_FLAGS[name] > 0


def test_the_disc_is_mirrored():
    """About the middle of the retina, pixel by pixel."""
    regions = eye()[None]
    sham = sham_regions(regions)["disc"]
    assert np.array_equal(sham[0], own(regions, "disc")[0][:, ::-1])


@pytest.mark.parametrize("seed", range(4))
def test_shams_lie_on_the_retina_where_no_structure_is(seed):
    """Discs and foveae of all kinds; each keeps at least half of its structure's area."""
    generator = np.random.default_rng(seed)
    discs = generator.uniform(12, 84, (6, 2))
    regions = np.stack([eye(tuple(disc), tuple(generator.uniform(35, 60, 2))) for disc in discs])
    disc, macula, vessels = (own(regions, name) for name in SHAMMED)
    found = sham_regions(regions)
    placed = 0
    for name, sham in found.items():
        taken = disc | macula | (vessels if name != "disc" else False)
        assert not (sham & (taken | (regions & 1 == 0))).any()
        area, kept = own(regions, name).sum(axis=(1, 2)), sham.sum(axis=(1, 2))
        assert ((kept == 0) | (kept >= LEAST_LEFT * area)).all()
        assert (kept <= 1.1 * area).all()
        placed += (kept > 0).sum()
    assert placed > 12


@pytest.mark.parametrize("x", [50, 53])
def test_a_mirrored_disc_that_meets_itself_goes_about_the_fovea(x):
    """The disc in the middle of the picture, or so near it that it would touch itself."""
    regions = eye(disc=(x, 47), fovea=(30, 60), vessels=False)[None]
    sham = sham_regions(regions)["disc"][0]
    assert sham.any()
    across = np.flatnonzero(sham.any(axis=0))
    assert across.mean() == pytest.approx(2 * 30 - x, abs=1.5)


def test_the_macula_keeps_its_area_and_its_distance():
    """1.25 diameters away, nearest to the middle of the retina."""
    regions = eye(vessels=False)[None]
    sham = sham_regions(regions)["macula"][0]
    assert sham.sum() == own(regions, "macula").sum()
    down, across = (places.mean() for places in np.nonzero(sham))
    assert np.hypot(down - 47, across - 47) == pytest.approx(30, abs=1)


def test_vessels_turn_where_there_are_none():
    """The rotated vessel has the length and width of its own."""
    sham = sham_regions(eye()[None])["vessels"][0]
    assert sham.sum() == pytest.approx(240, rel=0.1)


def test_what_has_no_room_or_is_not_there_has_no_sham():
    """A disc alone in the middle; an eye without structures; a picture without a retina."""
    alone = circle(MIDDLE, MIDDLE, 46).astype(np.uint8)
    alone[circle(MIDDLE, MIDDLE, 8)] |= REGION_FLAGS["disc"]
    bare = np.ones((SIZE, SIZE), np.uint8)
    found = sham_regions(np.stack([alone, bare, np.zeros_like(bare)]))
    assert not any(sham.any() for sham in found.values())


def test_a_batch_gives_what_singles_give():
    """Batch equals singles."""
    regions = np.stack([eye(), eye((20, 50)), eye((50, 47), (28, 47))])
    together = sham_regions(regions)
    for place, single in enumerate(regions):
        for name, sham in sham_regions(single[None]).items():
            np.testing.assert_array_equal(sham[0], together[name][place])
