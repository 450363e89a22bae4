"""Small photographs of one's own with a table, whose people say whether they smoke."""

import cv2
import numpy as np
import pandas as pd

from fundus_ml.imaging.pictures import write_png
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.population import draw_population
from tests.fundus_ml.tiny_eyes import draw_field

HEIGHT, WIDTH, RADIUS = 120, 150, 55


def write_photographs(folder, *, people):
    """Draw the eyes of so many people and write ``labels.csv`` beside them."""
    rows = []
    drawn = draw_population(Population(patients=people, seed=4)).to_dict("records")
    for place, row in enumerate(drawn):
        write_png(draw_photograph(np.random.default_rng(place)), folder / f"{place}.png")
        smokes = ("no", "yes", "no", "yes", "")[hash_of(row["patient_id"]) % 5]
        rows.append((f"{place}.png", row["patient_id"], row["sex"], row["eye"], smokes))
    columns = ["file", "patient_id", "sex", "eye", "smoker"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "labels.csv", index=False)


def draw_photograph(rng):
    """A lit field with branches of its own, so sharp that no eye is left out."""
    middle = np.array([WIDTH, HEIGHT]) / 2 + rng.uniform(-3, 3, 2)
    x, y = middle
    image = draw_field(HEIGHT, WIDTH, x=x, y=y, radius=RADIUS, colour=(190, 110, 55))
    branches = np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(12):
        ends = rng.uniform(-RADIUS, RADIUS, (6, 2)).cumsum(axis=0) / 2 + middle
        cv2.polylines(branches, [ends.astype(np.int32)], isClosed=False, color=1, thickness=2)
    image[branches > 0] //= 2
    return image


def hash_of(text):
    return sum(map(ord, text))
