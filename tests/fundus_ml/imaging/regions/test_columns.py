"""Regions survive being written as columns and bits, and say whom to look at first."""

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest

from fundus_ml.imaging.cropping import crop_eye
from fundus_ml.imaging.field import FieldOfView
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.options import CropOptions
from fundus_ml.imaging.photographs import read_photograph
from fundus_ml.imaging.regions.columns import (
    REGION_COLUMNS,
    least_certain,
    moved,
    other_side,
    region_columns,
    regions_of_row,
    shares_found,
)
from fundus_ml.imaging.regions.maps import REGION_FLAGS, region_map
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, Laterality, Regions, Vessels
from fundus_ml.sources.synthetic import synthetic_photographs
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.population import draw_population
from fundus_ml.synthesis.truth import true_landmarks

SIZE = 96


def seen(**changed):
    """A square eye on which everything was found."""
    down, across = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    vessels = np.zeros((SIZE, SIZE), bool)
    vessels[20:70, 60:62] = True
    arteries = vessels & (across < 13)
    parts = {
        "shape": (SIZE, SIZE),
        "field": FieldOfView((SIZE - 1) / 2, (SIZE - 1) / 2, SIZE / 2),
        "retina": np.hypot(down, across) <= SIZE / 2,
        "disc": Ellipse(x=62.0, y=45.5, width=13.0, height=15.0, angle=0.3, confidence=0.9),
        "cup": Ellipse(x=61.5, y=45.0, width=5.0, height=6.0, confidence=0.7),
        "fovea": Landmark(x=25.0, y=50.0, confidence=0.95),
        "vessels": Vessels(
            mask=vessels, arteries=arteries, veins=vessels & ~arteries, confidence=0.8
        ),
        "eye": Laterality(eye="right", confidence=0.99),
    }
    return Regions(**parts | changed)


def test_what_is_written_is_read_back():
    found = seen()
    row = region_columns(found)
    assert tuple(row) == REGION_COLUMNS
    again = regions_of_row(row, region_map(found))
    for part in ("disc", "cup", "fovea", "eye"):
        assert getattr(again, part) == getattr(found, part)
    assert (again.vessels.arteries == found.vessels.arteries).all()
    assert (again.vessels.veins == found.vessels.veins).all()
    assert (again.vessels.mask >= found.vessels.mask).all()
    assert (again.retina == found.retina).all()


def test_what_is_not_sure_stays_so_and_says_why():
    found = seen(cup=None, fovea=None, eye=None, vessels=None, doubts=(("cup", "no cup: is seen"),))
    row = region_columns(found)
    assert math.isnan(row["region_cup_x"])
    again = regions_of_row(row, region_map(found))
    assert again.cup is again.fovea is again.eye is again.vessels is None
    assert again.doubts == found.doubts
    assert region_columns(None)["region_eye"] == ""


def test_parts_move_with_their_picture():
    """A point keeps its place on what is cut and enlarged three times: pixel centres are whole."""
    there = moved(seen(), 3.0, left=10, top=20)
    assert (there.fovea.x, there.fovea.y) == ((25 - 10 + 0.5) * 3 - 0.5, (50 - 20 + 0.5) * 3 - 0.5)
    assert there.disc.diameter == pytest.approx(3 * seen().disc.diameter)
    assert there.disc.angle == seen().disc.angle


@pytest.fixture
def rows():
    """Three eyes: whole, without a cup, and a doubtful one that looks like the other side."""
    eyes = [
        seen(),
        seen(cup=None),
        seen(fovea=Landmark(x=25, y=50, confidence=0.81), eye=Laterality(eye="left")),
    ]
    frame = pd.DataFrame([region_columns(eye) for eye in eyes])
    return frame.assign(eye=["right", "unknown", "right"])


def test_shares_count_eyes(rows):
    found = {"disc": 1.0, "cup": pytest.approx(2 / 3), "fovea": 1.0, "vessels": 1.0, "eye": 1.0}
    assert shares_found(rows) == found


