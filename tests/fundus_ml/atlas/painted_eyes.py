"""Painted eyes as squares of a dataset folder: pixels, manifest rows and region maps, all true."""

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd

from fundus_ml.imaging.field import FieldOfView
from fundus_ml.imaging.regions import region_columns, region_map
from fundus_ml.synthesis import Population, draw_population, paint_photograph, true_regions


def squares(patients, *, size, seed=0):
    """Pixels ``(N, S, S, 3)``, rows and maps of one eye a patient."""
    table = draw_population(Population(patients=patients, seed=seed, cue="none"))
    table = table.drop_duplicates("patient_id").reset_index(drop=True)
    made = [_square(row, size) for row in table.to_dict("records")]
    pixels, found = zip(*made, strict=True)
    rows = pd.DataFrame([region_columns(each) for each in found])
    rows["person_group"] = table["patient_id"]
    rows["label"] = np.arange(len(rows)) % 2
    rows["age"] = 50.0
    return np.stack(pixels), rows, np.stack([region_map(each) for each in found])


def _square(row, size):
    found, image = true_regions(row), paint_photograph(row).image
    side = 2 * found.field.radius
    left, top = found.field.x + 0.5 - side / 2, found.field.y + 0.5 - side / 2
    factor = size / side

    def cut(plane):
        frame = np.array([[1.0, 0, -round(left)], [0, 1.0, -round(top)]])
        whole = cv2.warpAffine(plane, frame, (round(side), round(side)))
        return cv2.resize(whole, (size, size), interpolation=cv2.INTER_AREA)

    def mask(plane):
        return cut(plane.astype(np.float32)) > 0.5

    moved = {
        part: getattr(found, part).scaled(factor, left=left, top=top)
        for part in ("disc", "cup", "fovea")
    }
    vessels = replace(
        found.vessels,
        **{name: mask(getattr(found.vessels, name)) for name in ("mask", "arteries", "veins")},
    )
    middle = (size - 1) / 2
    regions = replace(
        found,
        shape=(size, size),
        field=FieldOfView(middle, middle, size / 2),
        retina=mask(found.retina),
        vessels=vessels,
        **moved,
    )
    return cut(image), regions
