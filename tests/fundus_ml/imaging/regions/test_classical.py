"""Brightness, vessels and darkness find an eye's disc and fovea without having learned anything."""

import numpy as np

from fundus_ml.imaging.field_of_view import find_field_of_view
from fundus_ml.imaging.regions.classical import look_without_learning
from fundus_ml.imaging.regions.squares import Square
from tests.fundus_ml.imaging.regions.eyes import painted


def seen():
    """Each painted eye's square, what is seen on it, and where disc and fovea lie there."""
    for image, truth in painted():
        square = Square.around(image, find_field_of_view(image), size=256)
        disc, fovea = square.ellipse_in(truth.disc), square.point_in(truth.fovea)
        yield square.pixels, look_without_learning(square.pixels), disc, fovea


def test_disc_and_fovea_are_found():
    for _, found, disc, fovea in seen():
        assert np.hypot(found.x - disc.x, found.y - disc.y) < 0.5 * disc.diameter
        assert np.hypot(found.fovea_x - fovea.x, found.fovea_y - fovea.y) < 0.6 * disc.diameter
        assert found.support(disc.x, disc.y) > 0.7


def test_the_fovea_supports_no_disc():
    for _, found, _, fovea in seen():
        assert found.support(fovea.x, fovea.y) < 0.3


def test_vessels_lean_towards_the_fovea():
    for _, found, disc, fovea in seen():
        assert np.sign(found.leaning) == np.sign(fovea.x - disc.x)


def test_the_mirror_image_is_seen_mirrored():
    for pixels, found, disc, _ in seen():
        mirrored = look_without_learning(np.ascontiguousarray(pixels[:, ::-1]))
        assert abs(255 - mirrored.x - found.x) < 0.25 * disc.diameter
        assert abs(mirrored.leaning + found.leaning) < 0.2


def test_black_and_even_pictures_are_taken():
    """Nothing divides by zero."""
    for level in (0, 90, 255):
        found = look_without_learning(np.full((256, 256, 3), level, np.uint8))
        assert np.isfinite([found.x, found.y, found.fovea_x, found.fovea_y, found.darkness]).all()