def test_eyes_with_missing_parts_are_looked_at_first(rows):
    assert least_certain(rows, 2).tolist() == [1, 0]
    assert least_certain(rows, 9).tolist() == [1, 0, 2]


def test_an_eye_of_the_other_side_is_named_where_both_are_known(rows):
    assert other_side(rows).tolist() == [False, False, True]
    assert other_side(rows.assign(region_eye="")).tolist() == [False] * 3


def test_painted_eyes_bring_their_own_regions_to_the_square():
    """The truth of the painting, moved with its photograph; vessels stand in its map."""
    row = draw_population(Population(patients=1, seed=2)).to_dict("records")[0]
    load = partial(synthetic_photographs(Population(patients=1, seed=2)).load, row)
    eye = crop_eye(load, CropOptions(size=SIZE, same_person=False), drawn={})
    found = regions_of_row(eye.measured, eye.regions)
    truth = true_landmarks(row)
    scale = SIZE / (2 * truth.field.radius)
    for part in ("disc", "fovea"):
        across = getattr(found, part).x - (SIZE - 1) / 2
        assert across == pytest.approx(scale * (getattr(truth, part).x - truth.field.x), abs=1)
    assert found.disc.diameter == pytest.approx(scale * truth.disc.diameter, rel=0.02)
    assert found.vessels.mask.any()
    assert shares_found(pd.DataFrame([eye.measured]))["vessels"] == 1


@pytest.mark.parametrize(("around", "part"), [("disc", "disc"), ("macula", "fovea")])
def test_a_square_around_a_part_is_a_piece_of_the_finer_whole(around, part):
    row = draw_population(Population(patients=1, seed=2)).to_dict("records")[0]
    load = partial(synthetic_photographs(Population(patients=1, seed=2)).load, row)
    options = CropOptions(size=80, around=around, around_width=0.4, same_person=False)
    assert options.whole_size == 200
    eye = crop_eye(load, options, drawn={})
    whole = crop_eye(load, CropOptions(size=200, same_person=False), drawn={})
    there = regions_of_row(whole.measured, whole.regions)
    left, top = (round(getattr(getattr(there, part), axis) - 39.5) for axis in "xy")
    seen = np.pad(whole.pixels, ((80, 80), (80, 80), (0, 0)))[top + 80 : top + 160, left + 80 :]
    np.testing.assert_array_equal(eye.pixels, seen[:, :80])
    found = regions_of_row(eye.measured, eye.regions)
    assert getattr(found, part).x == pytest.approx(39.5, abs=0.51)
    assert getattr(found, part).y == pytest.approx(39.5, abs=0.51)
    assert (eye.regions & REGION_FLAGS["vessels"] > 0).any()
    other = "fovea" if part == "disc" else "disc"
    assert getattr(found, other) is None
    assert dict(found.doubts)[other] == "outside the square"


def test_an_eye_whose_part_is_not_found_is_refused():
    _, content = cv2.imencode(".png", grey_retina())
    load = partial(read_photograph, content.tobytes())
    options = CropOptions(size=64, around="disc", same_person=False)
    found = crop_eye(load, options, drawn={})
    assert found.reason == "disc not found"
    assert found.detail


def grey_retina():
    """A lit circle on which there is nothing."""
    image = np.zeros((400, 400, 3), np.uint8)
    cv2.circle(image, (200, 200), 190, (40, 80, 150), -1)
    return image


def test_the_pixels_of_an_eye_do_not_depend_on_its_regions():
    """What a served version crops, without regions, is what a network learned from."""
    painted = draw_population(Population(patients=1, seed=2)).to_dict("records")[0]
    image = synthetic_photographs(Population(patients=1, seed=2)).load(painted, 900).image
    _, content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    load = partial(read_photograph, content.tobytes())
    options = CropOptions(size=96, same_person=False)
    without, found = crop_eye(load, options), crop_eye(load, options, drawn={})
    np.testing.assert_array_equal(without.pixels, found.pixels)
    assert found.regions is not None
