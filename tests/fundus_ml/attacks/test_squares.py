"""Where squares lie, and their bumps against the paper's formula pixel by pixel."""

import numpy as np
import pytest
import torch

from fundus_ml.attacks import ThreatModel
from fundus_ml.attacks.squares import Region, inside, two_bumps
from tests.fundus_ml.tiny_learning import make_images


def slow_bump(height, width):
    """Equation 2 of arXiv:1912.00049, for a rectangle, counting from 1."""
    half = height // 2
    values = np.zeros((height, width))
    for row in range(1, height + 1):
        for column in range(1, width + 1):
            ring = max(abs(row - half - 1), abs(column - width // 2 - 1))
            values[row - 1, column - 1] = sum(
                1 / (half + 1 - k) ** 2 for k in range(half - ring + 1)
            )
    return values


@pytest.mark.parametrize("side", [1, 2, 3, 6, 7])
def test_two_bumps_are_those_of_the_paper(side):
    """A hill on the left half, a hollow on the right half, and the same with both rotated."""
    wanted = np.hstack([slow_bump(side, side // 2), -slow_bump(side, side - side // 2)])
    down, right = torch.arange(side).view(1, -1, 1), torch.arange(side).view(1, 1, -1)
    sides = torch.tensor(side).view(1, 1, 1)
    upright, rotated = two_bumps(down, right, sides)[0], two_bumps(right, down, sides)[0]
    np.testing.assert_allclose(upright, wanted, rtol=1e-6)
    np.testing.assert_allclose(rotated, wanted.T, rtol=1e-6)


def test_squares_reach_every_side_of_their_region():
    """The lowest draws give the first rows and columns, the highest the last, of each mask."""
    images, mask = make_images(count=2, height=9, width=11), torch.zeros(2, 1, 9, 11)
    mask[0, 0, 2:7, 3:10] = 1
    mask[1, 0, 8, 10] = 1
    region = Region.of_mask(ThreatModel(constraint="l2", eps=1, mask=mask), images)
    assert region.pixels.flatten().tolist() == [35, 1]
    side = region.side(4 / 35)
    assert side.flatten().tolist() == [2, 1]
    for draw, corner in ((0.0, (2, 3)), (1 - 2**-24, (5, 8))):
        found = inside(*region.square(images, side, torch.full((2, 2), draw)), side)
        wanted = torch.zeros(2, 9, 11, dtype=torch.bool)
        wanted[0, corner[0] : corner[0] + 2, corner[1] : corner[1] + 2] = True
        wanted[1, 8, 10] = True
        assert torch.equal(found, wanted)


def test_a_square_is_no_larger_than_its_region():
    """The longer side of a narrow mask does not make squares that leave it."""
    mask = torch.zeros(9, 11)
    mask[4:6] = 1
    images = make_images(count=3, height=9, width=11)
    region = Region.of_mask(ThreatModel(constraint="linf", eps=1, mask=mask), images)
    assert region.side(1.0).flatten().tolist() == [2, 2, 2]


def test_a_mask_that_allows_nothing_is_no_trouble():
    """Squares fall anywhere: the mask takes them back."""
    images = make_images(count=2)
    threat = ThreatModel(constraint="linf", eps=1, mask=torch.zeros(6, 7))
    region = Region.of_mask(threat, images)
    assert region.height.flatten().tolist() == [6, 6]
    assert region.width.flatten().tolist() == [7, 7]
