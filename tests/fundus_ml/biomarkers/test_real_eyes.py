"""Real photographs with marks of people: what textbooks say of eyes comes out."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundus_ml.biomarkers import measure_biomarkers
from fundus_ml.imaging.field_of_view import find_field_of_view
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, Regions, Vessels


@pytest.fixture
def anatomy():
    """Folder of marked photographs."""
    if "FUNDUS_REAL_DATA" not in os.environ:
        pytest.skip("FUNDUS_REAL_DATA names no folder of real photographs")
    return Path(os.environ["FUNDUS_REAL_DATA"]) / "anatomy"


def measured(image, **parts):
    field = find_field_of_view(image)
    down, across = np.mgrid[: image.shape[0], : image.shape[1]]
    retina = np.hypot((across - field.x) / field.aspect, down - field.y) <= field.radius
    regions = Regions(shape=image.shape[:2], field=field, retina=retina, **parts)
    return dict(measure_biomarkers(image, regions).values)


@pytest.mark.real_data
def test_marked_discs_and_foveae(anatomy):
    """Disc to fovea about 2.5 disc diameters and 7 degrees down; discs a little higher than wide;
    most foveae darker than the retina around them."""
    marks = pd.read_csv(anatomy / "codras" / "anatomy.csv").dropna().head(16)
    rows = []
    for mark in marks.to_dict("records"):
        with Image.open(anatomy / "codras" / "images" / mark["image"]) as opened:
            image = np.array(opened.convert("RGB"))
        height, width = image.shape[:2]
        disc = Ellipse(
            x=mark["disc_cx"] * width - 0.5, y=mark["disc_cy"] * height - 0.5,
            width=mark["disc_w"] * width, height=mark["disc_h"] * height,
        )  # fmt: skip
        fovea = Landmark(x=mark["fovea_cx"] * width - 0.5, y=mark["fovea_cy"] * height - 0.5)
        rows.append(measured(image, disc=disc, fovea=fovea))
    middle = pd.DataFrame(rows).median()
    assert 2.3 < middle["disc_fovea_distance"] < 2.8
    assert 3 < middle["disc_fovea_angle"] < 11
    assert 0.8 < middle["disc_ovality"] < 1
    assert 0.8 < middle["disc_area"] < 1.5
    assert middle["foveal_darkness"] > 0.2


@pytest.mark.real_data
def test_drawn_vessels(anatomy):
    """Vessels cover an eighth of a healthy retina, their centre lines have dimension 1.4 to 1.7."""
    rows = []
    for path in sorted((anatomy / "drive" / "1st_manual").glob("*.gif"))[:6]:
        (picture,) = (anatomy / "drive" / "images").glob(f"{path.stem.split('_')[0]}_*")
        with Image.open(picture) as opened, Image.open(path) as drawn:
            image, mask = np.array(opened.convert("RGB")), np.array(drawn.convert("L")) > 127
        none = np.zeros_like(mask)
        rows.append(measured(image, vessels=Vessels(mask=mask, arteries=none, veins=none)))
    middle = pd.DataFrame(rows).median()
    assert 0.09 < middle["vessel_density"] < 0.17
    assert 1.4 < middle["fractal_dimension"] < 1.7
    assert 0.005 < middle["tortuosity"] < 0.05
    assert np.isnan(middle["crae"])
