import os
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fundus_ml.errors import InputError
from fundus_ml.imaging.field_of_view import FieldOfView
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.vessels import (
    _without_rim,
    expected_dice,
    find_vessels,
    vessel_probability,
)
from fundus_ml.region_training.vessel_marks import read_drive
from fundus_ml.region_training.vessel_scores import vessel_scores
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from fundus_ml.synthesis.truth import true_regions


@cache
def eye(number=0):
    row = draw_population(Population(patients=3, seed=5)).to_dict("records")[number]
    return paint_photograph(row).image, true_regions(row)


def dice(one, other):
    return 2 * (one & other).sum() / max(one.sum() + other.sum(), 1)


@pytest.mark.parametrize("number", [0, 2])
def test_the_vessels_of_painted_eyes_are_found(number):
    image, truth = eye(number)
    probability = vessel_probability(image, truth.field)
    assert probability.shape == image.shape[:2]
    inside = truth.retina
    assert roc_auc_score(truth.vessels.mask[inside], probability[inside]) > 0.93
    found, doubt = find_vessels(image, truth.field)
    assert doubt == ""
    assert dice(found.mask, truth.vessels.mask) > 0.65
    assert 0.5 <= found.confidence <= 1


def test_the_mask_is_where_the_probability_is_high():
    image, truth = eye()
    found, _ = find_vessels(image, truth.field)
    probability = vessel_probability(image, truth.field)
    assert probability[found.mask].min() > probability[truth.retina & ~found.mask].mean()
    assert not (found.mask & ~truth.retina).sum() > 0.002 * found.mask.sum()
    assert not (found.arteries & ~found.mask).any()
    assert not (found.veins & ~found.mask).any()


def test_a_mirrored_photograph_has_a_mirrored_mask():
    image, truth = eye()
    found, _ = find_vessels(image, truth.field)
    width = image.shape[1]
    field = replace(truth.field, x=width - 1 - truth.field.x)
    mirrored, _ = find_vessels(np.ascontiguousarray(image[:, ::-1]), field)
    assert dice(mirrored.mask[:, ::-1], found.mask) > 0.9


def test_half_the_size_has_the_same_vessels():
    image, truth = eye()
    found, _ = find_vessels(image, truth.field)
    height, width = (side // 2 for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    half, _ = find_vessels(small, truth.field.scaled(0.5, 0.5))
    assert half.mask.shape == (height, width)
    large = cv2.resize(half.mask.astype(np.uint8), image.shape[1::-1]) > 0
    assert dice(large, found.mask) > 0.75


def test_a_squashed_photograph_has_a_squashed_mask():
    image, truth = eye()
    height, width = image.shape[:2]
    wide = cv2.resize(image, (round(1.2 * width), height))
    found, _ = find_vessels(wide, truth.field.scaled(round(1.2 * width) / width, 1))
    back = cv2.resize(found.mask.astype(np.uint8), (width, height)) > 0
    assert dice(back, find_vessels(image, truth.field)[0].mask) > 0.85


def test_what_lies_outside_the_field_changes_nothing():
    image, truth = eye()
    noisy = image.copy()
    down, across = np.mgrid[: image.shape[0], : image.shape[1]]
    far = np.hypot(across - truth.field.x, down - truth.field.y) > truth.field.radius + 3
    noisy[far] = np.random.default_rng(0).integers(0, 256, (far.sum(), 3))
    plain, other = (vessel_probability(i, truth.field) for i in (image, noisy))
    np.testing.assert_allclose(plain, other, atol=0.02)


def test_an_eye_that_leaves_the_frame_keeps_its_place():
    image, truth = eye()
    cut = 90
    found, _ = find_vessels(image, truth.field)
    part, _ = find_vessels(image[cut:], replace(truth.field, y=truth.field.y - cut))
    assert part.mask.shape == image[cut:].shape[:2]
    assert dice(part.mask, found.mask[cut:]) > 0.9


@pytest.mark.parametrize(
    ("level", "why"), [(0, "^too dark: 0% of the field is lit$"), (120, "^few vessels stand out")]
)
def test_a_black_or_blank_field_has_none(level, why):
    image = np.full((300, 320, 3), level, np.uint8)
    found, doubt = find_vessels(image, FieldOfView(160, 150, 140))
    assert found is None
    assert re.search(why, doubt)


def test_a_blurred_eye_or_noise_has_none_and_the_reason_is_one_line():
    image, truth = eye()
    blurred = cv2.GaussianBlur(image, (0, 0), 25)
    noise = np.random.default_rng(0).integers(90, 130, image.shape).astype(np.uint8)
    for picture in (blurred, noise):
        found, doubt = find_vessels(picture, truth.field)
        assert found is None
        assert doubt
        assert "\n" not in doubt


def test_confidence_falls_with_blur():
    image, truth = eye()
    found = [
        find_vessels(cv2.GaussianBlur(image, (0, 0), blur) if blur else image, truth.field)[0]
        for blur in (0, 2, 4, 12)
    ]
    sure = [0 if vessels is None else vessels.confidence for vessels in found]
    assert sure[0] > sure[1] > sure[2] > sure[3] == 0


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
    ],
)
def test_what_is_no_photograph_is_refused(image):
    with pytest.raises(InputError, match=r"^image of shape .*: must be \(H, W, 3\) of uint8$"):
        find_vessels(image, FieldOfView(5, 5, 5))


def test_a_field_without_pixels_is_refused():
    with pytest.raises(InputError, match="at least 1 pixel"):
        find_vessels(np.zeros((9, 9, 3), np.uint8), FieldOfView(4, 4, 0.1))


def test_a_field_outside_the_frame_is_dark():
    found, doubt = find_vessels(np.full((9, 9, 3), 99, np.uint8), FieldOfView(900, 900, 40))
    assert found is None
    assert doubt.startswith("too dark")


def test_of_the_rim_only_what_runs_on_from_inside_is_kept():
    seen = np.hypot(*np.mgrid[-99.5:100, -99.5:100]) < 99
    away = np.hypot(*np.mgrid[-99.5:100, -99.5:100])
    arc, spoke = seen & (away > 94), np.zeros_like(seen)
    spoke[98:102, 100:] = True
    probability = np.where(seen & (arc | spoke), 0.8, 0.1).astype(np.float32) * seen
    kept = _without_rim(probability, seen)
    np.testing.assert_array_equal(kept[spoke], probability[spoke])
    np.testing.assert_array_equal(kept[away < 88], probability[away < 88])
    far = arc & ~spoke & (np.abs(np.mgrid[-99.5:100, -99.5:100][0]) > 20)
    assert kept[far].max() < 0.2


def test_expected_dice_is_dice_where_probabilities_are_true():
    generator = np.random.default_rng(0)
    probability = (generator.random(200_000) ** 3).astype(np.float32)
    vessels = generator.random(200_000) < probability
    mask = probability > 0.4
    assert expected_dice(probability, mask) == pytest.approx(dice(mask, vessels), abs=0.01)


@pytest.mark.real_data
def test_drives_vessels_are_found():
    """It learned from them: this only says that the shipped network works on photographs."""
    if "FUNDUS_REAL_DATA" not in os.environ:
        pytest.skip("FUNDUS_REAL_DATA names no folder of real photographs")
    eyes = read_drive(Path(os.environ["FUNDUS_REAL_DATA"]) / "anatomy/drive")
    for marked in eyes[::7]:
        found, doubt = find_vessels(marked.image, marked.field)
        assert doubt == ""
        assert vessel_scores(found.mask, marked.vessels, marked.counted).dice > 0.75
