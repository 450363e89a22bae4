"""The atlas finds a change at the disc of every eye, only there, and only beyond null versions."""

import numpy as np
import pytest

from fundus_ml.atlas import change_atlas, maps_left_out, peaks, register_eyes
from fundus_ml.atlas.peaks import COLUMNS, place_of
from fundus_ml.errors import InputError
from fundus_ml.imaging.registration import DISC
from tests.fundus_ml.atlas import flat_eyes

CLASSES = ("female", "male")
PEOPLE = 16
SIDE = 36
WEAK = 6
"""Grey levels; noise has 4."""


@pytest.fixture(scope="module")
def given():
    """Eyes whose disc is brighter towards class 1, darker towards class 0, in green alone."""
    pixels, rows, maps = flat_eyes.eyes(PEOPLE)
    target = np.arange(PEOPLE) // 2 % 2
    made = flat_eyes.brighter(pixels, rows, maps, np.where(target == 1, WEAK, -WEAK), channels=(1,))
    return pixels, made, target, rows, maps


def atlas_of(given, *, smoothing=0.2, **more):
    pixels, made, target, rows, maps = given
    registered = register_eyes(rows, maps, size=SIDE, smoothing=smoothing)
    how = {"classes": CLASSES, "permutations": 199} | more
    return change_atlas(registered, pixels, made, target, rows["person_group"], **how)


def from_disc(size=SIDE):
    disc = place_of(DISC, size)
    down, across = np.mgrid[:size, :size]
    return np.hypot(across - disc.x, down - disc.y)


@pytest.fixture(scope="module")
def found(given):
    return atlas_of(given)


def test_the_planted_place_is_found_and_nothing_else(found):
    assert list(found.maps) == ["towards female", "towards male", "difference"]
    assert found.left_out == {}
    far = from_disc() > 1.2 * found.registered.disc_diameter
    for name, sign in (("towards female", -1), ("towards male", 1), ("difference", 1)):
        each = found.maps[name]
        assert each.significant.any()
        assert not each.significant[far].any()
        assert (np.sign(each.mean[each.significant]) == sign).all()
        y, x = np.unravel_index(np.nanargmax(np.abs(each.statistic)), each.p.shape)
        red, green, blue = each.channels[y, x]
        assert abs(green) > 4 * max(abs(red), abs(blue))
        assert each.mean[y, x] == pytest.approx(np.mean([red, green, blue]))
    difference = found.maps["difference"]
    apart = found.maps["towards male"].mean - found.maps["towards female"].mean
    np.testing.assert_allclose(difference.mean, apart)
    assert (difference.eyes, difference.people) == (PEOPLE, PEOPLE)


def test_without_registration_it_would_be_missed():
    """As if every disc and fovea lay at the mean place of its side: blobs miss one another."""
    pixels, rows, maps = flat_eyes.eyes(PEOPLE)
    made = flat_eyes.brighter(pixels, rows, maps, [3 * WEAK] * PEOPLE, radius=1.5)
    given = (pixels, made, np.ones(PEOPLE), rows, maps)
    far = from_disc() > 6
    found = atlas_of(given, smoothing=0.1).maps["towards male"]
    assert found.significant.any()
    assert not found.significant[far].any()
    places = [f"region_{part}_{axis}" for part in ("disc", "fovea") for axis in "xy"]
    side = rows["region_disc_x"] > rows["region_fovea_x"]
    means = rows.groupby(side)[places].transform("mean")
    given = (pixels, made, np.ones(PEOPLE), rows.assign(**means), maps)
    missed = atlas_of(given, smoothing=0.1).maps["towards male"]
    assert not missed.significant.any()


