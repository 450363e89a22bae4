"""Flat grey eyes with disc and fovea anywhere: pixels, rows of a manifest, region maps."""

import numpy as np
import pandas as pd

from fundus_ml.imaging.field import FieldOfView
from fundus_ml.imaging.regions import Ellipse, Landmark, Regions, region_columns, region_map

SIZE = 60
GREY = 120


def retina(size=SIZE):
    down, across = np.mgrid[:size, :size] - (size - 1) / 2
    return np.hypot(down, across) <= size / 2


def eye(disc, fovea, *, diameter=9.0, size=SIZE):
    """Regions of one eye; None leaves a part unknown."""
    middle = (size - 1) / 2
    return Regions(
        shape=(size, size),
        field=FieldOfView(middle, middle, size / 2),
        retina=retina(size),
        disc=disc and Ellipse(x=disc[0], y=disc[1], width=diameter, height=diameter),
        fovea=fovea and Landmark(x=fovea[0], y=fovea[1]),
        doubts=() if disc and fovea else (("disc", "not drawn"),),
    )


def eyes(people, *, seed=0, each=1):
    """Left and right eyes, discs 20 to 24 pixels from the fovea, rotated by up to 12 degrees."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(people * each):
        side = 1 if number % 2 else -1
        length, turn = generator.uniform(20, 24), generator.uniform(-0.2, 0.2)
        fovea = 29.5 - side * 8 + generator.uniform(-4, 4), 29.5 + generator.uniform(-4, 4)
        disc = fovea[0] + side * length * np.cos(turn), fovea[1] + length * np.sin(turn)
        found.append(eye(disc, fovea))
    rows = pd.DataFrame([region_columns(one) for one in found])
    rows["person_group"] = np.repeat(np.arange(people), each)
    maps = np.stack([region_map(one) for one in found])
    pixels = np.where(retina()[..., None], np.full(3, GREY), 0).astype(np.uint8)
    return np.repeat(pixels[None], len(found), axis=0), rows, maps


def brighter(pixels, rows, maps, levels, *, radius=4.0, channels=(0, 1, 2)):
    """Each eye brighter by its own grey levels around its disc, noise elsewhere."""
    generator = np.random.default_rng(7)
    made = pixels.astype(float) + generator.normal(0, 4, pixels.shape)
    down, across = np.mgrid[: pixels.shape[1], : pixels.shape[2]]
    for number, level in enumerate(levels):
        x, y = rows["region_disc_x"][number], rows["region_disc_y"][number]
        blob = np.hypot(across - x, down - y) <= radius
        for channel in channels:
            made[number, blob, channel] += level
    made = np.where((maps & 1 > 0)[..., None], made, pixels)
    return np.clip(np.rint(made), 0, 255).astype(np.uint8)
