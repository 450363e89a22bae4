"""The truth about a painted eye agrees with its pixels and with its map."""

import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.maps import REGION_FLAGS, region_map
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from fundus_ml.synthesis.truth import true_regions


@pytest.fixture(scope="module")
def eyes():
    rows = draw_population(Population(patients=3, seed=5)).to_dict("records")
    return [(row, paint_photograph(row), true_regions(row)) for row in rows]


def test_the_truth_lies_inside_the_map_of_the_painting(eyes):
    """The map has margins, the truth has none."""
    for _, painting, truth in eyes:
        drawn = region_map(truth)
        for name in ("retina", "disc", "vessels"):
            inside = drawn & REGION_FLAGS[name] > 0
            assert (painting.regions[inside] & REGION_FLAGS[name] > 0).mean() > 0.97, name


def test_macula_and_disc_of_the_map_are_those_of_the_painting(eyes):
    """Up to the eye's own disc diameter, which the painting's macula does not follow."""
    for row, painting, truth in eyes:
        macula = region_map(truth) & REGION_FLAGS["macula"] > 0
        across = np.nonzero(painting.regions & REGION_FLAGS["macula"])[1].mean()
        assert np.nonzero(macula)[1].mean() == pytest.approx(across, abs=2)
        right = truth.disc.x > truth.fovea.x
        assert (truth.eye.eye == "right") == right == (row["eye"] == "right")


def test_a_cup_is_as_tall_as_its_ratio_says(eyes):
    for row, _, truth in eyes:
        ratio = truth.cup.vertical / truth.disc.vertical
        assert ratio == pytest.approx(row["cup_disc_ratio"] * 0.92 / 0.98)


def test_vessels_are_darker_than_what_lies_beside_them(eyes):
    import cv2  # noqa: PLC0415 (only here)

    for _, painting, truth in eyes:
        beside = cv2.dilate(truth.vessels.mask.astype(np.uint8), np.ones((9, 9))) > 0
        beside &= ~truth.vessels.mask & truth.retina
        green = painting.image[..., 1].astype(float)
        assert green[truth.vessels.mask].mean() < green[beside].mean() - 3
        assert not (truth.vessels.mask & ~truth.retina).any()


def test_a_row_that_is_no_eye_is_refused():
    with pytest.raises(InputError, match="columns eye, camera"):
        true_regions({})
