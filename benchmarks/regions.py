"""How well are the parts of an eye found? Against marks, file names, and what was painted.

Marked photographs (`--marks`, a folder with anatomy.csv): only those that nothing was learned from
or chosen by: 40 of 100 by the digest of the file's name (the same person's other photographs cannot
be told apart), and all of a release that the card does not name. The disc is the ellipse inscribed
in its marked box. ODIR (`--odir`, a folder of `<number>_left.jpg` and `_right.jpg`): which eye it
is, by the name. Painted eyes: exact regions. Parts that are not sure count as not found in `sure`,
and in nothing else.

    python -m benchmarks.regions --marks ../shared/data/anatomy/codras \
        --odir ../shared/data/odir/images --csv regions.csv --sheet regions.png

`--others` measures the photographs of the other parts as well, for comparison. The sheet shows the
worst marked eyes, and the ODIR eyes that are found on the wrong side or least surely.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from time import process_time

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.rows import append_rows
from fundus_ml.imaging.field_of_view import FieldOfView
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.photographs import read_file, read_photograph
from fundus_ml.imaging.pictures import write_png
from fundus_ml.imaging.regions.finding import find_regions
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, Laterality, Regions
from fundus_ml.imaging.regions.trained import read_trained
from fundus_ml.region_training.calibration import overlap
from fundus_ml.region_training.marks import MarkedEye, part_of, read_marks
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from fundus_ml.synthesis.truth import true_regions

PAINTED_SEED = 90_001
TILE, COLUMNS, SHOWN = 256, 8, 24


@dataclass(frozen=True)
class Case:
    """One eye: its name, how it is read, where its parts lie as far as that is known."""

    name: str
    read: Callable[[], NDArray[np.uint8]]
    truth: Callable[[int, int], Regions | None] = lambda _height, _width: None


@dataclass(frozen=True)
class Outcome:
    """What was found beside what is true."""

    name: str
    image: NDArray[np.uint8]
    found: Regions
    truth: Regions | None
    seconds: float

    @property
    def worst(self) -> float:
        """Order of the sheet: the higher, the more wrong or unsure."""
        disc, fovea = self.found.disc, self.found.fovea
        unsure = 2.0 - (disc.confidence if disc else 0) - (fovea.confidence if fovea else 0)
        wrong = 0.0
        if self.truth and self.truth.disc and disc:
            wrong += 4 * (1 - overlap(disc, self.truth.disc))
        if self.truth and self.truth.disc and self.truth.fovea and fovea:
            wrong += min(4.0, 4 * apart(fovea, self.truth.fovea) / self.truth.disc.diameter)
        if self.found.eye and f"_{self.found.eye.eye}" not in self.name and "_" in self.name:
            wrong += 10
        return wrong + unsure


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--marks", type=Path)
    parser.add_argument("--odir", type=Path)
    parser.add_argument("--painted", type=int, default=60, help="invented patients")
    parser.add_argument("--images", type=int, help="of each release at most; all without")
    parser.add_argument("--others", action="store_true")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    releases: dict[str, list[Case]] = {}
    if given.marks:
        eyes = read_marks(given.marks)
        learned = read_trained("landmarks").card["data"]["learned_from"]
        parts = ("test", "val", "train") if given.others else ("test",)
        for source, part in product(sorted({eye.source for eye in eyes}), parts):
            chosen = [eye for eye in eyes if (eye.source, part_of(eye, learned)) == (source, part)]
            if chosen:
                releases[f"{source}, {part}"] = [_marked(eye) for eye in chosen]
    releases["painted"] = [_painted(row) for row in _rows(given.painted)]
    if given.odir:
        paths = sorted(given.odir.glob("*.jpg"))
        releases["ODIR"] = [Case(path.name, lambda path=path: _read(path)) for path in paths]
    rows, shown = [], []
    for release, whole in releases.items():
        cases = _thinned(whole, given.images)
        found = tqdm(_found(cases), release, total=len(cases), mininterval=10)
        outcomes = [_light(outcome) for outcome in found]
        measured = list(_measures(release, outcomes))
        for row in measured:
            print(f"{row['photographs']}: {row['quantity']}: {row['value']} {row['of']}".rstrip())
        rows += measured
        shown += sorted(outcomes, key=lambda one: -one.worst)[:SHOWN]
    if given.csv:
        append_rows(given.csv, rows)
    if given.sheet:
        write_png(_sheet([outcome.image for outcome in shown]), given.sheet)


def apart(first: Landmark, second: Landmark) -> float:
    """Distance of two points, pixels."""
    return float(np.hypot(first.x - second.x, first.y - second.y))


def in_box(found: Ellipse, box: Ellipse) -> bool:
    """Whether a disc's centre lies in the box around the true one."""
    across, down = abs(found.x - box.x), abs(found.y - box.y)
    return across <= box.horizontal / 2 and down <= box.vertical / 2


def _light(outcome: Outcome) -> Outcome:
    """The outcome without its large arrays: thousands of photographs are not kept."""
    found = replace(outcome.found, retina=np.zeros((1, 1), np.bool_))
    return replace(outcome, image=_tile(outcome), found=found)


def _found(cases: Sequence[Case]) -> Iterator[Outcome]:
    for case in cases:
        image = case.read()
        begun = process_time()
        found = find_regions(image)
        seconds = process_time() - begun
        yield Outcome(case.name, image, found, case.truth(*image.shape[:2]), seconds)


