"""Gini and effective area against their definitions and closed forms."""

import numpy as np
import pytest
import torch

from fundus_ml.faithfulness.sparseness import effective_area, gini
from tests.fundus_ml.faithfulness.tiny_maps import COUNT, HEIGHT, WIDTH, make_maps

PIXELS = HEIGHT * WIDTH


def test_gini_is_the_mean_absolute_difference():
    maps = make_maps()
    values = maps.abs().flatten(1).double().numpy()
    wanted = [np.abs(each[:, None] - each[None]).mean() / (2 * each.mean()) for each in values]
    assert gini(maps).numpy() == pytest.approx(wanted, rel=1e-6)
    assert gini(-7 * maps).numpy() == pytest.approx(wanted, rel=1e-6)


def test_maps_that_are_constant_on_some_pixels():
    maps = torch.zeros(COUNT, HEIGHT, WIDTH)
    counts = [1, 4, 100, PIXELS]
    for place, count in enumerate(counts):
        maps[place].view(-1)[torch.randperm(PIXELS)[:count]] = (-1.0) ** place * 3
    shares = np.array(counts) / PIXELS
    assert effective_area(maps)[:4].numpy() == pytest.approx(shares)
    assert gini(maps)[:4].numpy() == pytest.approx(1 - shares)
    assert gini(maps)[4].isnan()
    assert effective_area(maps)[4].isnan()


def test_effective_area_follows_its_definition():
    values = make_maps().abs().flatten(1).double().numpy()
    wanted = [each.sum() ** 2 / (PIXELS * (each**2).sum()) for each in values]
    assert effective_area(make_maps()).numpy() == pytest.approx(wanted)
