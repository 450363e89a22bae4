"""Is the audit right? It must name the shortcut that was planted, and no other.

Invented people whose camera, age or neither is tied to their sex, with and without a difference in
their anatomy, over many seeds. An anatomical difference is what a model is meant to find: it is no
shortcut, and nothing may be named for it.

    python -m benchmarks.audit --seeds 20 --people 200

Painting takes most of the time, about 60 ms an eye: 20 seeds are an hour on one core.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import pandas as pd

from fundus_ml.auditing.audit import Audit, audit_dataset
from fundus_ml.data.manifest import SEXES
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.shards import ShardWriter
from fundus_ml.data.splits import assign_splits
from fundus_ml.errors import Refused
from fundus_ml.imaging.cropping import CroppedEye, crop_eye
from fundus_ml.imaging.options import CropOptions
from fundus_ml.preprocessing.assembly import assemble
from fundus_ml.sources.synthetic import synthetic_photographs
from fundus_ml.synthesis.options import Population

TIES = {"none": {}, "camera": {"camera_sex_odds": 8.0}, "age": {"age_sex_shift": 12.0}}
SAME_PAINT = ("image_id", "source", "patient_id", "eye", "sex", "healthy", "flags")
"""Columns that a painted eye does not depend on, beside the traits it does."""

Painted = dict[tuple[object, ...], CroppedEye | Refused]


def main() -> None:
    """Audit every seed under every tie and print how often exactly the tie was named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--cues", default="none,disc", help="where the sexes differ, with commas")
    parser.add_argument(
        "--ties", default="none,camera,age", help="what is tied to sex, with commas"
    )
    parser.add_argument("--permutations", type=int, default=1000)
    parser.add_argument("--size", type=int, default=96)
    given = parser.parse_args()
    rows = []
    for cue in given.cues.split(","):
        for seed in range(given.seeds):
            painted: Painted = {}
            for tie in given.ties.split(","):
                population = Population(patients=given.people, cue=cue, seed=seed, **TIES[tie])
                audit, seconds = _audited(population, given, painted)
                rows.append(_row(cue, tie, seed, audit, seconds))
                print(*rows[-1].values(), sep="\t", flush=True)
    frame = pd.DataFrame(rows)
    print(f"\n{given}")
    print(frame.groupby(["cue", "tie"]).agg({"right": ["sum", "size"], "seconds": "median"}))
    print(
        frame.groupby(["cue", "tie"])[["shortcut_baseline"]].agg(["min", "median", "max"]).round(3)
    )


def _row(cue: str, tie: str, seed: int, audit: Audit, seconds: float) -> dict[str, object]:
    wanted = () if tie == "none" else (tie,)
    return {
        "cue": cue,
        "tie": tie,
        "seed": seed,
        "right": audit.named == wanted,
        "named": ", ".join(audit.named) or "-",
        "shortcut_baseline": round(audit.shortcut_baseline, 3),
        "by": audit.shortcut_baseline_by,
        "seconds": round(seconds, 1),
    }


def _audited(
    population: Population, given: argparse.Namespace, painted: Painted
) -> tuple[Audit, float]:
    with tempfile.TemporaryDirectory() as folder:
        work, whole = Path(folder) / "work", Path(folder) / "whole"
        work.mkdir()
        whole.mkdir()
        eyes = _cropped(population, given.size, painted, work)
        assemble(
            work,
            whole,
            eyes,
            kinds=("pixels",),
            name="synthetic",
            split_by="person",
            recipe={},
            rejected=pd.DataFrame(columns=["image_id", "reason", "detail"], dtype=str),
        )
        dataset = open_dataset(str(whole))
        started = time.perf_counter()
        audit = audit_dataset(dataset, None, permutations=given.permutations, seed=population.seed)
        return audit, time.perf_counter() - started


def _cropped(population: Population, size: int, painted: Painted, work: Path) -> pd.DataFrame:
    """Paint, crop and measure each eye that no other tie of this seed has shown yet."""
    photographs = synthetic_photographs(population)
    options = CropOptions(size=size, same_person=False)
    rows = []
    with ShardWriter(work, "pixels", (size, size, 3)) as writer:
        for record in photographs.table.to_dict("records"):
            row: dict[str, object] = {str(name): value for name, value in record.items()}
            key = tuple(value for name, value in row.items() if name not in SAME_PAINT)
            if key not in painted:
                painted[key] = crop_eye(partial(photographs.load, row), options)
            eye = painted[key]
            if isinstance(eye, CroppedEye):
                writer.append(eye.pixels)
                rows.append({**row, **eye.measured})
    eyes = pd.DataFrame(rows)
    eyes["person_group"], eyes["weight"] = eyes["patient_id"], 1.0
    eyes["label"] = eyes["sex"].map(SEXES.index)
    return eyes.assign(split=assign_splits(eyes))


if __name__ == "__main__":
    main()
