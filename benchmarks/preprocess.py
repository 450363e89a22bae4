"""How fast does a photograph become a square eye? Against the report's recipe, and decoding alone.

All contestants turn the same camera-sized files into eyes of the same size on one core, in turn
over and over, and medians over the files of each one's best time are compared:

    python -m benchmarks.preprocess --root ../shared/data/fullsize

`report` decodes in full, keeps what is bright in HSV, cuts the box around its largest outline and
resizes. `decode only` is what no way to an eye of this size can be faster than.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.decoding import decode_photograph
from fundus_ml.imaging.field_of_view import crop_to_field_of_view, find_field_of_view
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.quality import measure_quality

VIEW_SIZE = 256
BRIGHT = 50
"""The report's lowest brightness (V of HSV) of a retina."""

Contestant = Callable[[Path, int], object]


def main() -> None:
    """Time the contestants in turn and print their medians and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of JPEG photographs")
    parser.add_argument("--size", type=int, default=300, help="side of the eyes, pixels")
    parser.add_argument("--rounds", type=int, default=7, help="times each file is timed")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    paths = sorted(given.root.glob("*.jpg"))
    contestants: dict[str, Contestant] = {
        "report": report,
        "decode only": decode,
        "ours": ours,
        "ours + quality": ours_with_quality,
    }
    best = {name: dict.fromkeys(paths, float("inf")) for name in contestants}
    for _ in range(given.rounds):
        for name, run in contestants.items():
            for path in paths:
                taken = _timed(run, path, given.size)
                best[name][path] = min(best[name][path], taken)
    shape = decode(paths[0], given.size).shape
    print(f"{len(paths)} files, the first decoded to {shape[1]} x {shape[0]}; one core")
    print(f"{'':16}{'ms':>8}{'report / it':>13}{'it / decode only':>18}")
    for name, times in best.items():
        versus = median(best["report"][path] / times[path] for path in paths)
        overhead = median(times[path] / best["decode only"][path] for path in paths)
        print(f"{name:16}{1000 * median(times.values()):8.2f}{versus:13.2f}{overhead:18.2f}")


def report(path: Path, size: int) -> NDArray[np.uint8]:
    """Make an eye as the report did."""
    image = cv2.imread(str(path))
    assert image is not None
    bright = cv2.inRange(cv2.cvtColor(image, cv2.COLOR_BGR2HSV), (0, 0, BRIGHT), (255, 255, 255))
    outlines, _ = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    x, y, width, height = cv2.boundingRect(max(outlines, key=cv2.contourArea))
    box = image[y : y + height, x : x + width]
    return np.asarray(cv2.resize(box, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def decode(path: Path, size: int) -> NDArray[np.uint8]:
    """Decode at the scale that the size needs."""
    return decode_photograph(path.read_bytes(), least_side=size).image


def ours(path: Path, size: int) -> NDArray[np.uint8]:
    """Decode, find the field of view, crop to it."""
    image = decode(path, size)
    return crop_to_field_of_view(image, find_field_of_view(image), size=size, surround="black")


def ours_with_quality(path: Path, size: int) -> object:
    """Likewise, and measure quality on a view of its own."""
    image = decode(path, size)
    field = find_field_of_view(image)
    view = crop_to_field_of_view(image, field, size=VIEW_SIZE, surround="black")
    quality = measure_quality(view)
    return crop_to_field_of_view(image, field, size=size, surround="black"), quality


def _timed(run: Contestant, path: Path, size: int) -> float:
    started = time.perf_counter()
    run(path, size)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
