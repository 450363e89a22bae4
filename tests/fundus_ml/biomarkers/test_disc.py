"""Disc, cup and rim of ellipses, against closed forms."""

import math

import numpy as np
import pytest

from fundus_ml.biomarkers import measure_biomarkers
from fundus_ml.biomarkers.disc import measure_cup, measure_disc, rim_widths
from fundus_ml.biomarkers.view import View, log_light
from fundus_ml.imaging.regions.structures import Ellipse, Laterality
from tests.fundus_ml.biomarkers import drawn_eyes
from tests.fundus_ml.biomarkers.drawn_eyes import TYPICAL


def disc_of(**parts):
    regions = drawn_eyes.eye(**parts)
    return measure_disc(View(drawn_eyes.photograph(regions), regions))


def test_an_ellipse_of_known_axes():
    found = disc_of(disc=Ellipse(x=410, y=300, width=60, height=80))
    assert found["disc_area"] == pytest.approx(60 * 80 / TYPICAL**2)
    assert found["disc_width"] == pytest.approx(60 / TYPICAL)
    assert found["disc_ovality"] == pytest.approx(0.75)


@pytest.mark.parametrize(("eye", "sign"), [("right", 1), ("left", -1)])
@pytest.mark.parametrize(("axes", "turn", "leans"), [((60, 80), 20, -20), ((80, 60), 30, 60)])
def test_the_long_axis_leans_temporally_or_nasally(eye, sign, axes, turn, leans):
    """Turned clockwise by 20 degrees, its top leans to the right: in a right eye nasally."""
    disc = Ellipse(x=410, y=300, width=axes[0], height=axes[1], angle=math.radians(turn))
    found = disc_of(disc=disc, fovea=None, eye=Laterality(eye=eye))
    assert found["disc_tilt"] == pytest.approx(sign * leans)


def test_a_round_disc_has_no_tilt_and_an_unknown_side_none_either():
    assert disc_of(disc=Ellipse(x=410, y=300, width=80, height=81))["disc_tilt"] == (
        "the disc is round"
    )
    assert disc_of(fovea=None, eye=None)["disc_tilt"] == "the side of the eye is not known"


def test_cup_and_rim_of_concentric_and_shifted_circles():
    disc = Ellipse(x=0, y=0, width=100, height=100)
    assert rim_widths(disc, Ellipse(x=0, y=0, width=40, height=40)) == pytest.approx(0.3)
    shifted = rim_widths(disc, Ellipse(x=10, y=0, width=40, height=40))
    assert shifted.min() == pytest.approx(0.2)
    assert shifted.max() == pytest.approx(0.4)
    assert shifted.argmin() == 0
    assert rim_widths(disc, Ellipse(x=0, y=30, width=50, height=50)).min() == 0


def test_rim_widths_agree_with_walking_along_each_ray():
    disc = Ellipse(x=3, y=-2, width=90, height=110, angle=0.4)
    cup = Ellipse(x=12, y=6, width=40, height=56, angle=-0.3)
    found = rim_widths(disc, cup)
    steps = np.arange(0, 80, 0.01)
    for degrees in range(0, 360, 45):
        angle = math.radians(degrees)
        x, y = disc.x + steps * math.cos(angle), disc.y + steps * math.sin(angle)
        outer, inner = (steps[inside(part, x, y)].max() for part in (disc, cup))
        assert found[degrees] == pytest.approx((outer - inner) / (2 * outer), abs=5e-4)


def inside(ellipse, x, y):
    across, down = x - ellipse.x, y - ellipse.y
    cos, sin = math.cos(ellipse.angle), math.sin(ellipse.angle)
    along, beside = across * cos + down * sin, down * cos - across * sin
    return (2 * along / ellipse.width) ** 2 + (2 * beside / ellipse.height) ** 2 <= 1


def test_the_ratio_is_vertical_also_of_a_turned_cup():
    cup = Ellipse(x=410, y=300, width=30, height=50, angle=0.5)
    regions = drawn_eyes.eye(disc=Ellipse(x=410, y=300, width=90, height=100), cup=cup)
    ratio = measure_cup(View(drawn_eyes.photograph(regions), regions))["cup_disc_ratio"]
    assert ratio == pytest.approx(np.ptp(np.argwhere(cup.mask((600, 600)))[:, 0]) / 100, abs=0.02)


def bare():
    """No vessel anywhere, surely."""
    nowhere = np.zeros_like(drawn_eyes.eye().retina)
    return drawn_eyes.eye(vessels=drawn_eyes.vessels(nowhere, nowhere))


def test_pallor_needs_sure_vessels():
    """They lie on the rim: taken for rim, they would pass for a redder one."""
    regions = drawn_eyes.eye()
    told = measure_biomarkers(drawn_eyes.photograph(regions), regions)
    assert told.reasons["rim_pallor"] == "no vessels"
    assert "rim_pallor" not in measure_biomarkers(drawn_eyes.photograph(bare()), bare()).reasons


def test_pallor_is_the_green_that_a_rim_lacks():
    regions = bare()
    image = drawn_eyes.photograph(regions, disc=(220, 120, 90))
    image[regions.cup.mask(regions.shape)] = (240, 200, 150)
    found = measure_biomarkers(image, regions).values["rim_pallor"]
    rim, cup = log_light(np.array([[220.0, 120], [240.0, 200]]))
    assert found == pytest.approx((rim[1] - rim[0]) - (cup[1] - cup[0]))
    assert found < 0
    brighter = np.where(image > 0, _light(image, 0.8), 0).astype(np.uint8)
    assert measure_biomarkers(brighter, regions).values["rim_pallor"] == pytest.approx(
        found, abs=0.02
    )


def _light(image, factor):
    """The same photograph under less light, encoded as sRGB again."""
    light = np.exp(log_light(image.astype(float))) * factor
    bright = 1.055 * light ** (1 / 2.4) - 0.055
    return np.rint(255 * np.where(light > 0.0031308, bright, 12.92 * light))
