"""Each edit changes its own quantity, by what it says, where it says, both ways alike."""

import colorsys

import numpy as np
import pytest
from scipy.special import expit, logit

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.columns import region_columns
from fundus_ml.imaging.regions.maps import PARTS
from fundus_ml.imaging.regions.structures import Ellipse, Landmark
from fundus_ml.imaging.regions.zones import ZONES
from fundus_ml.synthesis.edits import (
    EDITS,
    EditedParts,
    cannot_edit,
    edit,
    oracle_quantity,
    parts_of_rows,
    quantity,
    region_of,
    render,
    support,
)
from fundus_ml.synthesis.edits.colours import SHIFTS
from fundus_ml.synthesis.edits.warps import LOG_CALIBRE, LOG_MAGNIFICATION

ACTIVE = EDITS[:-1]
HEIGHT, WIDTH = 150, 161


def drawn_parts(**parts):
    """A round retina with a disc right of its middle and a fovea left of it."""
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    usual = {
        "retina": np.hypot(down - 74, across - 80) <= 72,
        "disc": Ellipse(x=100, y=74, width=24, height=28),
        "cup": Ellipse(x=100, y=74, width=10, height=12),
        "fovea": Landmark(x=55, y=78),
    }
    return EditedParts(**usual | parts)


def flat(parts, *, retina=(180, 90, 40), disc=(240, 190, 120)):
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[parts.retina] = retina
    pixels[parts.disc.mask(parts.shape)] = disc
    return pixels


def test_the_edits_are_these_eight():
    assert EDITS == (
        "disc_magnification", "rim_pallor", "ring_colour", "vessel_calibre", "foveal_darkness",
        "hue", "border_notch", "none",
    )  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_strength_0_gives_the_same_bytes_in_a_new_array(name, painted):
    pixels, parts = painted[0][0], painted[1][0]
    same = edit(name, pixels, parts, strength=0)
    np.testing.assert_array_equal(same, pixels)
    assert not np.shares_memory(same, pixels)


@pytest.mark.parametrize("name", ACTIVE)
def test_only_the_support_changes_and_nothing_clips(name, painted):
    for pixels, parts in zip(*painted[:2], strict=True):
        before, allowed = pixels.copy(), support(name, parts)
        for strength in (-1, 1):
            edited = edit(name, pixels, parts, strength=strength)
            changed = (edited != pixels).any(axis=2)
            assert changed.any()
            assert not (changed & ~allowed).any()
            assert not (changed & ~parts.retina).any()
            clipped = ((edited == 255) & (pixels < 255)) | ((edited == 0) & (pixels > 0))
            assert clipped.mean() < 0.001
        np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("name", ACTIVE)
def test_the_quantity_grows_with_the_strength_and_both_ways_alike(name, painted):
    for pixels, parts in zip(*painted[:2], strict=True):
        own = quantity(name, pixels, parts)
        levels = [
            quantity(name, edit(name, pixels, parts, strength=strength), parts) - own
            for strength in (-1, -0.5, 0.5, 1)
        ]
        assert levels == sorted(levels)
        assert levels[1] < 0 < levels[2]
        assert -levels[1] == pytest.approx(levels[2], rel=0.3)


@pytest.mark.parametrize("name", ["rim_pallor", "ring_colour", "foveal_darkness", "hue"])
def test_a_colour_edit_has_no_seam(name):
    """Neighbours differ by a small part of the change, on an eye large enough to show it."""
    down, across = np.mgrid[:601, :610]
    parts = EditedParts(
        retina=np.hypot(down - 300, across - 304) <= 298,
        disc=Ellipse(x=400, y=300, width=180, height=200),
        cup=Ellipse(x=400, y=300, width=80, height=90),
        fovea=Landmark(x=170, y=320),
    )
    change = edit(name, np.full((601, 610, 3), 128, np.uint8), parts, strength=1).astype(int) - 128
    steps = [np.abs(np.diff(change, axis=axis)).max() for axis in (0, 1)]
    assert max(steps) <= 0.25 * np.abs(change).max()


