"""One value or one reason for each biomarker, the same in fellow eyes and at any resolution."""

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest

from fundus_ml.biomarkers import BY_NAME, CATALOGUE, STRUCTURES, measure_biomarkers
from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.structures import Ellipse, Landmark
from fundus_ml.synthesis import Population, draw_population, paint_photograph, true_regions
from tests.fundus_ml.biomarkers import drawn_eyes

PARTS = ("disc", "cup", "fovea", "vessels")


@pytest.fixture(scope="module")
def painted():
    """Two painted eyes and their true regions."""
    rows = draw_population(Population(patients=3, seed=12)).to_dict("records")[:2]
    return [(paint_photograph(row).image, true_regions(row)) for row in rows]


def values(image, regions):
    return dict(measure_biomarkers(image, regions).values)


def test_every_biomarker_has_a_value_on_a_painted_eye(painted):
    for image, regions in painted:
        found = measure_biomarkers(image, regions)
        assert list(found.values) == [each.name for each in CATALOGUE]
        lacking = {name for name, value in found.values.items() if math.isnan(value)}
        assert lacking == set(found.reasons)
        assert lacking <= {"disc_tilt"}


def test_a_fellow_eye_measures_the_same(painted):
    for image, regions in painted:
        found, fellow = values(image, regions), values(*drawn_eyes.mirrored(image, regions))
        for name, value in found.items():
            # Large areas are thinned out from their first pixel on, which is another one here.
            tolerance = {"rel": 0.02, "abs": 0.02 if BY_NAME[name].unit == "log units" else 1e-3}
            assert fellow[name] == pytest.approx(value, **tolerance, nan_ok=True), name


def test_twice_the_pixels_measure_the_same(painted):
    image, regions = painted[0]
    found, larger = values(image, regions), values(*drawn_eyes.enlarged(image, regions, 2))
    for name, value in found.items():
        loose = BY_NAME[name].structure in {"vessels", "peripapillary"}
        tolerance = {"rel": 0.08 if loose else 0.02, "abs": 0.02}
        assert larger[name] == pytest.approx(value, **tolerance, nan_ok=True), name


@pytest.mark.parametrize("part", PARTS)
def test_without_a_part_what_needs_it_abstains_and_nothing_else(painted, part):
    image, regions = painted[0]
    full = measure_biomarkers(image, regions)
    doubts = ((part, "too dark"),)
    blind = dataclasses.replace(regions, **{part: None}, doubts=doubts)
    found = measure_biomarkers(image, blind)
    needing = {each.name for each in CATALOGUE if part in each.needs}
    assert set(found.reasons) - set(full.reasons) == needing
    assert {found.reasons[name] for name in needing} == {f"no {part}: too dark"}
    assert all(math.isnan(found.values[name]) for name in needing)


def test_two_missing_parts_are_both_named():
    regions = drawn_eyes.eye(disc=None, cup=None, fovea=None)
    found = measure_biomarkers(drawn_eyes.photograph(regions), regions)
    assert found.reasons["cup_disc_ratio"] == "no disc; no cup"
    assert found.reasons["artery_angle"] == "no disc; no fovea; no vessels"
    assert math.isfinite(found.values["hue"])


def test_parts_outside_the_field_of_view_abstain():
    far = Ellipse(x=560, y=300, width=80, height=90)
    regions = drawn_eyes.eye(disc=far, cup=far, fovea=Landmark(x=15, y=300))
    found = measure_biomarkers(drawn_eyes.photograph(regions), regions)
    told = found.reasons
    assert told["ring_red"] == "the ring around the disc lies outside the field of view"
    assert told["foveal_darkness"] == "the macula lies outside the field of view"
    gone = drawn_eyes.eye(fovea=Landmark(x=-500, y=300))
    told = measure_biomarkers(drawn_eyes.photograph(gone), gone).reasons
    assert told["macula_green_red"] == "the macula lies outside the field of view"


def test_what_vessels_cover_abstains():
    everywhere = drawn_eyes.eye().retina
    regions = drawn_eyes.eye(vessels=drawn_eyes.vessels(everywhere, everywhere))
    told = measure_biomarkers(drawn_eyes.photograph(regions), regions).reasons
    assert told["rim_pallor"] == "vessels cover the rim or the cup"
    assert told["ring_red"] == "vessels cover the ring around the disc"
    assert told["hue"] == "too few pixels show the retina"
    assert told["background_darkness"].startswith("vessels cover the cup")
    assert told["foveal_darkness"] == "too few pixels show the macula"


def test_vessels_without_arteries_have_a_density_and_no_calibre():
    mask = drawn_eyes.lines(*drawn_eyes.spokes(range(0, 360, 40)), width=6)
    regions = drawn_eyes.eye(vessels=drawn_eyes.Vessels(
        mask=mask, arteries=np.zeros_like(mask), veins=np.zeros_like(mask)
    ))  # fmt: skip
    found = measure_biomarkers(drawn_eyes.photograph(regions), regions)
    for name in ("crae", "crve", "artery_vein_ratio", "artery_angle", "vein_angle"):
        assert found.reasons[name] == "arteries and veins are not told apart"
    assert found.values["vessel_density"] > 0
    none = drawn_eyes.eye(vessels=drawn_eyes.vessels(np.zeros_like(mask)))
    found = measure_biomarkers(drawn_eyes.photograph(none), none)
    assert found.reasons["tortuosity"] == "no vessel was found"


def test_a_photograph_of_another_shape_is_refused():
    regions = drawn_eyes.eye()
    with pytest.raises(InputError, match=r"image: must be uint8 \(601, 601, 3\) as its regions"):
        measure_biomarkers(np.zeros((600, 601, 3), np.uint8), regions)
    with pytest.raises(InputError, match="not float64"):
        measure_biomarkers(np.zeros((601, 601, 3)), regions)


def test_the_catalogue_is_sound():
    """Names once, structures in order, sources are DOIs, directions are signs."""
    assert len(BY_NAME) == len(CATALOGUE)
    order = [STRUCTURES.index(each.structure) for each in CATALOGUE]
    assert order == sorted(order)
    for each in CATALOGUE:
        assert set(each.needs) <= set(PARTS)
        assert each.unit
        assert each.meaning
        assert each.label
        for doi in (each.doi, *(said.doi for said in each.directions)):
            assert doi == each.doi == "" or re.fullmatch(r"10\.\d{4,}/\S+", doi)
        contrasts = [said.contrast for said in each.directions]
        assert set(contrasts) <= {"sex", "glaucoma", "myopia", "hypertensive"}
        assert len(set(contrasts)) == len(contrasts)
        assert {abs(said.sign) for said in each.directions} <= {1}


def test_every_biomarker_and_its_source_stand_in_the_methods():
    text = (Path(__file__).parents[3] / "docs" / "methods.md").read_text(encoding="utf-8")
    table = text.partition("## Biomarkers")[2].partition("## Associations")[0]
    for each in CATALOGUE:
        assert f"`{each.name}`" in table
        assert each.doi in table
    directions = table.partition("Published directions")[2].splitlines()
    for each in CATALOGUE:
        rows = [row for row in directions if f"`{each.name}`" in row.split(" | ")[0]]
        for said in each.directions:
            assert any(said.doi in row for row in rows)
