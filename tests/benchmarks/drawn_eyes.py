"""Drawn eyes in memory whose disc, macula and vessels are known, as a dataset with regions."""

import numpy as np

from benchmarks.edited_eyes import EditedEyes
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.imaging.regions.structures import Ellipse, Landmark
from fundus_ml.synthesis.edits import EditedParts
from tests.fundus_ml.tiny_learning import make_dataset

SIDE = 40
DISC = Ellipse(x=29, y=19, width=8, height=8)


def region_map():
    """``(SIDE, SIDE)``: a disc on the right, the macula left of the middle, one vessel."""
    down, across = np.mgrid[:SIDE, :SIDE]
    flags = REGION_FLAGS["retina"] * (np.hypot(down - 19.5, across - 19.5) <= 19)
    flags |= REGION_FLAGS["disc"] * (np.hypot(down - 19, across - 29) <= 4)
    flags |= REGION_FLAGS["macula"] * (np.hypot(down - 20, across - 15) <= 4)
    flags |= REGION_FLAGS["vessels"] * ((np.abs(down - 10) <= 1) & (np.abs(across - 20) <= 12))
    return flags.astype(np.uint8)


def parts():
    flags = region_map()
    return EditedParts(
        retina=flags & REGION_FLAGS["retina"] > 0,
        disc=DISC,
        fovea=Landmark(x=15, y=20),
        vessels=flags & REGION_FLAGS["vessels"] > 0,
    )


class DrawnEyes(EditedEyes):
    """Eyes of a dataset that look and are mapped alike."""

    size = SIDE

    def regions(self, indices):
        return np.repeat(region_map()[None], len(self._positions(indices)), axis=0)


def dataset(folder, *, people, seed=0):
    eyes = make_dataset(folder, people=people)
    eyes.__dict__["size"] = SIDE
    noise = np.random.default_rng(seed).normal(0, 6, (len(eyes), 1, 1, 3))
    pixels = np.full((len(eyes), SIDE, SIDE, 3), (170, 90, 50)) + noise
    pixels[:, region_map() == 0] = 0
    return DrawnEyes(eyes, pixels.clip(0, 255).round().astype(np.uint8))
