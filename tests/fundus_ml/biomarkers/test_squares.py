"""Squares are measured from their rows and maps by other processes too."""

import dataclasses

import numpy as np
import pytest

from fundus_ml.biomarkers import (
    CATALOGUE,
    EyeSquare,
    measure_biomarkers,
    measure_squares,
)
from fundus_ml.imaging.regions.columns import region_columns
from fundus_ml.imaging.regions.maps import REGION_FLAGS, region_map
from fundus_ml.imaging.regions.structures import Ellipse
from fundus_ml.parallel import processes
from tests.fundus_ml.atlas import painted_eyes
from tests.fundus_ml.biomarkers import drawn_eyes


@pytest.fixture
def eye():
    arteries = drawn_eyes.lines(*drawn_eyes.spokes(range(0, 360, 60)), width=6)
    veins = drawn_eyes.lines(*drawn_eyes.spokes(range(30, 390, 60)), width=9)
    return drawn_eyes.eye(
        disc=Ellipse(x=410, y=300, width=50, height=56, angle=0.2, confidence=0.7),
        vessels=drawn_eyes.vessels(arteries, veins),
    )


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_squares_measure_as_one_by_one_in_any_number_of_processes(eye, workers):
    image = drawn_eyes.photograph(eye)
    squares = [EyeSquare(image, region_map(eye), region_columns(eye))] * 2
    blind = region_columns(dataclasses.replace(eye, vessels=None))
    squares.append(EyeSquare(image, region_map(eye), blind))
    with processes(workers=workers):
        found = list(measure_squares(squares))
    alone = measure_biomarkers(image, squares[0].regions())
    names = [each.name for each in CATALOGUE]
    expected = list(alone.values.values())
    for values, reasons in found[:2]:
        np.testing.assert_array_equal(values, expected)
        assert reasons == [alone.reasons.get(name, "") for name in names]
    assert found[2][1][names.index("crae")] == "no vessels"


@pytest.mark.parametrize("stored", [True, False])
def test_regions_found_anew_leave_out_what_the_frame_cut_off(stored):
    """Black strips above and below; a map that stays tells them where a picture lights them."""
    pixels, _, maps = painted_eyes.squares(1, size=320)
    image, drawn = pixels[0].copy(), maps[0].copy()
    image[:40] = image[-30:] = 60 if stored else 0
    drawn[:40] = drawn[-30:] = 0
    found = EyeSquare(image, drawn if stored else None).regions()
    assert not found.retina[:39].any()
    assert not found.retina[-29:].any()
    whole = (maps[0] & REGION_FLAGS["retina"] > 0)[41:-31]
    assert (found.retina[41:-31] == whole).mean() > 0.99
    assert found.disc is not None
