"""Entry point ``preprocess``: photographs and a table become a dataset folder.

Reads a release (or draws synthetic eyes), finds each field of view, crops it to a centred square,
measures its quality, finds people who stand under several ids, splits by person, audits the result,
and writes the folder that every other entry point reads. Photographs that cannot be used are listed
in ``rejected.csv`` with their reason. A killed run goes on where it stopped when it is repeated.
With ``check`` it reads the table and the headers of the files, and says what it would do.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import fundus_ml
from experiments import recording, running
from experiments.running import console
from experiments.running.flags import run_entry_point
from experiments.running.options import ConsoleOptions
from experiments.running.places import out_place, refuse_overlap, user_path
from fundus_ml import data, figures, imaging, preprocessing, sources
from fundus_ml.errors import InputError
from fundus_ml.preprocessing.options import PreprocessingOptions
from fundus_ml.sources.options import NOT_HEALTHY, check_source
from fundus_ml.synthesis.options import Population

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    import tracking

SHEET_EYES = 40
CHANNELS = 4
"""Bytes of a pixel: red, green, blue, region."""
NOT_CONTENT = ("out", "check", "workers", "backend", "scheduler", "verbose")
"""Flags that move no byte of the dataset."""


@dataclass(frozen=True, kw_only=True)
class PreprocessConfig(PreprocessingOptions, ConsoleOptions):
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
    check: bool = False
    """Only say what would be kept and refused, and what could be asked; write no dataset."""
    hash_ids: str = ""
    """File of a secret salt (16 bytes or more): ids of people and photographs become hashes."""
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

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        check_source(self.source)
        if self.check and self.source == "synthetic":
            raise InputError("check=true: source=synthetic draws its eyes; there is no table")
        self.population()

    def population(self) -> Population:
        """Whom ``synthetic`` draws."""
        return Population(
            patients=self.patients,
            cue=self.cue,
            cue_strength=self.cue_strength,
            age_sex_shift=self.age_sex_shift,
            camera_sex_odds=self.camera_sex_odds,
            seed=self.seed,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("preprocess", PreprocessConfig, _prepare_or_check, argv)


def _prepare_or_check(config: PreprocessConfig, run: "tracking.Run") -> None:
    if config.check:
        check(config, run)
    else:
        prepare(config, run)


def check(config: PreprocessConfig, run: "tracking.Run") -> "preprocessing.Checked":
    """Say what :func:`prepare` would take and refuse; the run keeps it as ``check.txt``.

    Raises:
        InputError: No photograph would be read.
    """
    run.set_tags({"stage": "check"})
    _, photographs = _read(config, run)
    with _processes(config), console.stages({"check": "photograph"}) as on_progress:
        found = preprocessing.check_photographs(
            photographs, size=config.size, on_progress=partial(on_progress, "check")
        )
    for line in found.words:
        console.say(line)
    if config.healthy_only and found.refused["reason"].eq(NOT_HEALTHY).any():
        console.say(f"{NOT_HEALTHY}: healthy_only=false keeps them, as contrasts of findings need")
    run.log_text("\n".join(found.words) + "\n", "check.txt")
    run.log_text(found.refused.to_csv(index=False), "refused.csv")
    run.log_metrics({"would_be_read": len(found.kept), "refused": len(found.refused)})
    if found.kept.empty:
        advice = f": {photographs.advice}" if photographs.advice else ""
        raise InputError(f"source {photographs.name}: no eye is left{advice}")
    console.say("check=true: nothing is written; pixels, and so quality, were not looked at")
    return found


def prepare(config: PreprocessConfig, run: "tracking.Run") -> "preprocessing.Preprocessed":
    """Read a release, write its dataset folder, record both."""
    out, photographs = _read(config, run)
    recipe = {name: value for name, value in asdict(config).items() if name not in NOT_CONTENT}
    if photographs.assumed:
        recipe["assumed"] = list(photographs.assumed)
    with (
        _processes(config),
        console.stages({"read": "eye", "compare": "eye", "audit": "step"}) as on_progress,
    ):
        written = preprocessing.preprocess(
            photographs,
            out,
            config,
            recipe=recipe,
            on_progress=on_progress,
        )
    _record(config, run, written)
    return written


def _read(config: PreprocessConfig, run: "tracking.Run") -> tuple[Path, "data.Photographs"]:
    """Read the rows of the release, say what was assumed, and see that there is room for it."""
    out = out_place(config.out)
    if config.source != "synthetic":
        refuse_overlap("out", out, "root", config.root)
    salt = sources.read_salt(user_path(config.hash_ids)) if config.hash_ids else b""
    with _unnamed(config, "why the release is not read"):
        photographs = sources.read_release(
            config.source,
            config.root,
            table=config.table,
            name=config.name,
            healthy_only=config.healthy_only,
            population=config.population(),
        )
    if salt:
        with _unnamed(config, "which masks do not fit"):
            preprocessing.drawn_masks(config.regions, photographs)
        photographs = sources.pseudonymised(photographs, salt)
    running.check_space([_space(out, config, len(photographs.table))])
    for line in photographs.assumed:
        console.warn(f"assumed: {line}")
    if photographs.assumed:
        run.set_tags({"assumed": "; ".join(photographs.assumed)})
    return out, photographs


@contextmanager
def _unnamed(config: PreprocessConfig, what: str) -> Iterator[None]:
    """Tell the user an error that may name people, and keep it out of a run of hashed ids."""
    try:
        yield
    except InputError as error:
        if not config.hash_ids:
            raise
        console.warn(str(error))
        raise InputError(
            f"hash_ids: the line above says {what}; it may name people, so the run does not keep it"
        ) from None


def _processes(config: PreprocessConfig) -> AbstractContextManager[None]:
    return fundus_ml.parallel.processes(
        workers=config.workers, backend=config.backend, scheduler=config.scheduler
    )


def _space(out: Path, config: PreprocessConfig, eyes: int) -> "running.Space":
    """What the dataset takes while it is written: the eyes read so far, and the whole folder."""
    described = math.prod(imaging.FEATURE_SHAPE) if config.same_person else 0
    return running.Space(out, 2 * eyes * (config.size**2 * CHANNELS + described))


def _record(
    config: PreprocessConfig, run: "tracking.Run", written: "preprocessing.Preprocessed"
) -> None:
    dataset = running.read_dataset(run, str(written.path), context="preprocess", verify="quick")
    pictures = {
        "sample_sheet.png": _sample(dataset),
        "quality.png": figures.quality_distribution(dataset.frame, min_quality=config.min_quality),
    }
    for name, figure in pictures.items():
        figure.savefig(written.path / name)
    for name in (
        *pictures,
        "dataset.json",
        "rejected.csv",
        preprocessing.SAME_PERSON,
        preprocessing.SAME_EYES,
    ):
        if (written.path / name).is_file():
            run.log_artifact(written.path / name)
    recording.log_audit(run, written.audit)
    recording.log_found_regions(run, dataset, written.path)
    run.log_metrics(
        {
            "kept": written.kept,
            "rejected": sum(written.rejected.values()),
            "resumed": written.resumed,
            "same_eye_pairs": len(written.same_eye),
        }
        | {f"{split}_eyes": count for split, count in written.splits.items()}
    )
    if written.masks:
        drawn = ", ".join(f"{count} {part}" for part, count in written.masks.items())
        console.say(f"masks that people drew: {drawn}")
    reasons = ", ".join(f"{count} {reason}" for reason, count in written.rejected.items())
    console.say(f"kept {written.kept} eyes, rejected {reasons or 'none'}")
    for verdict in written.audit.verdicts:
        console.remark(verdict)
    console.say(
        f"shortcut baseline {written.audit.shortcut_baseline:.3f} "
        f"({written.audit.shortcut_baseline_by}): {written.path / 'audit.html'}"
    )


def _sample(dataset: "data.FundusDataset") -> "Figure":
    shown = dataset.frame.sort_values("sha256").index[:SHEET_EYES].to_numpy()
    captions = [
        f"{eye.sex} {eye.age:.0f} {eye.eye}" for eye in dataset.frame.loc[shown].itertuples()
    ]
    return figures.sample_sheet(dataset.pixels(shown), captions)


if __name__ == "__main__":
    main()
