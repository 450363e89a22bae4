"""Are altered copies of an eye found among other people's eyes, and only they? At what cost?

    python -m benchmarks.same_person --root ODIR/images --sheet others.png

Copies are made of the photograph: rotated by up to 10 degrees, scaled and shifted by up to 10 %,
brighter or darker, saved as JPEG of quality 70, and named after the other side. With `--move frame`
the field moves along, with `--move retina` the retina moves under a field that stays, as on a
second visit. Their field of view is found and cropped like that of any photograph. Pairs found
besides the planted ones are listed and drawn to `--sheet`, to be judged by eye; those named in
`--known` count as true.

Cost: the same search over more eyes. Where the folder has too few, mirror images of its eyes stand
in for more people: an eye does not match its mirror image.
"""

import argparse
import time
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.figures.same_eyes import same_eye_sheet
from fundus_ml.imaging.duplicates import same_eye_pairs
from fundus_ml.imaging.field_of_view import crop_to_field_of_view, find_field_of_view
from fundus_ml.imaging.keypoints import VIEW_SIZE, describe_eye
from fundus_ml.imaging.opencv import cv2

SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}
OTHER_SIDE = {"left": "right", "right": "left"}
SHEET_PAIRS = 12
ROUNDS = 2

Pixels = NDArray[np.uint8]


class Eye(NamedTuple):
    """A photograph's view, and which photograph it was made from."""

    name: str
    view: Pixels
    path: Path


