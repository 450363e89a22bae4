"""Painted eyes as if their vessels had been marked by hand."""

import numpy as np

from fundus_ml.imaging.opencv import cv2
from fundus_ml.region_training.vessel_marks import TracedEye
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from fundus_ml.synthesis.truth import true_regions


def paint_marked(people: int, *, seed: int) -> list[TracedEye]:
    """Paint eyes whose vessels are known.

    Args:
        people: Number of people, one or two eyes each.
        seed: Seed of the population.

    Returns:
        Its eyes; vessels too thin for an observer to mark do not count.
    """
    table = draw_population(Population(patients=people, seed=seed))
    eyes = []
    for row in table.to_dict("records"):
        told = {str(name): value for name, value in row.items()}
        regions = true_regions(told)
        assert regions.vessels is not None
        vessels = regions.vessels.mask
        marks = vessels.astype(np.uint8)
        wide = cv2.morphologyEx(marks, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
        thin = vessels & (cv2.dilate(wide, np.ones((3, 3), np.uint8)) == 0)
        around = cv2.dilate(thin.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        eyes.append(
            TracedEye(
                image_id=str(told["image_id"]),
                person=str(told["patient_id"]),
                image=paint_photograph(told).image,
                field=regions.field,
                vessels=vessels,
                counted=regions.retina & ~around,
            )
        )
    return eyes
