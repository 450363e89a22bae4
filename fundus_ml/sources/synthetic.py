"""The embedded release: invented eyes, painted when they are loaded."""

import hashlib

import pandas as pd

from fundus_ml.data.photographs import Photographs
from fundus_ml.imaging.photographs import Photograph
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from fundus_ml.synthesis.truth import true_landmarks


def synthetic_photographs(population: Population) -> Photographs:
    """Offer the eyes of an invented population.

    Args:
        population: Whom to draw, and how their sexes differ.

    Returns:
        A release named ``synthetic`` that refuses no eye; its photographs carry region maps.
    """
    return Photographs(
        name="synthetic",
        table=draw_population(population),
        rejected=pd.DataFrame(columns=["image_id", "reason", "detail"], dtype=str),
        load=_painted,
    )


def _painted(row: dict[str, object], _least_side: int) -> Photograph:
    image, regions = paint_photograph(row)
    height, width = image.shape[:2]
    return Photograph(
        image,
        regions,
        width,
        height,
        sha256=hashlib.sha256(image.data).hexdigest(),
        parts=true_landmarks(row),
    )
