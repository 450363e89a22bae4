"""Eyes laid over one another: disc and fovea in their places, exact ways back."""

import numpy as np
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging.field_of_view import FieldOfView
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, Regions
from fundus_ml.imaging.registration import DISC, FOVEA, Alignment, align_eye

SHAPE = (200, 260)


def regions(disc=(190.0, 90.0), fovea=(80.0, 110.0)):
    return Regions(
        shape=SHAPE,
        field=FieldOfView(130, 100, 95),
        retina=np.ones(SHAPE, np.bool_),
        disc=disc and Ellipse(x=disc[0], y=disc[1], width=30, height=32),
        fovea=fovea and Landmark(x=fovea[0], y=fovea[1]),
    )


BOTH = [((190.0, 90.0), (80.0, 110.0)), ((70.0, 130.0), (171.0, 95.0))]


@pytest.mark.parametrize(("disc", "fovea"), BOTH)
def test_disc_and_fovea_come_to_their_places(disc, fovea):
    found = Alignment.of(regions(disc, fovea), 128)
    placed = found.to_square(np.array([disc, fovea]))
    expected = np.array([DISC, FOVEA]) * 128 - 0.5
    np.testing.assert_allclose(placed, expected, atol=1e-9)
    assert found.mirrored == (disc[0] < fovea[0])


@pytest.mark.parametrize(("disc", "fovea"), BOTH)
def test_points_come_back_exactly_and_angles_stay(disc, fovea):
    found = Alignment.of(regions(disc, fovea), 97)
    points = np.random.default_rng(0).uniform(-50, 300, (20, 2))
    np.testing.assert_allclose(found.to_photograph(found.to_square(points)), points, atol=1e-9)
    linear = found.matrix[:, :2]
    np.testing.assert_allclose(linear @ linear.T, found.scale**2 * np.eye(2), atol=1e-12)
    assert np.sign(np.linalg.det(linear)) == (-1 if found.mirrored else 1)


def test_up_stays_up_in_both_eyes():
    """A point above the line from disc to fovea lies in the upper half of the square."""
    for disc, fovea in BOTH:
        found = Alignment.of(regions(disc, fovea), 100)
        middle = (np.array(disc) + fovea) / 2
        above, below = found.to_square(middle + np.array([[0, -40], [0, 40]]))
        assert above[1] < 49.5 < below[1]


@pytest.mark.parametrize(("disc", "fovea"), BOTH)
def test_a_spot_is_found_where_its_point_goes(disc, fovea):
    image = np.zeros((*SHAPE, 3), np.uint8)
    image[138:143, 118:123] = 255
    eye = regions(disc, fovea)
    square = align_eye(image, eye, 160)
    rows, columns = np.nonzero(square[..., 0] > 127)
    expected = Alignment.of(eye, 160).to_square(np.array([[120.0, 140.0]]))[0]
    np.testing.assert_allclose([columns.mean(), rows.mean()], expected, atol=0.6)
    assert square.shape == (160, 160, 3)
    assert square.dtype == np.uint8


def test_a_fellow_eye_lands_on_the_same_pixels():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (*SHAPE, 3), np.uint8)
    wide = SHAPE[1] - 1
    right = regions()
    left = regions((wide - 190.0, 90.0), (wide - 80.0, 110.0))
    one = align_eye(image, right, 90).astype(int)
    other = align_eye(np.ascontiguousarray(image[:, ::-1]), left, 90).astype(int)
    assert np.abs(one - other).max() <= 8
    assert np.abs(one - other).mean() < 0.5


def test_a_map_of_the_square_goes_back_over_the_photograph():
    """Inside what the square shows, there and back again is the same map but for a little blur."""
    down, across = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    smooth = np.sin(across / 25) + np.cos(down / 30)
    found = Alignment.of(regions(), 300)
    back = found.restore(found.apply(smooth))
    corners = np.stack([across.ravel(), down.ravel()], axis=1)
    inside = ((found.to_square(corners) > 4) & (found.to_square(corners) < 295)).all(axis=1)
    inside = inside.reshape(SHAPE) & (across > 4) & (across < 255) & (down > 4) & (down < 195)
    np.testing.assert_allclose(back[inside], smooth[inside], atol=0.05)
    assert back.dtype == np.float32
    mask = smooth > 0
    again = found.restore(found.apply(mask))
    assert again.dtype == np.bool_
    assert (again[inside] == mask[inside]).mean() > 0.98
    names = np.zeros(SHAPE, np.uint8)
    names[50:120, 60:150] = 200
    assert set(np.unique(found.apply(names, nearest=True))) == {0, 200}


def test_what_cannot_be_aligned_is_refused():
    with pytest.raises(InputError, match="regions: no disc, so the eye cannot be aligned"):
        Alignment.of(regions(disc=None), 64)
    with pytest.raises(InputError, match="regions: no fovea"):
        Alignment.of(regions(fovea=None), 64)
    with pytest.raises(InputError, match="the disc lies above the fovea"):
        Alignment.of(regions((100.0, 40.0), (100.5, 120.0)), 64)
    with pytest.raises(InputError, match="size=0: must be at least 1"):
        Alignment.of(regions(), 0)
    found = Alignment.of(regions(), 64)
    with pytest.raises(InputError, match=r"image: shape \(9, 9\), the regions are of"):
        found.apply(np.zeros((9, 9), np.uint8))
    with pytest.raises(InputError, match=r"square: shape \(9, 9\), must be \(64, 64\)"):
        found.restore(np.zeros((9, 9), np.uint8))
