"""How well are vessels of real eyes found? A release is tested by a network that never saw it.

One network learns from painted eyes and DRIVE and is tested on CHASE_DB1, another the other way
round. The last fifth of the people learned from is kept out, to choose the threshold on. For
CHASE_DB1 the second observer is measured against the first as well: what people reach. Figures are
means over photographs at their own resolution, inside the field of view; intervals are drawn over
people. Painted eyes of another seed say how often arteries and veins are told, and rightly, from
half to two disc diameters around the disc. Trainings go on where they were stopped.

    python -m benchmarks.vessels --root ../shared/data/anatomy --folder vessels --sheets vessels
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from fundus_ml.imaging.field_of_view import crop_to_field_of_view
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.pictures import write_png
from fundus_ml.imaging.regions.vessel_network import VesselWeights, load_vessel_network
from fundus_ml.imaging.regions.vessels import find_vessels
from fundus_ml.region_training.vessel_learning import learn_without_some, measure_vessels
from fundus_ml.region_training.vessel_marks import TracedEye, read_chase, read_drive
from fundus_ml.region_training.vessel_scores import vessel_scores
from fundus_ml.region_training.vessels import VesselTraining
from fundus_ml.statistics.clustered import Interval, clustered_mean, clustered_ratio
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from fundus_ml.synthesis.truth import true_regions

RING = (0.5, 2.0)
COPIED = 0.75
TILE = 360


def main() -> None:
    """Print the tables, write them, and draw the sheets where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="folder with drive, chase_db1")
    parser.add_argument("--folder", type=Path, required=True, help="for checkpoints and a csv")
    parser.add_argument("--steps", type=int, default=2500, help="of each training")
    parser.add_argument("--seed", type=int, default=0, help="of each training")
    parser.add_argument("--painted", type=int, default=40, help="people with known arteries")
    parser.add_argument("--sheets", type=Path, help="folder for sheets of the results")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    releases = {
        "drive": read_drive(given.root / "drive"),
        "chase": read_chase(given.root / "chase_db1"),
    }
    config = VesselTraining(steps=given.steps, seed=given.seed)
    rows = []
    for learned, tested in (("drive", "chase"), ("chase", "drive")):
        weights = learn_without_some(
            {learned: releases[learned]}, config, given.folder, on_step=_say
        )
        print(f"{learned}: threshold {weights.threshold}")
        measured = [measure_vessels(eye, weights) for eye in releases[tested]]
        rows += _rows(f"{learned} -> {tested}", measured, releases[tested])
        if given.sheets is not None:
            _draw_sheet(releases[tested], weights, given.sheets / f"{tested}.png")
    chase = releases["chase"]
    rows += _rows("second observer, chase", [_human(eye) for eye in chase], chase)
    rows += measure_arteries(given.painted, seed=given.seed + 1000)
    rows += measure_repeatability(releases)
    rows += _seconds([eye for eyes in releases.values() for eye in eyes][::4])
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.4f"))
    table.to_csv(given.folder / "vessels.csv", index=False)


def _say(what: str, step: int, loss: float) -> None:
    if step % 100 == 0:
        print(f"{what}: step {step}, loss {loss:.3f}", flush=True)


def _human(eye: TracedEye) -> dict[str, float]:
    assert eye.second is not None
    return vessel_scores(eye.second, eye.vessels, eye.counted)._asdict()


def _rows(
    what: str, measured: Sequence[dict[str, float]], eyes: Sequence[TracedEye]
) -> Iterator[dict[str, object]]:
    people = [eye.person for eye in eyes]
    for name in measured[0]:
        found = clustered_mean([row[name] for row in measured], people)
        yield _row(what, name, found, len(eyes))


def _row(what: str, name: str, found: Interval, eyes: int) -> dict[str, object]:
    return {"what": what, "measure": name, "value": found.value, "low": found.low,
            "high": found.high, "eyes": eyes}  # fmt: skip


