"""The optic disc: nothing outside its region, a cup that grows, rims that pale."""

from dataclasses import replace

import numpy as np
import pytest

from fundus_ml.imaging.regions.maps import DISC_MARGIN
from fundus_ml.synthesis.optic_disc import disc_distance, paint_disc

GROUND = np.float32([0.66, 0.25, 0.11])


def painted_disc(eye, grid):
    """Return a disc on an even ground, and each pixel's distance from its centre."""
    ground = np.broadcast_to(GROUND, (*grid[0].shape, 3))
    return paint_disc(ground, eye, *grid), disc_distance(eye, *grid)


def test_distance_is_one_on_the_ellipse(make_eye):
    """The border has the radius across and the radius times the aspect down."""
    eye = make_eye(disc_radius=0.14, disc_aspect=1.1)
    turn = np.linspace(0, 2 * np.pi, 50)
    x, y = eye.disc_x + 0.14 * np.cos(turn), eye.disc_y + 0.154 * np.sin(turn)
    on_border = disc_distance(eye, x[None].astype(np.float32), y[None].astype(np.float32))
    np.testing.assert_allclose(on_border, 1, rtol=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_the_ground_outside_the_region_stays(make_eye, grid, seed):
    """The largest, palest disc changes nothing beyond its margin, and everything inside."""
    eye = make_eye(paint_seed=seed, disc_radius=0.1725, cup_disc_ratio=0.8, rim_pallor=0.75)
    picture, distance = painted_disc(eye, grid)
    outside = distance > 1 + DISC_MARGIN
    assert (picture[outside] == GROUND).all()
    assert (picture[distance < 0.9] > GROUND + 0.02).all()


def test_a_larger_cup_is_more_of_the_pale(make_eye, grid):
    """The area as pale as the cup's middle grows as the square of the cup-to-disc ratio."""

    def pale_share(ratio):
        picture, distance = painted_disc(make_eye(cup_disc_ratio=ratio, rim_pallor=0.1), grid)
        disc = picture[distance < 0.95][:, 1]
        return (disc > (disc.min() + disc.max()) / 2).mean()

    shares = np.array([pale_share(ratio) for ratio in (0.3, 0.45, 0.6)])
    np.testing.assert_allclose(np.sqrt(shares / shares[0]), [1, 1.5, 2], rtol=0.12)


def test_a_paler_rim_is_brighter_and_less_red(make_eye, grid):
    """Pallor raises green over red in the rim and leaves the middle of the cup alone."""
    pictures = [painted_disc(make_eye(rim_pallor=pallor), grid) for pallor in (0.1, 0.3, 0.6)]
    distance = pictures[0][1]
    rims = [picture[(distance > 0.7) & (distance < 0.85)].mean(axis=0) for picture, _ in pictures]
    assert rims[0][1] < rims[1][1] < rims[2][1]
    ratios = [rim[1] / rim[0] for rim in rims]
    assert ratios == sorted(ratios)
    middles = [picture[distance < 0.15] for picture, _ in pictures]
    np.testing.assert_allclose(middles[2], middles[0], rtol=1e-6)


def test_the_temporal_rim_is_paler(make_eye, grid):
    """In a right eye that is the left rim; a left eye is the mirror of a right one."""
    right = make_eye(disc_x=0.0)
    left = replace(right, eye="left")
    picture, distance = painted_disc(right, grid)
    mirrored, _ = painted_disc(left, grid)
    np.testing.assert_allclose(mirrored[:, ::-1], picture, atol=2e-3)
    rim = (distance > 0.7) & (distance < 0.9)
    light = picture.mean(axis=2)
    x = grid[0]
    assert light[rim & (x < 0)].mean() > 1.02 * light[rim & (x > 0)].mean()
