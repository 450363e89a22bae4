"""Widths, windings, dimensions and angles of drawn vessels, against closed forms."""

import math

import numpy as np
import pytest

from fundus_ml.biomarkers.calibre import (
    ARTERY,
    VEIN,
    knudtson,
    measure_arcades,
    measure_calibre,
)
from fundus_ml.biomarkers.centre_lines import (
    arc_and_chord,
    centre_line,
    line_length,
    medians_by_piece,
    pieces,
    widths_across,
)
from fundus_ml.biomarkers.vessels import box_dimension, measure_tree, winding
from fundus_ml.biomarkers.view import View
from fundus_ml.imaging.regions.structures import Landmark
from tests.fundus_ml.biomarkers import drawn_eyes
from tests.fundus_ml.biomarkers.drawn_eyes import TYPICAL


def view_of(**parts):
    regions = drawn_eyes.eye(**parts)
    return View(drawn_eyes.photograph(regions), regions)


@pytest.mark.parametrize("width", [3, 5, 8.5, 14])
@pytest.mark.parametrize("angle", [0, 17, 45, 90])
def test_parallel_lines_have_the_width_they_were_drawn_with(width, angle):
    turn = np.deg2rad(angle)
    along, beside = np.array([np.cos(turn), -np.sin(turn)]), np.array([np.sin(turn), np.cos(turn)])
    middle = np.array([300.3, 299.8])
    ways = [
        [middle + shift * beside - 180 * along, middle + shift * beside + 180 * along]
        for shift in (-40, 0, 40)
    ]
    mask = drawn_eyes.lines(*ways, width=width)
    line = centre_line(mask)
    points = np.argwhere(line).astype(float)
    inner = np.hypot(*(points - 300).T) < 150
    found = widths_across(mask, points[inner], widest=40)
    assert np.median(found) == pytest.approx(width, abs=0.6)
    assert len(medians_by_piece(line, line)[0]) == 3


def test_knudtson_by_hand():
    """Pairs 20-10, 18-12, 16-14; then the widest of the three with the narrowest; then the rest."""
    pairs = sorted(0.88 * math.hypot(*pair) for pair in ((20, 10), (18, 12), (16, 14)))
    last = sorted([0.88 * math.hypot(pairs[0], pairs[2]), pairs[1]])
    expected = 0.88 * math.hypot(*last)
    assert knudtson([16, 10, 20, 12, 14, 18], ARTERY) == pytest.approx(expected)
    assert knudtson([1.0] * 6, VEIN) == pytest.approx(
        0.95 * math.hypot(0.95 * math.sqrt(2), 0.95 * math.hypot(*[0.95 * math.sqrt(2)] * 2))
    )


def test_six_equal_arteries_and_veins_give_the_equivalents_of_their_width():
    arteries = drawn_eyes.lines(*drawn_eyes.spokes(range(0, 360, 60)), width=6)
    veins = drawn_eyes.lines(*drawn_eyes.spokes(range(30, 390, 60)), width=9)
    # The field must show the whole zone around the disc.
    disc = drawn_eyes.Ellipse(x=410, y=300, width=50, height=50)
    found = measure_calibre(view_of(disc=disc, vessels=drawn_eyes.vessels(arteries, veins)))
    assert found["crae"] == pytest.approx(knudtson([6] * 6, ARTERY) / TYPICAL, rel=0.08)
    assert found["crve"] == pytest.approx(knudtson([9] * 6, VEIN) / TYPICAL, rel=0.08)
    assert found["artery_vein_ratio"] == pytest.approx(found["crae"] / found["crve"])


def test_the_six_widest_of_eight_count():
    wide = drawn_eyes.spokes(range(0, 360, 60))
    narrow = drawn_eyes.spokes([30, 150])
    arteries = drawn_eyes.lines(*wide, width=8) | drawn_eyes.lines(*narrow, width=3)
    veins = drawn_eyes.lines(*wide[:5], width=8)
    disc = drawn_eyes.Ellipse(x=410, y=300, width=50, height=50)
    found = measure_calibre(view_of(disc=disc, vessels=drawn_eyes.vessels(arteries, veins)))
    assert found["crae"] == pytest.approx(knudtson([8] * 6, ARTERY) / TYPICAL, rel=0.08)
    told = "fewer than six vessels cross the zone around the disc"
    assert found["crve"] == found["artery_vein_ratio"] == told


def test_a_straight_line_does_not_wind_and_half_circles_wind_by_half_pi():
    flat = drawn_eyes.lines([(100, 300.2), (480, 340.1)], width=4)
    (piece,) = pieces(centre_line(flat))
    arc, chord = arc_and_chord(piece, smooth=3)
    assert chord == pytest.approx(math.dist((100, 300), (480, 340)), rel=0.02)
    assert arc / chord == pytest.approx(1, abs=0.004)
    turn = np.linspace(0, np.pi, 60)
    half = drawn_eyes.lines(
        np.stack([300 - 120 * np.cos(turn), 300 - 120 * np.sin(turn)], 1), width=4
    )
    (piece,) = pieces(centre_line(half))
    arc, chord = arc_and_chord(piece, smooth=3)
    assert arc / chord == pytest.approx(np.pi / 2, rel=0.02)


