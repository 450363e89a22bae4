"""Photographs of one's own with a table, whose people say whether they smoke."""

import pandas as pd

from fundus_ml.imaging.pictures import write_png
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population


def write_photographs(folder, *, people):
    """Paint the eyes of so many people and write ``labels.csv`` beside them."""
    rows = []
    drawn = draw_population(Population(patients=people, seed=4)).to_dict("records")
    for place, row in enumerate(drawn):
        write_png(paint_photograph(row).image, folder / f"{place}.png")
        smokes = ("no", "yes", "no", "yes", "")[hash_of(row["patient_id"]) % 5]
        rows.append((f"{place}.png", row["patient_id"], row["sex"], row["eye"], smokes))
    columns = ["file", "patient_id", "sex", "eye", "smoker"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "labels.csv", index=False)


def hash_of(text):
    return sum(map(ord, text))
