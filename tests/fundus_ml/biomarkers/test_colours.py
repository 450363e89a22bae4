"""Ring, macula and pigment of flat colours, against what the colours say."""

import numpy as np
import pytest

from fundus_ml.biomarkers import measure_biomarkers
from fundus_ml.biomarkers.view import View, log_light
from fundus_ml.imaging.regions.structures import Landmark, Laterality
from tests.fundus_ml.biomarkers import drawn_eyes
from tests.fundus_ml.biomarkers.drawn_eyes import TYPICAL

RETINA, DISC = (180, 90, 40), (240, 190, 120)


def light(*levels):
    return log_light(np.array(levels, float))


def measured(regions, paint=None):
    image = drawn_eyes.photograph(regions, retina=RETINA, disc=DISC)
    if paint:
        paint(image, regions)
    return measure_biomarkers(image, regions)


def test_log_light_is_that_of_the_srgb_curve():
    """White is 0, middle grey 119 is 18.4 % of it, twice the light adds log 2."""
    assert light(255) == pytest.approx(0)
    assert np.exp(light(119)) == pytest.approx(0.184, abs=0.001)
    assert np.exp(light(10)) == pytest.approx(10 / 255 / 12.92)
    assert np.isfinite(light(0)).all()


def test_a_flat_eye_has_the_colours_of_its_retina_and_nothing_else():
    found = measured(drawn_eyes.eye()).values
    red, green, blue = light(*RETINA)
    for part in ("background", "macula"):
        assert found[f"{part}_green_red"] == pytest.approx(green - red)
        assert found[f"{part}_red_blue"] == pytest.approx(red - blue)
    assert found["background_darkness"] == pytest.approx(light(DISC[1])[0] - green)
    assert found["ring_tessellation"] == pytest.approx(RETINA[0] / sum(RETINA))
    flat = ("ring_red", "ring_green", "ring_blue", "atrophy", "beta_zone", "foveal_darkness")
    assert {name: found[name] for name in (*flat, "foveal_reflex")} == pytest.approx(
        dict.fromkeys((*flat, "foveal_reflex"), 0.0)
    )


@pytest.mark.parametrize(
    ("colour", "hue"), [((200, 0, 0), 0), ((200, 200, 0), 60), ((0, 200, 0), 120)]
)
def test_hue_is_the_angle_of_the_colour_circle(colour, hue):
    regions = drawn_eyes.eye()
    image = drawn_eyes.photograph(regions, retina=colour)
    assert measure_biomarkers(image, regions).values["hue"] == pytest.approx(hue, abs=0.5)


def test_a_dark_fovea_with_a_reflex():
    def paint(image, regions):
        away, _ = View(image, regions).about_fovea
        image[away < 0.5 * TYPICAL] = (150, 60, 30)
        image[away < 0.03 * TYPICAL] = (200, 130, 80)

    found = measured(drawn_eyes.eye(), paint).values
    assert found["foveal_darkness"] == pytest.approx(light(90)[0] - light(60)[0])
    assert found["foveal_reflex"] == pytest.approx(light(130)[0] - light(60)[0])


def test_atrophy_is_the_share_of_its_ring_and_known_by_its_side():
    """A bright temporal quarter from the margin on: a quarter of the ring, all of its sector."""

    def paint(image, regions):
        view = View(image, regions)
        _, angle = view.about_disc
        image[(view.from_margin > 0) & (view.from_margin < 0.5) & (abs(angle) <= 45)] = 250

    for eye, fovea in (("right", Landmark(x=200, y=300)), ("left", Landmark(x=590, y=300))):
        regions = drawn_eyes.eye(eye=Laterality(eye=eye), fovea=fovea)
        found = measured(regions, paint).values
        assert found["atrophy"] == pytest.approx(0.25, abs=0.02)
        assert found["beta_zone"] == pytest.approx(1, abs=0.01)
    nasal = drawn_eyes.eye(fovea=None, eye=None)
    told = measured(nasal, paint)
    assert told.reasons["beta_zone"] == "the side of the eye is not known"
    assert told.values["atrophy"] == pytest.approx(0.25, abs=0.02)


def test_vessels_do_not_colour_what_lies_beneath():
    """Dark vessels all over the eye: colours stay those of the retina between them."""
    ways = [[(x, 5), (x, 595)] for x in range(40, 600, 40)]
    mask = drawn_eyes.lines(*ways, width=7)
    regions = drawn_eyes.eye(vessels=drawn_eyes.vessels(mask))

    def paint(image, _regions):
        image[mask] = (60, 10, 5)

    bare = measured(drawn_eyes.eye()).values
    found = measured(regions, paint).values
    for name in ("background_green_red", "macula_red_blue", "ring_green", "foveal_darkness"):
        assert found[name] == pytest.approx(bare[name], abs=1e-6), name


def test_the_blur_beside_vessels_does_not_colour_the_background():
    """More of the retina between the vessels lies under their blur than beside it."""
    ways = [[(x, 5), (x, 595)] for x in range(8, 600, 16)]
    mask, blur = (drawn_eyes.lines(*ways, width=width) for width in (5, 11))
    regions = drawn_eyes.eye(vessels=drawn_eyes.vessels(mask))

    def paint(image, _regions):
        image[blur] = (90, 30, 10)

    red, green, _ = light(*RETINA)
    found = measured(regions, paint).values["background_green_red"]
    assert found == pytest.approx(green - red)


def test_a_brighter_ring_is_brighter_in_every_channel():
    def paint(image, regions):
        away = View(image, regions).from_margin
        image[(away >= 0.5) & (away <= 1) & regions.retina] = (200, 110, 60)

    found = measured(drawn_eyes.eye(), paint).values
    expected = light(200, 110, 60) - light(*RETINA)
    for place, name in enumerate(("ring_red", "ring_green", "ring_blue")):
        assert found[name] == pytest.approx(expected[place])
