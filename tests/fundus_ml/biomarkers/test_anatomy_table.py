"""Regions as a row of numbers, and squares measured from such rows by other processes too."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fundus_ml.biomarkers import (
    CATALOGUE,
    Square,
    anatomy_row,
    check_anatomy,
    measure_biomarkers,
    measure_squares,
    tabulated_regions,
)
from fundus_ml.biomarkers.anatomy_table import COLUMNS, regions_of_row
from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.maps import region_map
from fundus_ml.imaging.regions.structures import Ellipse
from fundus_ml.parallel import processes
from tests.fundus_ml.biomarkers import drawn_eyes


@pytest.fixture
def eye():
    arteries = drawn_eyes.lines(*drawn_eyes.spokes(range(0, 360, 60)), width=6)
    veins = drawn_eyes.lines(*drawn_eyes.spokes(range(30, 390, 60)), width=9)
    return drawn_eyes.eye(
        disc=Ellipse(x=410, y=300, width=50, height=56, angle=0.2, confidence=0.7),
        vessels=drawn_eyes.vessels(arteries, veins),
    )


def test_a_row_and_a_map_give_the_regions_back(eye):
    row = anatomy_row(eye)
    assert list(row) == list(COLUMNS)
    back = regions_of_row(row, region_map(eye), drawn_eyes.SIDE)
    for part in ("disc", "cup", "fovea"):
        assert getattr(back, part) == getattr(eye, part)
    assert back.eye.eye == "right"
    for name in ("mask", "arteries", "veins"):
        np.testing.assert_array_equal(
            getattr(back.vessels, name), getattr(eye.vessels, name) & eye.retina
        )
    assert back.field.radius == pytest.approx(drawn_eyes.SIDE / 2)


def test_what_is_not_sure_stays_so(eye):
    blind = dataclasses.replace(eye, disc=None, cup=None, fovea=None, eye=None, vessels=None)
    back = regions_of_row(anatomy_row(blind), None, drawn_eyes.SIDE)
    assert (back.disc, back.cup, back.fovea, back.eye, back.vessels) == (None,) * 5
    assert back.retina.mean() == pytest.approx(np.pi / 4, abs=0.01)
    assert regions_of_row(anatomy_row(blind), region_map(blind), drawn_eyes.SIDE).vessels is None


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_squares_measure_as_one_by_one_in_any_number_of_processes(eye, workers):
    image = drawn_eyes.photograph(eye)
    squares = [Square(image, region_map(eye), anatomy_row(eye))] * 2
    squares.append(Square(image, None, anatomy_row(eye)))
    with processes(workers=workers):
        found = list(measure_squares(squares, tabulated_regions))
    alone = measure_biomarkers(image, tabulated_regions(squares[0]))
    names = [each.name for each in CATALOGUE]
    expected = list(alone.values.values())  # noqa: PD011 (no frame)
    for values, reasons in found[:2]:
        np.testing.assert_array_equal(values, expected)
        assert reasons == [alone.reasons.get(name, "") for name in names]
    assert found[2][1][names.index("crae")] == "no vessels"


def test_a_table_that_is_none_is_refused(eye):
    table = pd.DataFrame([{"image_id": "a"} | anatomy_row(eye)])
    assert check_anatomy(table, named="t").index.tolist() == ["a"]
    with pytest.raises(InputError, match="t: columns missing: disc_x, side"):
        check_anatomy(table.drop(columns=["disc_x", "side"]), named="t")
    with pytest.raises(InputError, match="t: a stands twice"):
        check_anatomy(pd.concat([table, table]), named="t")