def test_hue_shifts_the_logits_by_what_it_says():
    parts = drawn_parts()
    pixels = flat(parts)
    edited = edit("hue", pixels, parts, strength=0.8)
    middle = pixels[74, 30]
    level = (middle + 0.5) / 256
    expected = 256 * expit(logit(level) + 0.8 * np.array(SHIFTS["hue"])) - 0.5
    np.testing.assert_allclose(edited[74, 30], expected, atol=0.5)
    moved = quantity("hue", edited, parts) - quantity("hue", pixels, parts)
    assert moved == pytest.approx(0.8 * (SHIFTS["hue"][0] - SHIFTS["hue"][1]), rel=0.05)
    redder = colorsys.rgb_to_hsv(*edited[74, 30] / 255)[0]
    assert redder < colorsys.rgb_to_hsv(*middle / 255)[0]


@pytest.mark.parametrize("name", ["rim_pallor", "ring_colour", "foveal_darkness"])
def test_a_colour_edit_undoes_its_opposite(name, painted):
    pixels, parts = painted[0][1], painted[1][1]
    there = edit(name, pixels, parts, strength=0.7)
    back = edit(name, there, parts, strength=-0.7)
    assert np.abs(back.astype(int) - pixels).max() <= 2


@pytest.mark.parametrize("strength", [-1.0, 0.6, 1.0])
def test_magnification_by_m_scales_the_area_of_a_drawn_disc_by_m_squared(strength):
    parts = drawn_parts()
    pixels = flat(parts, retina=(0, 0, 0), disc=(200, 200, 200))
    edited = edit("disc_magnification", pixels, parts, strength=strength)
    magnification = np.exp(strength * LOG_MAGNIFICATION)
    ratio = (edited[..., 0] > 100).sum() / (pixels[..., 0] > 100).sum()
    assert ratio == pytest.approx(magnification**2, rel=0.03)


@pytest.mark.parametrize("strength", [-0.8, 0.8])
def test_a_drawn_vessel_gets_wider_by_the_stated_factor(strength):
    """Its width is the darkness summed across it: the depth on its middle stays."""
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    parts = drawn_parts(vessels=(np.abs(across - 50) <= 2) & (np.abs(down - 74) <= 40))
    share = (3.0 - np.abs(across - 50)).clip(0, 1)[..., None]
    grey = np.where(parts.retina[..., None], 160 - 60 * share, 0).round().astype(np.uint8)
    pixels = np.repeat(grey, 3, axis=2)
    edited = edit("vessel_calibre", pixels, parts, strength=strength)
    rows = slice(50, 100)
    before, after = ((160.0 - each[rows, 40:61, 1]).sum(axis=1).mean() for each in (pixels, edited))
    assert after / before == pytest.approx(np.exp(strength * LOG_CALIBRE), rel=0.05)
    assert edited[74, 50, 1] == pytest.approx(100, abs=2)


def test_the_notch_lies_above_in_the_second_class_and_below_in_the_first():
    parts = drawn_parts()
    pixels = flat(parts)
    for strength, upper in ((1, True), (-1, False)):
        rows = np.nonzero(edit("border_notch", pixels, parts, strength=strength) < pixels)[0]
        assert (rows < 74).all() == upper
        assert (rows > 74).all() == (not upper)


def test_a_disc_near_the_border_takes_in_nothing_from_beyond_it():
    parts = drawn_parts(disc=Ellipse(x=138, y=74, width=22, height=22))
    pixels = flat(parts, disc=(180, 90, 40))
    edited = edit("disc_magnification", pixels, parts, strength=-1)
    inside = pixels[parts.retina].astype(int)
    assert np.abs(edited[parts.retina] - inside).max() < 10  # beyond it is 180 levels darker


