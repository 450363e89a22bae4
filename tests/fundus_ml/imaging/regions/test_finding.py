"""Disc, cup, fovea and side are found on eyes, follow them, and are not found elsewhere."""

import math
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging.field_of_view import FieldOfView, find_field_of_view
from fundus_ml.imaging.pictures import read_png
from fundus_ml.imaging.regions import finding
from fundus_ml.imaging.regions.evidence import SURE
from fundus_ml.imaging.regions.finding import find_regions
from fundus_ml.imaging.regions.maps import REGION_FLAGS, region_map
from fundus_ml.imaging.regions.squares import Square
from fundus_ml.region_training.marks import read_marks
from tests.fundus_ml.imaging.regions.eyes import blackened, no_eyes, painted

PARTS = ("disc", "cup", "fovea", "eye")
NO_EYES = no_eyes()


def shared_area(found, truth, shape):
    """Intersection over union of two ellipses, pixel by pixel."""
    one, other = found.mask(shape), truth.mask(shape)
    return (one & other).sum() / (one | other).sum()


def apart(one, other):
    return np.hypot(one.x - other.x, one.y - other.y)


@pytest.fixture(scope="module")
def found():
    return [(image, find_regions(image), truth) for image, truth in painted()]


def test_painted_eyes_are_found(found):
    """Each against its exact regions."""
    for image, regions, truth in found:
        shape = image.shape[:2]
        assert regions.shape == shape
        assert not regions.doubts
        assert shared_area(regions.disc, truth.disc, shape) > 0.8
        assert shared_area(regions.cup, truth.cup, shape) > 0.45
        assert apart(regions.fovea, truth.fovea) < 0.25 * truth.disc.diameter
        assert regions.eye.eye == truth.eye.eye
        assert all(getattr(regions, part).confidence >= SURE[part] for part in PARTS)
        assert (regions.retina == truth.retina).mean() > 0.99


def test_borders_lie_where_they_were_painted_on_average(found):
    """No part is systematically too large or too small."""
    for part, near in (("disc", 0.02), ("cup", 0.08)):
        ratios = [getattr(f, part).diameter / getattr(t, part).diameter for _, f, t in found]
        assert np.mean(ratios) == pytest.approx(1, abs=near), part


def test_what_is_found_makes_a_map(found):
    """The value type's own reader takes it."""
    _, regions, truth = found[0]
    drawn = region_map(regions)
    row, column = round(truth.disc.y), round(truth.disc.x)
    assert drawn[row, column] & REGION_FLAGS["disc"]
    assert drawn[round(truth.fovea.y), round(truth.fovea.x)] & REGION_FLAGS["macula"]


def test_a_mirrored_photograph_has_mirrored_regions(found):
    for image, regions, _ in found[:3]:
        mirrored = find_regions(image[:, ::-1])  # a view with strides below 0
        last = image.shape[1] - 1
        close = 0.06 * regions.disc.diameter
        assert abs(last - mirrored.disc.x - regions.disc.x) < close
        assert abs(mirrored.disc.y - regions.disc.y) < close
        assert abs(last - mirrored.fovea.x - regions.fovea.x) < close
        assert {mirrored.eye.eye, regions.eye.eye} == {"left", "right"}


@pytest.mark.parametrize("factor", [0.55, 1.9])
def test_a_scaled_photograph_has_scaled_regions(found, factor):
    image, regions, _ = found[1]
    resized = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    scaled = find_regions(np.ascontiguousarray(resized))
    expected = regions.disc.scaled(factor)
    assert apart(scaled.disc, expected) < 0.08 * expected.diameter
    assert scaled.disc.diameter == pytest.approx(expected.diameter, rel=0.06)
    assert apart(scaled.fovea, regions.fovea.scaled(factor)) < 0.15 * expected.diameter


def test_a_cropped_photograph_has_moved_regions(found):
    """Cut through surround and retina."""
    image, regions, _ = found[0]
    left, top = 60, 35
    moved = find_regions(np.ascontiguousarray(image[top:-20, left:-30]))
    expected = regions.disc.scaled(1, left=left, top=top)
    assert apart(moved.disc, expected) < 0.1 * expected.diameter
    assert apart(moved.fovea, regions.fovea.scaled(1, left=left, top=top)) < 0.2 * expected.diameter


