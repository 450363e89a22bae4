"""Entry point ``preprocess``: photographs and a table become a dataset folder.

Reads a release (or draws synthetic eyes), finds each field of view, crops it to a centred square,
splits by person, and writes the folder that every other entry point reads. Photographs that cannot
be used are listed in ``rejected.csv`` with their reason.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from experiments.protocol.parameters import run_entry_point
from experiments.protocol.session import progress, read_dataset, show
from fundus_ml.figures import sample_sheet
from fundus_ml.preprocessing import Preprocessed, preprocess
from fundus_ml.sources.releases import read_release
from fundus_ml.synthesis.population import Population
from tracking.runs import Run

SHEET_EYES = 40


@dataclass(frozen=True, kw_only=True)
class PreprocessConfig:
    """Flags of ``preprocess``."""

    source: str = "synthetic"
    """Release to read: synthetic, odir or folder."""
    root: str = ""
    """Folder of the release (odir: full_df.csv and its images; folder: a table and images)."""
    table: str = "labels.csv"
    """folder: file name of the table (columns file, patient_id, sex; optional eye, age, camera)."""
    name: str = "folder"
    """folder: stands before every id; give each release of one composite its own."""
    out: str = "data/synthetic"
    """Dataset folder to write; an older dataset there is replaced once the new one is whole."""
    size: int = 300
    """Side of the square eyes, pixels."""
    healthy_only: bool = True
    """odir: keep only eyes whose own keywords contain `normal fundus`."""
    val_fraction: float = 0.15
    """Share of people in the validation split."""
    test_fraction: float = 0.15
    """Share of people in the test split."""
    patients: int = 600
    """synthetic: people to draw; each has one or two eyes."""
    cue: str = "disc"
    """synthetic: where the sexes differ: disc, vessels, macula or none."""
    cue_strength: float = 4.0
    """synthetic: distance between the sexes on the planted trait, standard deviations."""
    age_sex_shift: float = 0.0
    """synthetic: years by which males are older (a confounder)."""
    camera_sex_odds: float = 1.0
    """synthetic: odds ratio of a male being taken with the first half of the cameras."""
    seed: int = 0
    """Of the synthetic people and of the split."""
    workers: int = 0
    """Processes; 0 is one per core."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("preprocess", PreprocessConfig, prepare, argv)


def prepare(config: PreprocessConfig, run: Run) -> Preprocessed:
    """Read a release, write its dataset folder, record both."""
    population = Population(
        patients=config.patients,
        cue=config.cue,
        cue_strength=config.cue_strength,
        age_sex_shift=config.age_sex_shift,
        camera_sex_odds=config.camera_sex_odds,
        seed=config.seed,
    )
    photographs = read_release(
        config.source,
        config.root,
        table=config.table,
        name=config.name,
        healthy_only=config.healthy_only,
        population=population,
    )
    with progress("preprocess", "eye") as on_progress:
        written = preprocess(
            photographs,
            Path(config.out).expanduser(),
            size=config.size,
            val_fraction=config.val_fraction,
            test_fraction=config.test_fraction,
            split_seed=config.seed,
            workers=config.workers,
            recipe=asdict(config),
            on_progress=on_progress,
        )
    _record(config, run, written)
    return written


def _record(config: PreprocessConfig, run: Run, written: Preprocessed) -> None:
    dataset = read_dataset(run, config.out, context="preprocess")
    shown = dataset.frame.sort_values("sha256").index[:SHEET_EYES].to_numpy()
    captions = [
        f"{eye.sex} {eye.age:.0f} {eye.eye}" for eye in dataset.frame.loc[shown].itertuples()
    ]
    sheet = sample_sheet(dataset.pixels(shown), captions)
    sheet.savefig(written.path / "sample_sheet.png")
    run.log_artifact(written.path / "sample_sheet.png")
    run.log_artifact(written.path / "dataset.json")
    run.log_artifact(written.path / "rejected.csv")
    run.log_metrics(
        {"kept": written.kept, "rejected": sum(written.rejected.values())}
        | {f"{split}_eyes": count for split, count in written.splits.items()}
    )
    counts = {"kept": written.kept} | {f"rejected: {k}": n for k, n in written.rejected.items()}
    show(pd.DataFrame({"eyes": list(counts), "count": list(counts.values())}))


if __name__ == "__main__":
    main()
