"""Folders of marked photographs, painted: a few of each part."""

import csv
from functools import cache
from itertools import count
from pathlib import Path

from fundus_ml.imaging.pictures import write_png
from fundus_ml.region_training.gathering import painted_examples
from fundus_ml.region_training.marks import BOX, FOVEA, PARTS, MarkedEye
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from fundus_ml.synthesis.truth import true_regions

COLUMNS = ("image", *BOX, *FOVEA, "source")


@cache
def few_examples():
    """The squares of three painted patients."""
    return painted_examples(3, seed=5)


def write_table(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "anatomy.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def named_for(part, place):
    """A file name that falls into a part."""
    names = (f"{place:03d}-{salt}.png" for salt in count())
    return next(name for name in names if MarkedEye(Path(name), None, None, "").part == part)


def marked_folder(folder, *, patients=4):
    """Write painted photographs and their marks; returns the rows and the true regions."""
    rows, truths = [], []
    eyes = draw_population(Population(patients=patients, seed=21)).to_dict("records")
    for place, eye in enumerate(eyes):
        photograph, truth = paint_photograph(eye), true_regions(eye)
        height, width = truth.shape
        name = named_for(list(PARTS)[place % len(PARTS)], place)
        write_png(photograph.image, folder / "images" / name)
        rows.append(
            {
                "image": name,
                "disc_cx": (truth.disc.x + 0.5) / width,
                "disc_cy": (truth.disc.y + 0.5) / height,
                "disc_w": truth.disc.horizontal / width,
                "disc_h": truth.disc.vertical / height,
                "fovea_cx": (truth.fovea.x + 0.5) / width,
                "fovea_cy": (truth.fovea.y + 0.5) / height,
                "source": "painted",
            }
        )
        truths.append(truth)
    write_table(folder, rows)
    return rows, truths
