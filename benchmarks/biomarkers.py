r"""Do biomarkers measure what was painted, and find the one structure in which two groups differ?

    python -m benchmarks.biomarkers recovery --folder measured
    python -m benchmarks.biomarkers planted --folder measured --seeds 20 --people 100

`recovery` paints 60 eyes by all cameras, and 60 by one, measures them with their true regions, and
writes for each trait the correlation of its biomarker, bias and spread where both have one unit.
`planted` draws a population per seed and cue (disc, vessels, macula, none; one standard deviation
between the sexes), one eye a person, and counts which biomarkers differ at a false discovery rate
of 5 %. What is measured lies in the folder: a killed run goes on there.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from fundus_ml.biomarkers import CATALOGUE, associate, measure_biomarkers
from fundus_ml.imaging.opencv import cv2
from fundus_ml.parallel import in_order, processes
from fundus_ml.synthesis import Population, draw_population, paint_photograph, true_regions
from fundus_ml.synthesis.anatomy import DISC_DIAMETER
from fundus_ml.synthesis.optic_disc import CUP_BORDER, DISC_BORDER

NAMES = [each.name for each in CATALOGUE]
NONE = "none"
CUES = (NONE, "disc", "vessels", "macula")
FIRST_SEED = 1000
RESAMPLES = 500
FALSE_DISCOVERIES = 0.05
DEPENDS = {
    NONE: (),
    "disc": ("disc_area", "disc_width", "cup_disc_ratio", "rim_width", "rim_pallor"),
    "vessels": ("crae", "crve", "vessel_density", "vessel_length", "fractal_dimension"),
    "macula": ("foveal_darkness",),
}
"""Biomarkers of the structure that each cue changes by more than half a standard deviation."""
FAINTLY = {"disc_fovea_ratio": "disc", "macula_green_red": "macula", "foveal_reflex": "macula"}
"""Biomarkers that a cue moves too, by less: neither asked for nor counted as false."""
TRAITS = {
    "cup_disc_ratio": ("cup_disc_ratio", True),
    "disc_width": ("disc_diameter", True),
    "disc_ovality": ("disc_aspect", True),
    "disc_fovea_distance": ("disc_fovea_distance", True),
    "disc_fovea_angle": ("disc_fovea_angle", False),
    "rim_pallor": ("rim_pallor", False),
    "crae": ("vessel_calibre", False),
    "crve": ("vessel_calibre", False),
    "vessel_density": ("vessel_density", False),
    "vessel_length": ("vessel_density", False),
    "tortuosity": ("vessel_tortuosity", False),
    "foveal_darkness": ("macula_darkness", False),
    "background_darkness": ("pigmentation", False),
    "background_green_red": ("pigmentation", False),
}
"""Each biomarker with the trait it should find, and whether both have one unit."""
ONE_CAMERA = "Aurora 45"
EYES, HELD_OUT = 60, 1
"""Painted eyes of `recovery`, and their seed: the definitions were chosen on seed 0."""
RESULTS = Path("docs/results")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("recovery", "planted"))
    parser.add_argument("--folder", type=Path, required=True, help="what is measured lies here")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--null_seeds", type=int, default=10, help="of populations without a cue")
    parser.add_argument("--people", type=int, default=100)
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
            table = planted(
                given.folder,
                seeds=given.seeds,
                null_seeds=given.null_seeds,
                people=given.people,
            )
            table.to_csv(given.results / "biomarker_planted.csv", index=False, lineterminator="\n")


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


def recovery(folder: Path) -> pd.DataFrame:
    """One row per camera choice and trait: correlation with its interval, bias, spread."""
    rows = []
    for cameras, camera in (("six cameras", ""), ("one camera", ONE_CAMERA)):
        drawn = Population(patients=EYES, cue="none", seed=HELD_OUT)
        eyes = measured(folder, drawn, camera=camera)
        painted = _traits(eyes)
        for name, (trait, unit_alike) in TRAITS.items():
            shown = eyes[name].notna()
            value, truth = eyes.loc[shown, name], painted.loc[shown, trait]
            r = float(value.corr(truth))
            beside = 1.96 / np.sqrt(shown.sum() - 3)
            fisher = np.arctanh(np.clip(r, -1 + 1e-9, 1 - 1e-9))
            low, high = np.tanh(fisher - beside), np.tanh(fisher + beside)
            apart = value / truth - 1 if unit_alike else pd.Series(np.nan, index=value.index)
            rows.append(
                {
                    "cameras": cameras,
                    "biomarker": name,
                    "trait": trait,
                    "eyes": int(shown.sum()),
                    "correlation": r,
                    "correlation_low": low,
                    "correlation_high": high,
                    "bias": apart.mean(),
                    "spread": apart.std(),
                }
            )
    table = pd.DataFrame(rows).round(4)
    print(table.to_string(index=False))
    return table


def _traits(eyes: pd.DataFrame) -> pd.DataFrame:
    """What was painted, in the units of the biomarkers where they have one."""
    across, down = eyes["fovea_x"] - eyes["disc_x"], eyes["fovea_y"] - eyes["disc_y"]
    return pd.DataFrame(
        {
            "cup_disc_ratio": eyes["true_cup_disc_ratio"] * CUP_BORDER / DISC_BORDER,
            "disc_diameter": 2 * eyes["disc_radius"] * DISC_BORDER / DISC_DIAMETER,
            "disc_aspect": np.minimum(eyes["disc_aspect"], 1 / eyes["disc_aspect"]),
            "disc_fovea_distance": np.hypot(across, down) / DISC_DIAMETER,
            "disc_fovea_angle": np.degrees(np.arctan2(down, across.abs())),
            "rim_pallor": eyes["true_rim_pallor"],
            "vessel_calibre": eyes["vessel_calibre"],
            "vessel_density": eyes["true_vessel_density"],
            "vessel_tortuosity": eyes["vessel_tortuosity"],
            "macula_darkness": eyes["macula_darkness"],
            "pigmentation": eyes["pigmentation"],
        }
    )


def planted(folder: Path, *, seeds: int, null_seeds: int, people: int) -> pd.DataFrame:
    """One row per cue and population: what was found, what was missed, what was found falsely.

    Populations of two seeds are joined in pairs too, for twice the people.
    """
    populations: dict[str, list[pd.DataFrame]] = {cue: [] for cue in CUES}
    todo = [
        (seed, cue) for seed in range(seeds) for cue in CUES if cue != NONE or seed < null_seeds
    ]
    for seed, cue in tqdm(todo, mininterval=20):
        drawn = Population(patients=people, cue=cue, cue_strength=1.0, seed=FIRST_SEED + seed)
        eyes = measured(folder, drawn)
        populations[cue].append(eyes.assign(person=f"{seed} " + eyes["patient_id"], seed=seed))
    rows = []
    for cue, singles in populations.items():
        pairs = map(pd.concat, zip(singles[::2], singles[1::2], strict=False))
        for eyes in (*singles, *pairs):
            seed = "+".join(map(str, eyes["seed"].unique()))
            rows.append({"cue": cue, "seeds": seed, **_found(eyes, cue)})
    table = pd.DataFrame(rows)
    print(_summary(table).to_string(index=False))
    return table


def _found(eyes: pd.DataFrame, cue: str) -> dict[str, object]:
    labels = (eyes["sex"] == "male").to_numpy(int)
    table = associate(
        eyes[NAMES], labels, age=eyes["age"], groups=eyes["person"], resamples=RESAMPLES
    )
    found = set(table.loc[table["q"] < FALSE_DISCOVERIES, "biomarker"])
    faint = {name for name, moved_by in FAINTLY.items() if moved_by == cue}
    false, missed = found - set(DEPENDS[cue]) - faint, set(DEPENDS[cue]) - found
    return {
        "people": len(eyes),
        "found": len(found),
        "missed": len(missed),
        "missed_names": " ".join(sorted(missed)),
        "false": len(false),
        "false_names": " ".join(sorted(false)),
    }


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    """Populations in which all of the structure's biomarkers were found, and no other one."""
    rows = []
    for (cue, people), part in table.groupby(["cue", "people"], sort=False):
        share = (part["false"] / part["found"].clip(lower=1)).mean()
        rows.append(
            {
                "cue": cue,
                "people": people,
                "populations": len(part),
                "all_found": int((part["missed"] == 0).sum()),
                "no_other": int((part["false"] == 0).sum()),
                "false_share": round(share, 4),
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
