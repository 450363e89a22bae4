r"""Do biomarkers measure what was painted, and find the one structure in which two groups differ?

    python -m benchmarks.biomarkers recovery --folder measured
    python -m benchmarks.biomarkers planted --folder measured --seeds 20 --people 150

`recovery` paints 60 eyes by all cameras, and 60 by one, measures them with their true regions, and
writes for each trait the correlation of its biomarker, bias and spread where both have one unit.
`planted` draws a population per seed and cue (disc, vessels, macula, none; one standard deviation
between the sexes), one eye a person, and counts which biomarkers differ at a false discovery rate
of 5 %. What is measured lies in the folder: a killed run goes on there.
"""

import argparse
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from fundus_ml.biomarkers import CATALOGUE, associate, measure_biomarkers
from fundus_ml.imaging.opencv import cv2
from fundus_ml.parallel import in_order, processes
from fundus_ml.synthesis import Population, draw_population, paint_photograph, true_regions

NAMES = [each.name for each in CATALOGUE]
CUES = ("none", "disc", "vessels", "macula")
DEPENDS = {
    "none": (),
    "disc": ("disc_area", "disc_width", "cup_disc_ratio", "rim_width", "rim_pallor"),
    "vessels": ("crae", "crve", "vessel_density", "vessel_length", "fractal_dimension"),
    "macula": ("foveal_darkness",),
}
"""Biomarkers of the structure that each cue changes by more than half a standard deviation."""
FAINTLY = {"disc_fovea_ratio": "disc", "macula_green_red": "macula", "foveal_reflex": "macula"}
"""Biomarkers that a cue moves too, by less: neither asked for nor counted as false."""
ONE_CAMERA = "Aurora 45"
RESULTS = Path("docs/results")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("recovery", "planted"))
    parser.add_argument("--folder", type=Path, required=True, help="what is measured lies here")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--people", type=int, default=150)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with processes(workers=given.workers):
        if given.what == "recovery":
            recovery(given.folder).to_csv(
                given.results / "biomarker_recovery.csv", index=False, lineterminator="\n"
            )
        else:
            planted(given.folder, seeds=given.seeds, people=given.people).to_csv(
                given.results / "biomarker_planted.csv", index=False, lineterminator="\n"
            )


def measured(folder: Path, population: Population, *, camera: str = "") -> pd.DataFrame:
    """Paint and measure one eye of each patient, or read what an earlier run measured."""
    named = f"{population.cue}-{population.seed}-{population.patients}{camera and '-one'}.parquet"
    if (folder / named).exists():
        return pd.read_parquet(folder / named)
    table = draw_population(population).drop_duplicates("patient_id").reset_index(drop=True)
    table = table.assign(camera=camera) if camera else table
    rows = table.to_dict("records")
    values = pd.DataFrame(list(in_order(_measure, rows)))
    painted = table.rename(columns={name: f"true_{name}" for name in NAMES})
    found = pd.concat([painted, values], axis=1)
    found.to_parquet(folder / f"{named}.part")
    (folder / f"{named}.part").rename(folder / named)
    return found


def _measure(row: dict[str, object]) -> dict[str, float]:
    cv2.setNumThreads(1)
    return dict(measure_biomarkers(paint_photograph(row).image, true_regions(row)).values)


def planted(folder: Path, *, seeds: int, people: int) -> pd.DataFrame:
    """One row per seed and cue: what was found, what was missed, what was found falsely."""
    rows = []
    todo = [(seed, cue) for seed in range(seeds) for cue in CUES]
    for seed, cue in tqdm(todo, mininterval=20):
        drawn = Population(patients=people, cue=cue, cue_strength=1.0, seed=1000 + seed)
        rows.append({"cue": cue, "seed": seed, **_found(measured(folder, drawn), cue)})
    table = pd.DataFrame(rows)
    print(table.groupby("cue")[["missed", "false"]].agg(["sum", lambda n: (n == 0).sum()]))
    return table


def _found(eyes: pd.DataFrame, cue: str) -> dict[str, object]:
    labels = (eyes["sex"] == "male").to_numpy(int)
    table = associate(
        eyes[NAMES], labels, age=eyes["age"], groups=eyes["patient_id"], resamples=200
    )
    found = set(table.loc[table["q"] < 0.05, "biomarker"])  # noqa: PLR2004
    faint = {name for name, moved_by in FAINTLY.items() if moved_by == cue}
    false = found - set(DEPENDS[cue]) - faint
    missed = set(DEPENDS[cue]) - found
    return {
        "people": len(eyes),
        "found": " ".join(sorted(found)),
        "missed": len(missed),
        "missed_names": " ".join(sorted(missed)),
        "false": len(false),
        "false_names": " ".join(sorted(false)),
    }


if __name__ == "__main__":
    main()
