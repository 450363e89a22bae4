"""The embedded release: the rows of a population, and eyes painted as they are loaded."""

import hashlib
import pickle

import numpy as np
import pandas as pd
import pytest

from fundus_ml.data.photographs import OFFERED_COLUMNS
from fundus_ml.sources.synthetic import synthetic_photographs
from fundus_ml.synthesis.options import CUES, Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population


@pytest.mark.parametrize("cue", CUES)
def test_the_release_offers_the_population(cue):
    """Its rows are the population's, it refuses none, and it says it is synthetic."""
    population = Population(patients=5, cue=cue, seed=2)
    release = synthetic_photographs(population)
    pd.testing.assert_frame_equal(release.table, draw_population(population))
    assert set(OFFERED_COLUMNS) <= set(release.table)
    assert release.name == "synthetic"
    assert release.table["source"].eq("synthetic").all()
    assert release.table["image_id"].str.match(r"^synthetic/\d{5}_(left|right)$").all()
    assert release.rejected.empty
    assert list(release.rejected) == ["image_id", "reason", "detail"]


def test_photographs_load_in_any_worker():
    """``load`` survives pickling and paints a row into a frame and its regions, never reduced."""
    release = synthetic_photographs(Population(patients=1))
    row = release.table.to_dict("records")[0]
    load = pickle.loads(pickle.dumps(release.load))  # noqa: S301 (ours)
    photograph, expected = load(row, 8), paint_photograph(row)
    np.testing.assert_array_equal(photograph.image, expected.image)
    np.testing.assert_array_equal(photograph.regions, expected.regions)
    assert (photograph.height, photograph.width) == expected.image.shape[:2]
    assert photograph.sha256 == hashlib.sha256(expected.image.tobytes()).hexdigest()