def test_a_squashed_frame_has_squashed_regions(found):
    """As many of ODIR's are."""
    image, _, truth = found[2]
    height, width = image.shape[:2]
    squashed = cv2.resize(image, (round(width * 0.8), height), interpolation=cv2.INTER_AREA)
    regions = find_regions(np.ascontiguousarray(squashed))
    assert abs(regions.disc.x / 0.8 - truth.disc.x) < 0.15 * truth.disc.diameter
    assert regions.disc.horizontal / regions.disc.vertical == pytest.approx(
        0.8 * truth.disc.horizontal / truth.disc.vertical, rel=0.12
    )


def test_a_field_of_view_that_is_known_is_used(found, monkeypatch):
    image, regions, _ = found[0]
    monkeypatch.setattr(finding, "find_field_of_view", None)
    again = find_regions(image, field=regions.field)
    assert again.disc == regions.disc
    assert again.fovea == regions.fovea


def test_the_same_photograph_gives_the_same_regions_again(found):
    image, regions, _ = found[1]
    again = find_regions(image)
    assert again.disc == regions.disc
    assert again.fovea == regions.fovea


@pytest.mark.parametrize("name", NO_EYES)
def test_what_is_no_eye_has_no_parts_and_says_why(name):
    regions = find_regions(NO_EYES[name])
    doubts = dict(regions.doubts)
    for part in PARTS:
        assert getattr(regions, part) is None
        assert doubts[part]
        assert "\n" not in doubts[part]
    assert regions.vessels is None
    assert doubts["vessels"]


def test_an_eye_in_colours_of_no_retina_has_no_parts(found):
    """Blue before red, as another library stores it."""
    regions = find_regions(found[0][0][..., ::-1])
    assert regions.disc is None
    assert dict(regions.doubts)["disc"].startswith("colours swapped or inverted")
    assert regions.field.confidence > 0


def test_an_eye_whose_disc_is_cut_out_has_none(found):
    for image, _, truth in found[:4]:
        field = find_field_of_view(image)
        hidden = blackened(image, truth.disc.x, truth.disc.y, 0.9 * truth.disc.diameter)
        regions = find_regions(hidden, field=field)
        assert regions.disc is None
        assert regions.cup is None


def test_a_photograph_of_the_macula_alone_has_no_disc(found):
    for image, _, truth in found[:4]:
        radius = truth.disc.diameter * 1.5
        alone = blackened(image, truth.fovea.x, truth.fovea.y, radius, outside=True)
        regions = find_regions(alone)
        assert regions.disc is None
        assert dict(regions.doubts)["disc"]


def seen_with(monkeypatch, **changes):
    """Have the network find other places than it does."""
    look = finding.find_on_square

    def other(maps):
        found = look(maps)
        moved = {name: replace(getattr(found, name), **at) for name, at in changes.items()}
        return replace(found, **moved)

    monkeypatch.setattr(finding, "find_on_square", other)


def test_a_fovea_too_near_its_disc_is_doubted(found, monkeypatch):
    """However sure the network is of both; one of them stays."""
    image, regions, _ = found[0]
    square = Square.around(image, regions.field, size=finding.SIZE)
    disc = square.ellipse_in(regions.disc)
    towards = math.copysign(disc.diameter, square.point_in(regions.fovea).x - disc.x)
    seen_with(monkeypatch, fovea={"x": disc.x + towards, "y": disc.y})
    monkeypatch.setattr(finding, "confidence", lambda *_: 0.95)
    again = find_regions(image)
    assert (again.disc is None) + (again.fovea is None) == 1
    assert "implausible distance" in dict(again.doubts)["fovea"]


@pytest.mark.parametrize(("confidence", "stays"), [(0.85, False), (0.92, True)])
def test_the_fovea_of_an_implausible_pair_needs_the_confidence_of_one_alone(
    found, monkeypatch, confidence, stays
):
    """The less sure disc goes; the pair does not say which eye it is."""
    image, regions, _ = found[0]
    square = Square.around(image, regions.field, size=finding.SIZE)
    disc = square.ellipse_in(regions.disc)
    towards = math.copysign(disc.diameter, square.point_in(regions.fovea).x - disc.x)
    seen_with(monkeypatch, fovea={"x": disc.x + towards, "y": disc.y})
    certain = {"centre": 0.82, "mass": confidence}
    monkeypatch.setattr(
        finding,
        "confidence",
        lambda _, evidence: next((certain[name] for name in certain if name in evidence), 0.95),
    )
    again = find_regions(image)
    assert again.disc is None
    assert (again.fovea is not None) == stays
    assert again.eye is None
    doubts = dict(again.doubts)
    assert doubts["eye"] == "the disc is not sure"
    if not stays:
        assert doubts["fovea"] == "the disc is not sure: confidence 0.85, 0.9 is needed"


