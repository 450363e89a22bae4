"""Painted eyes as square photographs whose parts are known exactly."""

import cv2
import numpy as np

from fundus_ml.synthesis.edits.parts import EditedParts
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from fundus_ml.synthesis.truth import true_regions


def square(row, *, size):
    """One eye, scaled so that its field of view fills the square."""
    found, image = true_regions(row), paint_photograph(row).image
    side = 2 * found.field.radius
    left, top = found.field.x + 0.5 - side / 2, found.field.y + 0.5 - side / 2
    factor = size / side
    place = np.array([[factor, 0, -left * factor], [0, factor, -top * factor]])
    # OpenCV counts from pixel centres, the regions from pixel edges.
    place[:, 2] += 0.5 * factor - 0.5

    def cut(plane, how):
        larger = cv2.warpAffine(
            plane, place * 2 + [[0, 0, 0.5], [0, 0, 0.5]], (2 * size, 2 * size), flags=how
        )
        return cv2.resize(larger, (size, size), interpolation=cv2.INTER_AREA)

    masks = [
        cut(mask.astype(np.float32), cv2.INTER_LINEAR) > 0.5
        for mask in (found.retina, found.vessels.mask)
    ]
    disc, cup, fovea = (
        part.scaled(factor, left=left, top=top) for part in (found.disc, found.cup, found.fovea)
    )
    parts = EditedParts(retina=masks[0], disc=disc, cup=cup, fovea=fovea, vessels=masks[1])
    return cut(image, cv2.INTER_LINEAR), parts


def eyes(patients, *, size, seed=0):
    """Pixels ``(N, S, S, 3)``, parts and people of one eye a patient."""
    table = draw_population(Population(patients=patients, seed=seed, cue="none"))
    table = table.drop_duplicates("patient_id")
    made = [square(row, size=size) for row in table.to_dict("records")]
    pixels, parts = zip(*made, strict=True)
    return np.stack(pixels), list(parts), table["patient_id"].to_numpy()