def test_several_edits_are_each_made_once_and_what_moves_comes_last(painted):
    pixels, parts = painted[0][0], painted[1][0]
    both = render(pixels, parts, {"disc_magnification": 0.5, "rim_pallor": -0.5})
    paler = edit("rim_pallor", pixels, parts, strength=-0.5)
    expected = edit("disc_magnification", paler, parts, strength=0.5)
    np.testing.assert_array_equal(both, expected)
    untouched = render(pixels, parts, {"none": 1.0})
    np.testing.assert_array_equal(untouched, pixels)
    assert not np.shares_memory(untouched, pixels)


def test_regions_have_names_of_parts_or_zones():
    for name in EDITS:
        assert set(region_of(name)) <= {*PARTS, *ZONES}
        assert bool(region_of(name)) == (name != "none")


def test_nothing_happens_and_is_measured_without_an_edit(painted):
    pixels, parts = painted[0][0], painted[1][0]
    np.testing.assert_array_equal(edit("none", pixels, parts, strength=1), pixels)
    assert quantity("none", pixels, parts) == 0
    assert not support("none", parts).any()


@pytest.mark.parametrize(
    ("name", "changed", "why"),
    [
        ("disc_magnification", {"disc": None}, "disc not known"),
        ("ring_colour", {"disc": Ellipse(x=150, y=74, width=24, height=28)}, "disc not in sight"),
        ("rim_pallor", {"cup": None}, "cup not known"),
        ("vessel_calibre", {}, "vessels not known"),
        ("vessel_calibre", {"vessels": np.eye(HEIGHT, WIDTH) > 0}, "hardly any vessel"),
        ("foveal_darkness", {"fovea": None}, "fovea not known"),
        ("foveal_darkness", {"fovea": Landmark(x=-9, y=70)}, "fovea not in sight"),
    ],
)
def test_an_eye_whose_part_is_not_known_abstains(name, changed, why):
    parts = drawn_parts(**changed)
    assert cannot_edit(name, parts) == why
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for ask in (
        lambda: edit(name, pixels, parts, strength=1),
        lambda: quantity(name, pixels, parts),
        lambda: oracle_quantity(name, pixels, parts, strength=1),
        lambda: support(name, parts),
    ):
        with pytest.raises(InputError, match=f"not possible on this eye: {why}"):
            ask()


@pytest.mark.parametrize("strength", [1.6, float("nan")])
def test_a_strength_beyond_the_strongest_is_refused(strength):
    parts = drawn_parts()
    with pytest.raises(InputError, match=r"allowed: -1\.5 to 1\.5"):
        edit("hue", flat(parts), parts, strength=strength)


def test_an_unknown_edit_is_refused():
    with pytest.raises(InputError, match="edit=cup: allowed: disc_magnification"):
        region_of("cup")


@pytest.mark.parametrize("pixels", [np.zeros((HEIGHT, 9, 3), np.uint8), np.zeros((9, 9, 3)), []])
def test_pixels_of_another_eye_are_refused(pixels):
    with pytest.raises(InputError, match=rf"allowed: uint8 \({HEIGHT}, {WIDTH}, 3\)"):
        edit("hue", pixels, drawn_parts(), strength=1)


def test_parts_come_back_from_the_rows_of_a_manifest():
    import pandas as pd  # noqa: PLC0415 (only here)

    rows = pd.DataFrame([region_columns(None), region_columns(None)])
    rows[["region_fovea_x", "region_fovea_y", "region_fovea_confidence"]] = [[3, 4, 1], [5, 6, 1]]
    maps = np.ones((2, 9, 9), np.uint8)
    maps[1, 0] = 0
    found = parts_of_rows(rows, maps)
    assert [(each.fovea.x, each.fovea.y) for each in found] == [(3, 4), (5, 6)]
    assert [int(each.retina.sum()) for each in found] == [81, 72]
    assert found[0].disc is None
    with pytest.raises(InputError, match="allowed: eyes preprocessed with regions"):
        parts_of_rows(rows.drop(columns="region_eye"), maps)