def test_each_person_counts_once():
    """One person with many eyes weighs as much as one with two."""
    pixels, rows, maps = flat_eyes.eyes(24)
    rows["person_group"] = np.r_[np.zeros(13), np.arange(1, 12)]
    made = flat_eyes.brighter(pixels, rows, maps, np.where(rows["person_group"] == 0, 60, 0))
    registered = register_eyes(rows, maps, size=SIDE)
    target = np.ones(24, int)
    found = change_atlas(
        registered, pixels, made, target, rows["person_group"], classes=CLASSES, permutations=99
    )
    each = found.maps["towards male"]
    assert (each.eyes, each.people) == (24, 12)
    changes = registered.changes(pixels, made).mean(axis=3)
    weighted = np.concatenate([changes[:13].mean(axis=0)[None], changes[13:]]).mean(axis=0)
    disc = place_of(DISC, SIDE)
    at = round(disc.y), round(disc.x)
    assert each.mean[at] == pytest.approx(weighted[at], rel=1e-5)
    assert not each.significant.any()


def test_a_null_version_that_shows_as_much_anywhere_takes_the_finding_away(given, found):
    pixels, made, _, rows, maps = given
    assert not found.maps["towards male"].beyond_null.any()
    quiet = flat_eyes.brighter(pixels, rows, maps, np.zeros(PEOPLE))
    # The same length everywhere on the retina, as often seen in every eye: nowhere near the disc.
    loud = np.where(pixels > 0, made + np.uint8(12), pixels).astype(np.uint8)
    alone = atlas_of(given, null_versions={"a": quiet}).maps["towards male"]
    both = atlas_of(given, null_versions={"a": quiet, "b": loud}).maps["towards male"]
    assert alone.beyond_null.any()
    assert (alone.beyond_null <= alone.significant).all()
    assert both.significant.any()
    assert not both.beyond_null.any()
    assert both.null_largest["b"] > np.nanmax(np.abs(both.statistic)) > both.null_largest["a"]
    at = np.unravel_index(np.nanargmax(np.abs(both.statistic)), both.p.shape)
    assert alone.null_p[at] == 1 / 2
    outside = np.isnan(alone.statistic)
    assert outside.any()
    assert (np.isnan(alone.null_p) == outside).all()
    assert both.null_p[at] == 2 / 3


def test_peaks_say_where(found):
    found = peaks(found)
    assert tuple(found.columns) == COLUMNS
    first = found.drop_duplicates("map").set_index("map")
    assert first.loc["towards male", "place"] == "disc"
    assert first.loc["towards female", "sign"] == -1
    # The disc lies 0.36 of the side nasal of the fovea: here 22 pixels, 2.4 disc diameters.
    assert first.loc["difference", "nasal_of_fovea"] == pytest.approx(22 / 9, abs=0.35)
    assert abs(first.loc["difference", "above_fovea"]) < 0.35
    assert 0.1 < first.loc["difference", "area"] < 4
    assert first.loc["difference", "change_green"] > 4 * abs(first.loc["difference", "change_red"])
    assert first["null_p"].isna().all()
    assert not first["beyond_null"].any()


def test_a_class_with_few_people_has_no_map(given):
    pixels, made, _, rows, maps = given
    few = np.where(np.arange(PEOPLE) < 5, 0, 1)
    found = atlas_of((pixels, made, few, rows, maps))
    assert list(found.maps) == ["towards male"]
    assert found.left_out == {
        "towards female": "5 people, 6 are needed", "difference": "both classes are needed",
    }  # fmt: skip
    told = maps_left_out(found.registered, few, rows["person_group"], classes=CLASSES)
    assert told == found.left_out
    with pytest.raises(InputError, match=r"0 aligned people towards female and 1 .* needs 6"):
        atlas_of((pixels, made, np.ones(PEOPLE), rows.assign(person_group=1), maps))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (2, np.full(PEOPLE, 2), "target: each must be 0 or 1"),
        (2, np.zeros(3), f"target: 3 given for {PEOPLE} eyes"),
    ],
)
def test_refusals(given, place, value, message):
    changed = list(given)
    changed[place] = value
    with pytest.raises(InputError, match=message):
        atlas_of(changed)
