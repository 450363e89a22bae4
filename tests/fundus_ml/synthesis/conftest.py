"""One plain eye to change a part of, and a few patients painted under every cue."""

import numpy as np
import pytest

from fundus_ml.imaging.field_of_view import crop_to_field_of_view, find_field_of_view
from fundus_ml.synthesis.anatomy import Eye
from fundus_ml.synthesis.options import CUES, Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population

PLAIN = {
    "eye": "right",
    "camera": "Aurora 45",
    "age": 50.0,
    "paint_seed": 7,
    "disc_x": 0.45,
    "disc_y": -0.04,
    "fovea_x": -0.30,
    "fovea_y": 0.03,
    "disc_radius": 0.15,
    "disc_aspect": 1.08,
    "cup_disc_ratio": 0.45,
    "rim_pallor": 0.28,
    "vessel_calibre": 1.0,
    "vessel_density": 0.62,
    "vessel_tortuosity": 0.16,
    "macula_darkness": 0.34,
    "macula_extent": 0.68,
    "pigmentation": 0.5,
    "tessellation": 0.35,
    "sheen": 0.45,
    "haze": 0.2,
    "exposure": 1.1,
    "warmth": 0.0,
}


@pytest.fixture(scope="session")
def make_row():
    """Return a plain right eye's row, with the columns named changed."""
    return lambda **changes: PLAIN | changes


@pytest.fixture(scope="session")
def make_eye(make_row):
    """Return a plain right eye, with the traits named changed."""
    return lambda **changes: Eye.from_row(make_row(**changes))


@pytest.fixture(scope="session")
def grid():
    """Retina units of a square that holds the field of view: x to the right, y down."""
    x, y = np.meshgrid(np.linspace(-1.02, 1.02, 205), np.linspace(-1.01, 1.01, 203))
    return x.astype(np.float32), y.astype(np.float32)


@pytest.fixture(scope="session")
def painted():
    """Per cue the table of the same 12 patients, their photographs, and both at 64 pixels."""
    found = {}
    for cue in CUES:
        table = draw_population(Population(patients=12, cue=cue, seed=5))
        photographs = [paint_photograph(row) for row in table.to_dict("records")]
        images, regions = [], []
        for image, flags in photographs:
            field = find_field_of_view(image)
            images.append(crop_to_field_of_view(image, field, size=64))
            regions.append(crop_to_field_of_view(flags, field, size=64, interpolation="nearest"))
        found[cue] = (table, photographs, np.stack(images), np.stack(regions))
    return found