@pytest.mark.parametrize("height", [10, 20, 35])
def test_a_sine_winds_as_its_arc_length_integral_says(height):
    x = np.linspace(120, 480, 400)
    y = 300 + height * np.sin(2 * np.pi * (x - 120) / 120)
    slope = height * 2 * np.pi / 120 * np.cos(2 * np.pi * (x - 120) / 120)
    expected = np.trapezoid(np.hypot(1, slope), x) / (x[-1] - x[0]) - 1
    mask = drawn_eyes.lines(np.stack([x, y], axis=1), width=5)
    found = measure_tree(view_of(disc=None, cup=None, vessels=drawn_eyes.vessels(mask)))
    assert found["tortuosity"] == pytest.approx(expected, rel=0.1)


def test_pieces_end_at_branchings_and_rings_are_left_out():
    cross = np.zeros((60, 60), np.bool_)
    cross[30, 5:55], cross[5:55, 30] = True, True
    assert sorted(map(len, pieces(cross))) == [23, 23, 24, 24]
    down, across = np.mgrid[:60, :60]
    ring = centre_line(np.abs(np.hypot(down - 30, across - 30) - 20) < 2)
    assert sum(map(len, pieces(ring))) < ring.sum() / 2
    assert pieces(np.zeros((9, 9), np.bool_)) == []


def test_pieces_are_ordered_from_end_to_end():
    """Each step of a walk is to a neighbour, and nothing stands twice."""
    x = np.linspace(60, 500, 300)
    mask = drawn_eyes.lines(np.stack([x, 300 + 60 * np.sin(x / 30)], axis=1), width=4)
    for piece in pieces(centre_line(mask)):
        steps = np.abs(np.diff(piece, axis=0)).max(axis=1)
        assert (steps == 1).all()
        assert len(np.unique(piece, axis=0)) == len(piece)


def test_a_line_has_dimension_one_and_a_filled_square_two():
    square = np.ones((512, 512), np.bool_)
    line = np.zeros_like(square)
    line[200] = True
    assert box_dimension(np.argwhere(line), 256) == pytest.approx(1, abs=0.02)
    assert box_dimension(np.argwhere(square), 256) == pytest.approx(2, abs=0.02)


def test_the_sierpinski_triangle_has_its_dimension():
    triangle = np.ones((1, 1), np.bool_)
    for _ in range(9):
        empty = np.zeros_like(triangle)
        triangle = np.vstack([np.hstack([triangle, empty]), np.hstack([triangle, triangle])])
    assert box_dimension(np.argwhere(triangle), 256) == pytest.approx(math.log2(3), abs=0.02)


@pytest.mark.parametrize("angle", range(0, 90, 15))
def test_a_length_is_right_in_every_direction(angle):
    turn = np.deg2rad(angle)
    ends = np.array([300, 300]) + 200 * np.array([[np.cos(turn), np.sin(turn)], [0, 0]])
    line = centre_line(drawn_eyes.lines(ends, width=2))
    assert line_length(line) == pytest.approx(200, rel=0.06)


def test_density_and_length_of_lines_across_the_field():
    mask = drawn_eyes.lines([(50, 300), (550, 300)], [(300, 50), (300, 280)], width=7)
    view = view_of(disc=None, cup=None, vessels=drawn_eyes.vessels(mask))
    found = measure_tree(view)
    area = view.regions.retina.sum()
    assert found["vessel_density"] == pytest.approx(7 * 730 / area, rel=0.03)
    assert found["vessel_length"] == pytest.approx(730 * TYPICAL / area, rel=0.07)


@pytest.mark.parametrize(("drop", "above", "below"), [(0, 60, 70), (12, 60, 70), (30, 95, 95)])
def test_arcades_meet_at_the_angle_they_were_drawn_at(drop, above, below):
    """Measured from the way to the fovea; a thin branch and the nasal pair do not count."""
    fovea = Landmark(x=200, y=300 + 210 * math.tan(math.radians(drop)))
    way = 180 + drop
    arteries = drawn_eyes.lines(*drawn_eyes.spokes([way - above, way + below]), width=7)
    arteries |= drawn_eyes.lines(*drawn_eyes.spokes([way - 130, way + 130]), width=11)
    arteries |= drawn_eyes.lines(*drawn_eyes.spokes([way - 30]), width=3)
    veins = drawn_eyes.lines(*drawn_eyes.spokes([way - 50]), width=7)
    found = measure_arcades(view_of(fovea=fovea, vessels=drawn_eyes.vessels(arteries, veins)))
    assert found["artery_angle"] == pytest.approx(above + below, abs=1.5)
    assert found["vein_angle"] == "a temporal arcade was not found"


def test_a_piece_that_turns_back_does_not_carry_the_winding():
    assert winding([(11, 10), (31, 30), (90, 10)]) == pytest.approx(0.1)