def _measures(release: str, outcomes: Sequence[Outcome]) -> Iterator[dict[str, str]]:
    def row(quantity: str, values: Sequence[float], *, share: bool) -> dict[str, str]:
        value = str(int(sum(values))) if share else f"{np.mean(values):.4f}"
        return {"photographs": release, "quantity": quantity, "value": value,
                "of": str(len(values))}  # fmt: skip

    for part in ("disc", "cup", "fovea", "eye"):
        sure = [getattr(one.found, part) is not None for one in outcomes]
        yield row(f"{part} sure", sure, share=True)
    both = [(one.found, one.truth) for one in outcomes if one.truth]
    discs = [(f.disc, t.disc) for f, t in both if f.disc and t.disc]
    if discs:
        yield row("disc centre in its box", [in_box(*pair) for pair in discs], share=True)
        overlaps = [overlap(*pair) for pair in discs]
        yield row("disc intersection over union", overlaps, share=False)
        ratios = [found.diameter / truth.diameter for found, truth in discs]
        yield row("disc diameter over the true one", ratios, share=False)
    foveas = [
        apart(f.fovea, t.fovea) / t.disc.diameter for f, t in both if f.fovea and t.fovea and t.disc
    ]
    if foveas:
        near = [away <= 0.5 for away in foveas]  # noqa: PLR2004
        yield row("fovea within half a disc diameter", near, share=True)
        yield row("fovea off, disc diameters", foveas, share=False)
    cups = [(f, t) for f, t in both if f.cup and t.cup and f.disc and t.disc]
    if cups:
        overlaps = [overlap(f.cup, t.cup) for f, t in cups if f.cup and t.cup]
        yield row("cup intersection over union", overlaps, share=False)
        ratios = np.array([[_ratio(f), _ratio(t)] for f, t in cups])
        yield row("cup/disc ratio off", list(np.abs(ratios[:, 0] - ratios[:, 1])), share=False)
        correlation = float(np.corrcoef(ratios.T)[0, 1])
        yield row("cup/disc ratio correlation", [correlation] * len(cups), share=False)
    yield from _sides(row, outcomes)
    yield row("milliseconds of one core", [1000 * one.seconds for one in outcomes], share=False)


def _sides(
    row: Callable[..., dict[str, str]], outcomes: Sequence[Outcome]
) -> Iterator[dict[str, str]]:
    named = [one for one in outcomes if "_left" in one.name or "_right" in one.name]
    sure = [one for one in named if one.found.eye]
    if sure:
        agreeing = [f"_{one.found.eye.eye}" in one.name for one in sure if one.found.eye]
        yield row("eye as the name says", agreeing, share=True)
    true = [
        (one.found.eye.eye, one.truth.eye.eye)
        for one in outcomes
        if one.found.eye and one.truth and one.truth.eye and one not in named
    ]
    if true:
        yield row("eye as disc and fovea are marked", [a == b for a, b in true], share=True)


def _ratio(regions: Regions) -> float:
    assert regions.cup is not None
    assert regions.disc is not None
    return regions.cup.vertical / regions.disc.vertical


def _marked(eye: MarkedEye) -> Case:
    def truth(height: int, width: int) -> Regions:
        disc, fovea = eye.disc(height, width), eye.fovea_at(height, width)
        side = None
        if disc and fovea:
            side = Laterality(eye="right" if disc.x > fovea.x else "left")
        return Regions(
            shape=(height, width),
            field=FieldOfView(width / 2, height / 2, height / 2),
            retina=np.zeros((1, 1), np.bool_),
            disc=disc,
            fovea=fovea,
            eye=side,
        )

    return Case(eye.path.name, lambda: _read(eye.path), truth)


def _rows(patients: int) -> list[dict[str, object]]:
    return draw_population(Population(patients=patients, seed=PAINTED_SEED)).to_dict("records")


def _painted(row: dict[str, object]) -> Case:
    name = str(row["image_id"])
    return Case(name, lambda: paint_photograph(row).image, lambda *_: true_regions(row))


def _read(path: Path) -> NDArray[np.uint8]:
    return read_photograph(read_file(path), 0).image


def _thinned(cases: list[Case], most: int | None) -> list[Case]:
    return cases if not most else cases[:: max(1, len(cases) // most)][:most]


def _tile(outcome: Outcome) -> NDArray[np.uint8]:
    """The eye with what was found (green, blue, white) and what is true (yellow)."""
    height, width = outcome.image.shape[:2]
    factor = TILE / max(height, width)
    small = cv2.resize(outcome.image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    tile = np.zeros((TILE, TILE, 3), np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small
    marks = [(outcome.found, (60, 255, 60), (90, 160, 255), (255, 255, 255))]
    if outcome.truth:
        marks.insert(0, (outcome.truth, (255, 230, 0), (255, 230, 0), (255, 230, 0)))
    for regions, *colours in marks:
        for ellipse, colour in zip((regions.disc, regions.cup), colours, strict=False):
            if ellipse:
                one = ellipse.scaled(factor)
                box = ((one.x, one.y), (one.width, one.height), float(np.degrees(one.angle)))
                cv2.ellipse(tile, box, colour, 1, cv2.LINE_AA)
        if regions.fovea:
            at = regions.fovea.scaled(factor)
            cv2.drawMarker(tile, (round(at.x), round(at.y)), colours[2], cv2.MARKER_CROSS, 9, 1)
    eye = outcome.found.eye
    told = [outcome.name, *(f"{part}: {why}" for part, why in outcome.found.doubts)]
    told.append(f"{eye.eye} {eye.confidence:.2f}" if eye else "eye unsure")
    for line, text in enumerate(told):
        cv2.putText(tile, text[:48], (2, 9 + 10 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.3,
                    (255, 255, 255), 1, cv2.LINE_AA)  # fmt: skip
    return tile


def _sheet(tiles: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    tiles = tiles + [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    lines = [np.hstack(tiles[at : at + COLUMNS]) for at in range(0, len(tiles), COLUMNS)]
    return np.vstack(lines)


if __name__ == "__main__":
    main()
