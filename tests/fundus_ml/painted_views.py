"""Painted eyes as the search for one person sees them: views, and altered photographs of them."""

import cv2
import numpy as np

from fundus_ml.imaging.field_of_view import crop_to_field_of_view, find_field_of_view
from fundus_ml.imaging.keypoints import VIEW_SIZE
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population


def paint_photographs(patients, *, seed):
    """Rows of the population, and the frame of each."""
    table = draw_population(Population(patients=patients, seed=seed))
    return table, [paint_photograph(row).image for row in table.to_dict("records")]


def view_of(photograph):
    field = find_field_of_view(photograph)
    return crop_to_field_of_view(photograph, field, size=VIEW_SIZE, surround="black")


def altered(photograph, *, degrees, scale, shift=(0, 0), gain=1.0, quality=70):
    """Turn (clockwise), scale and shift (pixels) a photograph about its middle, light and store."""
    height, width = photograph.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, scale)
    turn[:, 2] += shift
    moved = cv2.warpAffine(photograph, turn, (width, height), flags=cv2.INTER_LINEAR)
    lit = np.clip(moved * gain, 0, 255).astype(np.uint8)
    _, content = cv2.imencode(".jpg", lit, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(content, cv2.IMREAD_COLOR)
