"""Painted eyes with their regions, and pictures that show no eye."""

from functools import cache

import numpy as np
from sklearn.datasets import load_sample_image

from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from fundus_ml.synthesis.truth import true_regions


@cache
def painted(count=6, seed=4711):
    """Frames of several cameras, both sides among them, and where their parts lie."""
    rows = draw_population(Population(patients=count, seed=seed)).to_dict("records")[:count]
    return [(paint_photograph(row).image, true_regions(row)) for row in rows]


def blackened(image, x, y, radius, *, outside=False):
    """The picture black within a circle, or outside it."""
    down, across = np.mgrid[: image.shape[0], : image.shape[1]]
    inside = np.hypot(across - x, down - y) <= radius
    return np.where((inside ^ outside)[..., None], 0, image).astype(np.uint8)


def no_eyes():
    """Name to picture."""
    noise = np.random.default_rng(3)
    landscape = np.asarray(load_sample_image("china.jpg"))
    height, width = landscape.shape[:2]
    round_one = blackened(landscape, width / 2, height / 2, height / 2 - 4, outside=True)
    grey = np.full((300, 300, 3), 120, np.uint8)
    return {
        "black": np.zeros((300, 400, 3), np.uint8),
        "noise": noise.integers(0, 256, (300, 400, 3), dtype=np.uint8),
        "landscape": landscape,
        "round landscape": round_one,
        "round noise": blackened(
            noise.integers(0, 256, (300, 300, 3), dtype=np.uint8), 150, 150, 140, outside=True
        ),
        "evenly lit circle": blackened(grey, 150, 150, 140, outside=True),
    }
