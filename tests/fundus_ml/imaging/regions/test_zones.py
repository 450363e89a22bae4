"""Zones lie where the map's disc and macula say; the judge is the distance from a drawn ellipse."""

import numpy as np
import pytest

from fundus_ml.imaging.field import FieldOfView
from fundus_ml.imaging.regions.maps import DISC_MARGIN, REGION_FLAGS, region_map
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, Regions, Vessels
from fundus_ml.imaging.regions.zones import ZONES, inner_rings, zone_masks

SIDE, DIAMETER = 480, 60
RIGHT = {"disc": (350, 230), "fovea": (200, 250)}
OPPOSITE = {
    f"{height}_{side}": f"{other}_{side}"
    for side in ("temporal", "nasal")
    for height, other in (("superior", "inferior"), ("inferior", "superior"))
}


def drawn(*, mirrored=False, upside_down=False, without=()):
    """A right eye (its disc right of its fovea), or its mirror image."""
    middle = (SIDE - 1) / 2
    field = FieldOfView(middle, middle, SIDE / 2)
    down, across = np.mgrid[:SIDE, :SIDE]
    retina = np.hypot(down - middle, across - middle) <= SIDE / 2
    lines = (down % 40 < 4) & retina
    none = np.zeros_like(lines)
    disc = Ellipse(x=RIGHT["disc"][0], y=RIGHT["disc"][1], width=DIAMETER, height=DIAMETER)
    fovea = Landmark(x=RIGHT["fovea"][0], y=RIGHT["fovea"][1])
    found = Regions(
        shape=(SIDE, SIDE),
        field=field,
        retina=retina,
        disc=disc,
        fovea=None if "fovea" in without else fovea,
        vessels=Vessels(mask=lines, arteries=none, veins=none),
    )
    flat = region_map(found)
    if "disc" in without:
        flat &= np.uint8(255 - REGION_FLAGS["disc"])
    flat = flat[:, ::-1] if mirrored else flat
    return flat[::-1] if upside_down else flat


@pytest.fixture(scope="module")
def zones():
    return {name: mask[0] for name, mask in zone_masks(drawn()[None]).items()}


def test_rings_begin_at_the_border_of_the_disc(zones):
    down, across = np.mgrid[:SIDE, :SIDE]
    away = np.hypot(down - RIGHT["disc"][1], across - RIGHT["disc"][0]) / DIAMETER - 0.5
    inside = drawn() & REGION_FLAGS["retina"] > 0
    disc = drawn() & REGION_FLAGS["disc"] > 0
    inner, outer = (away <= 0.5) & ~disc & inside, (away > 0.5) & (away <= 1) & inside
    assert (zones["disc_ring_inner"] ^ inner).sum() < 0.03 * inner.sum()
    assert (zones["disc_ring_outer"] ^ outer).sum() < 0.03 * outer.sum()
    assert away[zones["disc_ring_inner"]].min() == pytest.approx(DISC_MARGIN / 2, abs=0.03)


def test_the_grid_is_centred_on_the_fovea(zones):
    down, across = np.mgrid[:SIDE, :SIDE]
    away = np.hypot(down - RIGHT["fovea"][1], across - RIGHT["fovea"][0]) / DIAMETER
    for name, nearest, farthest in (
        ("etdrs_centre", -1, 1 / 3), ("etdrs_inner", 1 / 3, 1), ("etdrs_outer", 1, 2),
    ):  # fmt: skip
        ring = (away > nearest) & (away <= farthest)
        ring &= drawn() & REGION_FLAGS["disc"] == 0
        assert (zones[name] ^ ring).sum() < 0.03 * ring.sum(), name


def test_quadrants_cover_the_retina_outside_the_disc_once(zones):
    names = [f"{height}_{side}" for height in ("superior", "inferior")
             for side in ("temporal", "nasal")]  # fmt: skip
    counted = np.sum([zones[name] for name in names], axis=0)
    flat = drawn()
    free = (flat & REGION_FLAGS["retina"] > 0) & (flat & REGION_FLAGS["disc"] == 0)
    np.testing.assert_array_equal(counted, free)
    assert zones["superior_temporal"][100, 200]
    assert zones["inferior_temporal"][400, 200]
    assert zones["superior_nasal"][100, 400]
    assert zones["inferior_nasal"][400, 400]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("upside_down", [False, True])
def test_superior_is_above_in_eyes_of_both_sides(zones, mirrored, upside_down):
    changed = zone_masks(drawn(mirrored=mirrored, upside_down=upside_down)[None])
    for name, mask in zones.items():
        own = mask[:, ::-1] if mirrored else mask
        own = own[::-1] if upside_down else own
        there = OPPOSITE.get(name, name) if upside_down else name
        assert (changed[there][0] ^ own).sum() <= 0.01 * max(own.sum(), 1), name


def test_arcades_are_vessels_around_the_macula(zones):
    vessels = drawn() & REGION_FLAGS["vessels"] > 0
    arcades = zones["arcades"]
    assert arcades.any()
    assert not (arcades & ~vessels).any()
    down, across = np.nonzero(arcades)
    assert np.hypot(down - RIGHT["fovea"][1], across - RIGHT["fovea"][0]).min() > 0.97 * DIAMETER
    assert (across < RIGHT["disc"][0] + 40).all()


def test_what_a_zone_is_measured_from_must_be_known():
    eyes = np.stack([drawn(without=("fovea",)), drawn(without=("disc",)), drawn()])
    masks = zone_masks(eyes)
    assert tuple(masks) == ZONES
    for name, mask in masks.items():
        assert mask[0].any() == name.startswith("disc_ring"), name
        assert not mask[1].any()
        assert mask[2].any()


def test_the_ring_around_the_disc_has_a_sham_of_its_width():
    flags = drawn()[None]
    sham_disc = np.zeros_like(flags, dtype=bool)
    down, across = np.mgrid[:SIDE, :SIDE]
    sham_disc[0] = np.hypot(down - 120, across - 150) <= DIAMETER / 2 * (1 + DISC_MARGIN)
    ring, sham = inner_rings(flags, sham_disc)
    assert np.array_equal(ring[0], zone_masks(flags)["disc_ring_inner"][0])
    away = np.hypot(down - 120, across - 150) - DIAMETER / 2
    assert (away[sham[0]] <= 0.5 * DIAMETER + 2).all()
    assert not (sham & (sham_disc | ring)).any()
    assert not (sham[0] & (flags[0] & (REGION_FLAGS["disc"] | REGION_FLAGS["macula"]) > 0)).any()
    assert sham.sum() == pytest.approx(ring.sum(), rel=0.1)


def test_no_disc_has_no_ring_and_a_crowded_sham_none():
    flags = drawn()[None]
    nothing = np.zeros_like(flags, dtype=bool)
    without = drawn(without=("disc",))[None]
    assert not any(each.any() for each in inner_rings(without, nothing))
    on_itself = flags & REGION_FLAGS["disc"] > 0
    ring, sham = inner_rings(flags, on_itself)
    assert ring.any()
    assert not sham.any()
