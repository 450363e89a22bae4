"""How dense a modulation's change is at the disc's mean place and at the macula's, against shams.

    python -m benchmarks.mean_change --runs robust=RUN_ID clean=RUN_ID --csv mean_change.csv

For photographs without region maps: eyes are mirrored to right ones, and the disc's place is where
they are brightest against their surroundings, in the median, on the nasal side: no network is
asked. The macula's is 2.5 disc diameters temporal of it. The shams have the disc's size: its place
mirrored to the other side, and its height shifted up and down by two diameters. One row per run,
target and place: mean density (1 = spread evenly over the picture) with a 95 % interval over
people, one eye each.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.figures.mean_changes import mean_changes
from fundus_ml.modulation import read_strongest
from fundus_ml.statistics.clustered import clustered_mean
from tracking.stores import fetch

RADIUS = 0.07
"""Radius of the disc's place, in sides of the picture; a disc is about .06 to .08 of them."""

FINE, COARSE = 0.03, 0.1
"""Widths of the two blurs, in sides, whose difference is bright at the scale of a disc."""
INSIDE = 0.4
NASAL = 0.58
"""Where the disc is sought: within the first of the middle, in sides (no glare of the rim), and on
the nasal side of the second (no scar of the macula)."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the runs that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", nargs="+", required=True, metavar="NAME=RUN_ID")
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args(argv)
    rows = [
        row
        for name, _, run_id in (each.partition("=") for each in given.runs)
        for row in measured(name, Path(fetch(f"runs:/{run_id}/modulation")))
    ]
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="{:.2f}".format))
    if given.csv:
        table.round(3).to_csv(given.csv, index=False, lineterminator="\n")


def measured(name: str, folder: Path) -> list[dict[str, object]]:
    """Measure one run at its largest budget, by target and place."""
    rows, original, modulated = read_strongest(folder)
    sides = rows["image_id"].str.rsplit("_").str[-1].tolist()
    places = places_of(original, sides)
    found = []
    for target, part in rows.groupby("target"):
        densities = np.stack(
            [
                mean_changes(original[[i]], modulated[[i]], [sides[i]]).density
                for i in part.index
                if sides[i] in {"left", "right"}
            ]
        )
        for place, mask in places.items():
            each = densities[:, mask].mean(axis=1)
            interval = clustered_mean(each, np.arange(len(each)))
            found.append(
                {
                    "network": name, "target": target, "place": place, "eyes": len(each),
                    "density": interval.value, "low": interval.low, "high": interval.high,
                }
            )  # fmt: skip
    return found


def places_of(original: NDArray[np.uint8], sides: Sequence[str]) -> Mapping[str, NDArray[np.bool_]]:
    """Find the disc's mean place on mirrored eyes, and from it the macula's and the shams'."""
    upright = np.stack(
        [eye[:, ::-1] if side == "left" else eye for eye, side in zip(original, sides, strict=True)]
    )
    size = upright.shape[1]
    grey = upright.astype(np.float32).mean(axis=-1)
    contrast = [
        cv2.GaussianBlur(eye, (0, 0), FINE * size) - cv2.GaussianBlur(eye, (0, 0), COARSE * size)
        for eye in grey
    ]
    bright = np.median(contrast, axis=0)  # glare and scars of single eyes do not count
    rows, columns = np.mgrid[:size, :size] / size
    nasal = (np.hypot(rows - 0.5, columns - 0.5) < INSIDE) & (columns > NASAL)
    bright[~nasal] = -np.inf
    y, x = np.array(np.unravel_index(bright.argmax(), bright.shape)) / size
    step = 4 * RADIUS
    centres = {
        "disc": (x, y), "macula": (x - 2.5 * 2 * RADIUS, y), "sham: other side": (1 - x, y),
        "sham: above": (x, y - step), "sham: below": (x, y + step),
    }  # fmt: skip
    return {name: np.hypot(columns - cx, rows - cy) <= RADIUS for name, (cx, cy) in centres.items()}


if __name__ == "__main__":
    main()
