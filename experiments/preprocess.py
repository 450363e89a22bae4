"""Entry point ``preprocess``: photographs and a table become a dataset folder.

Reads a release (or draws synthetic eyes), finds each field of view, crops it to a centred square,
measures its quality, finds people who stand under several ids, splits by person, audits the result,
and writes the folder that every other entry point reads. Photographs that cannot be used are listed
in ``rejected.csv`` with their reason. A killed run goes on where it stopped when it is repeated.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from experiments.recording.shortcut_baseline import log_audit
from experiments.running.flags import run_entry_point
from experiments.running.places import out_place, refuse_overlap
from experiments.running.preflight import Space, check_space
from experiments.running.session import read_dataset, show, stages
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.figures import quality_distribution, sample_sheet
from fundus_ml.imaging.keypoints import FEATURE_SHAPE
from fundus_ml.parallel import processes
from fundus_ml.preprocessing.dataset import Preprocessed, preprocess
from fundus_ml.preprocessing.joining import SAME_EYES, SAME_PERSON
from fundus_ml.preprocessing.options import PreprocessingOptions
from fundus_ml.sources.releases import read_release
from fundus_ml.synthesis.population import Population
from tracking.runs import Run

SHEET_EYES = 40
CHANNELS = 4
"""Bytes of a pixel: red, green, blue, region."""
NOT_CONTENT = ("out", "workers", "backend", "scheduler")
"""Flags that move no byte of the dataset."""


@dataclass(frozen=True, kw_only=True)
class PreprocessConfig(PreprocessingOptions):
    """Flags of ``preprocess``."""

    source: str = "synthetic"
    """Release to read: synthetic, odir, brset, mbrset, papila or folder."""
    root: str = ""
    """Folder of the release (folder: a table and photographs)."""
    table: str = "labels.csv"
    """folder: file name of the table (columns file, patient_id, sex; optional eye, age, camera)."""
    name: str = "folder"
    """folder: stands before every id; give each release of one composite its own."""
    out: str = "data/synthetic"
    """Dataset folder to write; an older dataset there is replaced once the new one is whole."""
    healthy_only: bool = True
    """Keep only eyes that the release calls healthy (see docs/data.md); not synthetic, folder."""
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
    workers: int = 0
    """Processes of this machine; 0 is one per core."""
    backend: str = "loky"
    """loky (this machine) or dask (a cluster whose workers see the same files)."""
    scheduler: str = ""
    """dask: address of its scheduler, such as tcp://host:8786."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("preprocess", PreprocessConfig, prepare, argv)


def prepare(config: PreprocessConfig, run: Run) -> Preprocessed:
    """Read a release, write its dataset folder, record both."""
    out = out_place(config.out)
    if config.source != "synthetic":
        refuse_overlap("out", out, "root", config.root)
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
    check_space([_space(out, config, len(photographs.table))])
    recipe = {name: value for name, value in asdict(config).items() if name not in NOT_CONTENT}
    if photographs.assumed:
        _say(photographs.assumed, run)
        recipe["assumed"] = list(photographs.assumed)
    with (
        processes(workers=config.workers, backend=config.backend, scheduler=config.scheduler),
        stages({"read": "eye", "compare": "eye", "audit": "step"}) as on_progress,
    ):
        written = preprocess(
            photographs,
            out,
            config,
            recipe=recipe,
            on_progress=on_progress,
        )
    _record(config, run, written)
    return written


def _say(assumed: Sequence[str], run: Run) -> None:
    for line in assumed:
        sys.stderr.write(f"assumed: {line}\n")
    run.set_tags({"assumed": "; ".join(assumed)})


def _space(out: Path, config: PreprocessConfig, eyes: int) -> Space:
    """What the dataset takes while it is written: the eyes read so far, and the whole folder."""
    described = math.prod(FEATURE_SHAPE) if config.same_person else 0
    return Space(out, 2 * eyes * (config.size**2 * CHANNELS + described))


def _record(config: PreprocessConfig, run: Run, written: Preprocessed) -> None:
    dataset = read_dataset(run, str(written.path), context="preprocess", verify="quick")
    figures = {
        "sample_sheet.png": _sample(dataset),
        "quality.png": quality_distribution(dataset.frame, min_quality=config.min_quality),
    }
    for name, figure in figures.items():
        figure.savefig(written.path / name)
    for name in (*figures, "dataset.json", "rejected.csv", SAME_PERSON, SAME_EYES):
        if (written.path / name).is_file():
            run.log_artifact(written.path / name)
    log_audit(run, written.audit)
    run.log_metrics(
        {
            "kept": written.kept,
            "rejected": sum(written.rejected.values()),
            "resumed": written.resumed,
            "same_eye_pairs": len(written.same_eye),
        }
        | {f"{split}_eyes": count for split, count in written.splits.items()}
    )
    counts = {"kept": written.kept} | {f"rejected: {k}": n for k, n in written.rejected.items()}
    show(pd.DataFrame({"eyes": list(counts), "count": list(counts.values())}))
    sys.stdout.write(f"audit: {written.path / 'audit.html'}\n")


def _sample(dataset: FundusDataset) -> Figure:
    shown = dataset.frame.sort_values("sha256").index[:SHEET_EYES].to_numpy()
    captions = [
        f"{eye.sex} {eye.age:.0f} {eye.eye}" for eye in dataset.frame.loc[shown].itertuples()
    ]
    return sample_sheet(dataset.pixels(shown), captions)


if __name__ == "__main__":
    main()