def test_a_reflex_that_is_taken_for_a_disc_says_nothing_of_the_side(found, monkeypatch):
    """The fovea is sure; brightness and vessels do not point to the disc, or do."""
    image, regions, _ = found[0]
    monkeypatch.setattr(finding, "SURE", dict(SURE) | {"disc": 1.1})
    assert find_regions(image).eye.eye == regions.eye.eye
    square = Square.around(image, regions.field, size=finding.SIZE)
    other = 255 - square.ellipse_in(regions.disc).x
    seen_with(monkeypatch, disc={"x": other})
    again = find_regions(image)
    assert again.fovea is not None
    assert again.eye is None
    assert dict(again.doubts)["eye"] == "the disc is not sure"


def test_a_disc_outside_the_field_of_view_is_doubted(found, monkeypatch):
    image, *_ = found[0]
    seen_with(monkeypatch, disc={"x": 3.0, "y": 3.0})
    regions = find_regions(image)
    assert regions.disc is None
    assert dict(regions.doubts)["disc"] == "it lies outside the field of view"


def test_a_field_of_view_beside_the_picture_holds_nothing(found):
    image, *_ = found[0]
    regions = find_regions(image, field=FieldOfView(-900, -900, 200))
    assert not regions.retina.any()
    assert not any(getattr(regions, part) for part in PARTS)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((300, 300), np.uint8), r"image: uint8 \(300, 300\); allowed: uint8 \(H, W, 3\)"),
        (np.zeros((300, 300, 4), np.uint8), r"image: uint8 \(300, 300, 4\)"),
        (np.zeros((3, 300, 300), np.uint8), r"image: uint8 \(3, 300, 300\)"),
        (np.zeros((300, 300, 3), np.float32), r"image: float32 \(300, 300, 3\)"),
        (np.zeros((1, 3, 300, 300), np.uint8), r"image: uint8 \(1, 3, 300, 300\)"),
        (np.zeros((0, 0, 3), np.uint8), r"image: uint8 \(0, 0, 3\)"),
        (np.zeros((31, 900, 3), np.uint8), "sides of at least 32 pixels"),
        ("eye.png", r"image: str \(\)"),
        (None, r"image: NoneType \(\)"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(image, said):
    with pytest.raises(InputError, match=said) as caught:
        find_regions(image)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def real_data():
    if "FUNDUS_REAL_DATA" not in os.environ:
        pytest.skip("FUNDUS_REAL_DATA names no folder of real photographs")
    return Path(os.environ["FUNDUS_REAL_DATA"])


@pytest.mark.real_data
def test_marked_eyes_are_found(real_data):
    """Thirty that nothing was learned from."""
    marks = [eye for eye in read_marks(real_data / "anatomy/codras") if eye.part == "test"]
    inside, near, sure = [], [], []
    for eye in marks[:30]:
        image = read_png(eye.path)
        regions, disc = find_regions(image), eye.disc(*image.shape[:2])
        fovea = eye.fovea_at(*image.shape[:2])
        sure.append(regions.disc is not None)
        if regions.disc and disc:
            inside.append(bool(disc.distance(image.shape[:2])[
                round(regions.disc.y), round(regions.disc.x)] < 1))  # fmt: skip
        if regions.fovea and fovea and disc:
            near.append(apart(regions.fovea, fovea) <= 0.5 * disc.diameter)
    assert np.mean(sure) >= 0.9
    assert np.mean(inside) >= 0.97
    assert np.mean(near) >= 0.92


@pytest.mark.real_data
def test_the_side_is_what_odirs_names_say(real_data):
    paths = sorted((real_data / "odir/images").glob("*.jpg"))[::125]
    named = [(path.stem, find_regions(read_png(path)).eye) for path in paths]
    agreeing = [stem.endswith(f"_{eye.eye}") for stem, eye in named if eye]
    assert len(agreeing) >= 0.8 * len(paths)
    assert np.mean(agreeing) >= 0.97