def main() -> None:
    """Plant copies, search, print what was found, then time larger searches."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--eyes", type=int, default=2000)
    parser.add_argument("--copies", type=int, default=200)
    parser.add_argument("--move", choices=("frame", "retina"), default="frame")
    parser.add_argument("--known", type=Path, help="CSV of file names: first,second, the same eye")
    parser.add_argument("--sheet", type=Path, help="PNG of the weakest pairs not planted")
    parser.add_argument("--cost", type=int, nargs="*", default=[2000, 4000, 8000])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    cv2.setNumThreads(1)

    rng = np.random.default_rng(given.seed)
    paths = sorted(path for path in given.root.rglob("*") if path.suffix.lower() in SUFFIXES)
    paths = [paths[index] for index in rng.permutation(len(paths))]
    refused: list[str] = []
    eyes = list(islice(_seen(paths, refused), given.eyes))
    print(f"{len(eyes)} eyes; {len(refused)} photographs without a field of view passed over")
    refused.clear()
    chosen = [eyes[index].path for index in rng.permutation(len(eyes))]
    copies = list(islice(_altered(chosen, given.move, rng, refused), given.copies))
    print(f"{len(copies)} copies; {len(refused)} without a field of view passed over")
    _report_found(eyes + copies, planted=len(copies), known=given.known, sheet=given.sheet)
    if given.cost:
        _report_cost(paths, given.cost)


def _seen(paths: list[Path], refused: list[str]) -> Iterator[Eye]:
    for path in paths:
        try:
            yield Eye(path.name, _view(_read(path)), path)
        except InputError:
            refused.append(path.name)


def _altered(
    paths: list[Path], move: str, rng: np.random.Generator, refused: list[str]
) -> Iterator[Eye]:
    for path in paths:
        name = path.name
        for side, other in OTHER_SIDE.items():
            if side in path.name:
                name = path.name.replace(side, other)
        try:
            yield Eye(f"copy_{name}", _view(_alter(_read(path), move, rng)), path)
        except InputError:
            refused.append(path.name)


def _read(path: Path) -> Pixels:
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise InputError(f"{path}: not a picture")
    return np.asarray(image, np.uint8)


def _view(photograph: Pixels) -> Pixels:
    field = find_field_of_view(photograph)
    return crop_to_field_of_view(photograph, field, size=VIEW_SIZE, surround="black")


def _alter(photograph: Pixels, move: str, rng: np.random.Generator) -> Pixels:
    field = find_field_of_view(photograph)
    height, width = photograph.shape[:2]
    turn = cv2.getRotationMatrix2D((field.x, field.y), rng.uniform(-10, 10), rng.uniform(0.9, 1.1))
    turn = turn + [[0, 0, shift * 2 * field.radius] for shift in rng.uniform(-0.1, 0.1, 2)]
    moved = cv2.warpAffine(photograph, turn, (width, height), flags=cv2.INTER_LINEAR)
    if move == "retina":
        rows, columns = np.indices((height, width))
        across, down = (columns - field.x) / field.aspect, rows - field.y
        moved[np.hypot(across, down) > field.radius - 1] = 0
        moved[photograph.max(axis=2) == 0] = 0
    gain, gamma = rng.uniform(0.7, 1.3), rng.uniform(0.8, 1.25)
    lit = np.clip(255 * gain * (moved / 255) ** gamma, 0, 255).astype(np.uint8)
    _, content = cv2.imencode(".jpg", lit[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 70])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR_RGB), np.uint8)


def _report_found(eyes: list[Eye], *, planted: int, known: Path | None, sheet: Path | None) -> None:
    pairs = same_eye_pairs(np.stack([describe_eye(eye.view) for eye in eyes]))
    paths = np.array([str(eye.path) for eye in eyes])
    names = np.array([eye.path.name for eye in eyes])
    first, second = (pairs[side].to_numpy() for side in ("first", "second"))
    hit = paths[first] == paths[second]
    found = len(np.unique(second[hit]))
    pairs["pair"] = [
        " ".join(sorted(ends)) for ends in zip(names[first], names[second], strict=True)
    ]
    judged = _known(known)
    true = hit | pairs["pair"].isin(judged).to_numpy()
    others = pairs[~hit].sort_values("score")
    print(f"recall {found}/{planted} = {found / planted:.1%}")
    print(f"precision {true.sum()}/{len(pairs)} = {true.mean():.1%} with known pairs as true")
    print(
        f"{len(others)} pairs besides the planted, of {others['pair'].nunique()} photograph pairs"
    )
    if len(others):
        print(
            others[["pair", "inliers", "score", "spread", "scale"]].round(2).to_string(index=False)
        )
    if sheet is not None and len(others):
        drawn = others.head(SHEET_PAIRS)
        places = drawn[["first", "second"]].to_numpy()
        views = np.stack([eyes[place].view for place in places.ravel()])
        drawn = drawn.assign(first=range(0, len(views), 2), second=range(1, len(views), 2))
        captions = [
            f"{row.pair}: {row.inliers} keypoints, {row.score:.0f}" for row in drawn.itertuples()
        ]
        same_eye_sheet(views, drawn, captions).savefig(sheet, dpi=150)


def _known(path: Path | None) -> set[str]:
    if path is None:
        return set()
    table = pd.read_csv(path)
    return {" ".join(sorted(ends)) for ends in zip(table["first"], table["second"], strict=True)}


def _report_cost(paths: list[Path], sizes: list[int]) -> None:
    views = (eye.view for eye in _seen(paths, []))
    features: list[Pixels] = []
    mirrored: list[Pixels] = []
    describing = 0.0
    for view in islice(views, max(sizes)):
        started = time.process_time()
        features.append(describe_eye(view))
        describing += time.process_time() - started
        if len(features) + len(mirrored) < max(sizes):
            mirrored.append(describe_eye(np.ascontiguousarray(view[:, ::-1])))
    stacked = np.stack(list(chain(features, mirrored)))
    print(f"describing: {1000 * describing / len(features):.1f} CPU s per 1,000 eyes")
    print(f"{'eyes':>6}{'mirrored':>10}{'wall s':>9}{'CPU s':>9}{'CPU s / 1,000':>15}")
    for size in sizes:
        walls, cores = [], []
        for _ in range(ROUNDS):
            wall, core = time.perf_counter(), time.process_time()
            same_eye_pairs(stacked[:size])
            walls.append(time.perf_counter() - wall)
            cores.append(time.process_time() - core)
        extra = max(0, size - len(features))
        each = 1000 * min(cores) / size
        print(f"{size:>6}{extra:>10}{min(walls):>9.1f}{min(cores):>9.1f}{each:>15.2f}")


if __name__ == "__main__":
    main()