def measure_arteries(people: int, *, seed: int) -> Iterator[dict[str, object]]:
    """Count how much of painted arteries and veins is told around the disc, and rightly."""
    counts = []
    table = draw_population(Population(patients=people, seed=seed))
    for row in table.to_dict("records"):
        truth = true_regions(row)
        image = paint_photograph(row).image
        found, _ = find_vessels(image, truth.field, disc=truth.disc)
        if found is None:
            counts.append((row["patient_id"], 0, 0, 0, 0))
            continue
        away = truth.disc.distance(truth.shape) / 2
        ring = (away > RING[0]) & (away < RING[1]) & found.mask
        artery, vein = truth.vessels.arteries & ring, truth.vessels.veins & ring
        artery, vein = artery & ~vein, vein & ~artery
        right = (found.arteries & artery).sum() + (found.veins & vein).sum()
        wrong = (found.arteries & vein).sum() + (found.veins & artery).sum()
        counts.append((row["patient_id"], right, wrong, artery.sum() + vein.sum(), 1))
    frame = pd.DataFrame(counts, columns=["person", "right", "wrong", "all", "found"])
    told = frame["right"] + frame["wrong"]
    for name, above, below in (
        ("share of vessels told", told, frame["all"]),
        ("right among told", frame["right"], told),
        ("share of eyes with vessels", frame["found"], np.ones(len(frame))),
    ):
        found_ratio = clustered_ratio(above, below, frame["person"])
        yield _row("arteries, painted", name, found_ratio, len(frame))


def measure_repeatability(
    releases: Mapping[str, Sequence[TracedEye]],
) -> Iterator[dict[str, object]]:
    """Tell arteries of photographs, and of copies smaller, darker and coarser: none has a truth."""
    counts = []
    for release, eyes in releases.items():
        for eye in eyes:
            found, _ = find_vessels(eye.image, eye.field)
            again, _ = find_vessels(_copied(eye.image), eye.field.scaled(COPIED, COPIED))
            if found is None or again is None:
                continue
            shape = eye.image.shape[1::-1]
            arteries, veins = (
                cv2.resize(mask.astype(np.uint8), shape, interpolation=cv2.INTER_NEAREST) > 0
                for mask in (again.arteries, again.veins)
            )
            same = (found.arteries & arteries).sum() + (found.veins & veins).sum()
            other = (found.arteries & veins).sum() + (found.veins & arteries).sum()
            told = (found.arteries | found.veins).sum()
            counts.append((release + eye.person, same, other, told, found.mask.sum()))
    frame = pd.DataFrame(counts, columns=["person", "same", "other", "told", "all"])
    both = frame["same"] + frame["other"]
    for name, above, below in (
        ("share of vessels told", frame["told"], frame["all"]),
        ("same among told twice", frame["same"], both),
    ):
        yield _row(
            "arteries, photographs",
            name,
            clustered_ratio(above, below, frame["person"]),
            len(frame),
        )


def _copied(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Three quarters of the size, of the light, and of JPEG's quality."""
    size = tuple(round(side * COPIED) for side in image.shape[1::-1])
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) * 0.75
    coded = cv2.imencode(".jpg", small.round().astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def _seconds(eyes: Sequence[TracedEye]) -> Iterator[dict[str, object]]:
    load_vessel_network()
    taken = []
    for eye in eyes:
        begun = process_time()
        find_vessels(eye.image, eye.field)
        taken.append(process_time() - begun)
    found = clustered_mean(taken, range(len(taken)))
    yield _row("find_vessels", "processor seconds per eye", found, len(eyes))


def _draw_sheet(eyes: Sequence[TracedEye], weights: VesselWeights, path: Path) -> None:
    """Photograph; found only red, missed blue, both white; arteries red, veins blue."""
    rows = []
    for eye in eyes[::2]:
        found, doubt = find_vessels(eye.image, eye.field, weights=weights)
        tiles = [_tile(eye.image, eye)]
        if found is None:
            print(path.name, eye.image_id, doubt)
            continue
        compared = np.stack([found.mask, found.mask & eye.vessels, eye.vessels], -1)
        told = np.where(found.mask[..., None], np.uint8(200), np.uint8(0)).repeat(3, axis=2)
        told[found.arteries], told[found.veins] = (255, 60, 60), (80, 120, 255)
        tiles += [_tile(compared.astype(np.uint8) * 255, eye), _tile(told, eye)]
        note = f"{eye.image_id} {found.confidence:.2f}"
        cv2.putText(tiles[0], note, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1)
        rows.append(np.hstack(tiles))
    half = (len(rows) + 1) // 2
    rows += [np.zeros_like(rows[0])] * (2 * half - len(rows))
    write_png(
        np.vstack([np.hstack(pair) for pair in zip(rows[:half], rows[half:], strict=True)]), path
    )


def _tile(image: NDArray[np.uint8], eye: TracedEye) -> NDArray[np.uint8]:
    return crop_to_field_of_view(image, eye.field, size=TILE, surround="black")


if __name__ == "__main__":
    main()
