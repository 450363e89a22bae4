"""Registered changes: each eye's lie at one place, smoothing stays on the retina."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.atlas import register_eyes
from fundus_ml.atlas.peaks import place_of
from fundus_ml.errors import InputError
from fundus_ml.imaging.regions import region_columns, region_map
from fundus_ml.imaging.registration import DISC
from tests.fundus_ml.atlas import flat_eyes


def test_a_change_at_each_disc_comes_to_one_place():
    pixels, rows, maps = flat_eyes.eyes(4)
    made = flat_eyes.brighter(pixels, rows, maps, [60] * 4, channels=(1,))
    registered = register_eyes(rows, maps, size=50)
    assert registered.size == 50
    found = registered.changes(pixels, made)
    assert found.shape == (4, 50, 50, 3)
    disc = place_of(DISC, 50)
    for change in np.nan_to_num(found[..., 1]):
        y, x = np.unravel_index(change.argmax(), change.shape)
        assert np.hypot(x - disc.x, y - disc.y) < 2.5
    assert np.nanmax(np.abs(found[..., 0])) < 0.05
    assert registered.alignments[0].mirrored != registered.alignments[1].mirrored
    # 9 pixels of about 22 between fovea and disc, which are 0.36 of the side.
    assert registered.disc_diameter == pytest.approx(9 / 22 * 0.36 * 50, rel=0.1)


def test_a_constant_change_stays_one_however_wide_the_smoothing():
    """Nothing is mixed in from beyond the retina; there it is not shown."""
    pixels, rows, maps = flat_eyes.eyes(2)
    made = np.where(pixels > 0, pixels + 51, pixels).astype(np.uint8)
    for smoothing in (0, 0.1, 0.6):
        registered = register_eyes(rows, maps, smoothing=smoothing)
        found = registered.changes(pixels, made)
        shown = ~np.isnan(found)
        assert 0.5 < shown.mean() < 1
        np.testing.assert_allclose(found[shown], 0.2, rtol=1e-4)


def test_density_counts_energy_whatever_its_sign_and_strength():
    pixels, rows, maps = flat_eyes.eyes(4)
    made = pixels.astype(int)
    down, across = np.mgrid[:60, :60]
    for number, level in enumerate((-100, -20, 20, 100)):
        x, y = rows["region_disc_x"][number], rows["region_disc_y"][number]
        made[number, np.hypot(across - x, down - y) <= 4.5] += level
    registered = register_eyes(rows, maps, smoothing=0)
    found = registered.densities(pixels, made.astype(np.uint8))
    assert found.shape == (4, 64, 64)
    disc = place_of(DISC, 64)
    for density in found:
        # The disc's 64 of the retina's 2,832 pixels hold all of the energy.
        x, y = round(disc.x), round(disc.y)
        assert density[y - 1 : y + 2, x - 1 : x + 2].mean() == pytest.approx(2832 / 64, rel=0.15)
        assert density[y, 10] == 0
    even = np.where(pixels > 0, pixels + 50, pixels).astype(np.uint8)
    evenly = register_eyes(rows, maps).densities(pixels, even)
    np.testing.assert_allclose(evenly[~np.isnan(evenly)], 1, rtol=1e-3)
    unchanged = registered.densities(pixels, pixels)
    assert np.nanmax(unchanged) == 0
    with pytest.raises(InputError, match="modulated: uint8"):
        registered.densities(pixels, pixels[:1])


def test_what_changes_outside_the_retina_is_not_mixed_in():
    pixels, rows, maps = flat_eyes.eyes(2)
    made = np.where(pixels > 0, pixels, 200).astype(np.uint8)
    found = register_eyes(rows, maps).changes(pixels, made)
    assert np.nanmax(np.abs(found)) == 0


def test_smoothing_has_the_width_that_is_asked_for():
    pixels, rows, maps = flat_eyes.eyes(1)
    made = pixels.copy()
    made[0, round(rows["region_disc_y"][0]), round(rows["region_disc_x"][0])] += 100
    spreads = []
    for smoothing in (0.2, 0.4):
        registered = register_eyes(rows, maps, smoothing=smoothing)
        assert registered.smoothing == pytest.approx(smoothing * registered.disc_diameter)
        change = np.nan_to_num(registered.changes(pixels, made)[0].mean(axis=2))
        across = np.arange(64)
        middle = (change * across).sum() / change.sum()
        spreads.append((change * (across - middle) ** 2).sum() / change.sum())
    wider = spreads[1] - spreads[0]
    assert wider == pytest.approx((0.4**2 - 0.2**2) * registered.disc_diameter**2, rel=0.1)


def test_eyes_without_disc_or_fovea_abstain_and_are_counted():
    drawn = [
        flat_eyes.eye((40, 30), (18, 30)), flat_eyes.eye(None, (18, 30)),
        flat_eyes.eye((40, 30), None), flat_eyes.eye((30, 10), (30, 30)),
        flat_eyes.eye(None, (20, 30)), flat_eyes.eye((18, 30), (40, 32)),
    ]  # fmt: skip
    rows = pd.DataFrame([region_columns(each) for each in drawn])
    registered = register_eyes(rows, np.stack([region_map(each) for each in drawn]))
    assert registered.kept.tolist() == [0, 5]
    assert registered.abstained == {
        "no disc, so the eye cannot be aligned": 2,
        "no fovea, so the eye cannot be aligned": 1,
        "the disc lies above the fovea, so left and right are alike": 1,
    }
    with pytest.raises(InputError, match="none of 1 eyes shows both disc and fovea"):
        register_eyes(rows[1:2], np.stack([region_map(drawn[1])]))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": 0}, "size=0: must be at least 1"),
        ({"smoothing": -0.1}, "smoothing=-0.1: must be 0 or more disc diameters"),
        ({"rows": pd.DataFrame({"eye": ["left"] * 2})}, "rows: lack .*preprocessed with regions"),
        ({"region_maps": np.zeros((3, 60, 60), np.uint8)}, "region_maps: 3 given for 2 eyes"),
    ],
)
def test_refusals(changed, message):
    _, rows, maps = flat_eyes.eyes(2)
    with pytest.raises(InputError, match=message):
        register_eyes(**{"rows": rows, "region_maps": maps} | changed)


def test_pictures_of_another_shape_are_refused():
    pixels, rows, maps = flat_eyes.eyes(2)
    registered = register_eyes(rows, maps)
    with pytest.raises(InputError, match=r"modulated: uint8 \(1, 60, 60, 3\), must be uint8 \(2,"):
        registered.changes(pixels, pixels[:1])
