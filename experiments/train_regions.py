"""Entry point ``train_regions``: train what finds the parts of an eye, from photographs with marks.

part=landmarks reads a folder with anatomy.csv (image, and as fractions of the frame: disc_cx
disc_cy disc_w disc_h fovea_cx fovea_cy; empty where a part is not marked) and images/. Learns from
48 of 100 photographs and painted eyes, calibrates on 12, measures on 40 (by the digest of the
file's name), and writes OUT/landmarks.safetensors and OUT/landmarks.json. part=vessels reads drive/
and chase_db1/ as they are released, trains once without each to measure, and once on all. The same
command goes on where it was interrupted. Copy both files over those in fundus_ml/imaging/regions to
use them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from filelock import FileLock, Timeout

from experiments.running import console
from experiments.running.comma_lists import comma_list
from experiments.running.flags import run_entry_point
from experiments.running.options import ConsoleOptions
from experiments.running.places import place, user_path
from fundus_ml import region_training
from fundus_ml.errors import InputError, check_seed, refuse_outside

if TYPE_CHECKING:
    import tracking

LANDMARKS, VESSELS = "landmarks", "vessels"
LOCK = ".lock"
STARTS = ("imagenet", "packaged")
STAGES = {"cut out": "eye", "paint": "eye", "train": "step", "calibrate": "eye"}
RELEASES = ("drive", "chase")
USUAL = {"steps": (800, 2500), "batch_size": (16, 8), "lr": (0.002, 0.003)}
"""What 0 stands for: of landmarks, of vessels."""


@dataclass(frozen=True, kw_only=True)
class TrainRegionsConfig(ConsoleOptions):
    """Flags of ``train_regions``."""

    part: str = "landmarks"
    """What is trained: landmarks (optic disc, cup and fovea) or vessels."""
    marks: str
    """landmarks: folder with anatomy.csv and images/; vessels: with drive/ and chase_db1/."""
    out: str = "regions"
    """Folder for the weights and their card; also keeps the squares and the checkpoints."""
    sources: str = ""
    """landmarks: releases to learn from (column source), with commas between them; all when empty.
    Photographs of the others are only measured."""
    start: str = "imagenet"
    """landmarks: first weights: imagenet (a new network), or packaged (go on with those in use)."""
    steps: int = 0
    """Steps; 0 is 800 of landmarks and 2,500 of vessels, three times."""
    batch_size: int = 0
    """Eyes per step; 0 is 16 of landmarks, and 8 crops of vessels."""
    lr: float = 0.0
    """Largest learning rate; 0 is 0.002 of landmarks (a fifth in the trunk), 0.003 of vessels."""
    marked: float = 0.6
    """landmarks: share of the eyes that are photographs with marks; the others are painted."""
    patients: int = 500
    """landmarks: invented patients whose painted eyes are learned from; only they have cups."""
    variants: int = 12
    """landmarks: hard variants of each photograph that confidences are calibrated with."""
    checkpoint_minutes: float = 3.0
    """landmarks: minutes between checkpoints; vessels keep one every 500 steps."""
    seed: int = 0
    """Seed of first weights, painted eyes and variants."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        least = {"steps": 0, "batch_size": 0, "lr": 0, "marked": 0, "patients": 1, "variants": 1}
        refuse_outside(
            self,
            at_least=least | {"checkpoint_minutes": 0},
            one_of={"part": (LANDMARKS, VESSELS), "start": STARTS},
        )
        if self.marked > 1:
            raise InputError(f"marked={self.marked}: must be from 0 to 1")
        check_seed(self.seed)

    def chosen(self, name: str) -> float:
        """Value of ``steps``, ``batch_size`` or ``lr``: as given, or the usual one of the part."""
        return float(getattr(self, name) or USUAL[name][self.part == VESSELS])

    def landmark_training(self) -> "region_training.LandmarkTraining":
        """How the network of disc, cup and fovea is trained."""
        return region_training.LandmarkTraining(
            steps=int(self.chosen("steps")),
            batch_size=int(self.chosen("batch_size")),
            lr=self.chosen("lr"),
            marked=self.marked,
            minutes=self.checkpoint_minutes,
            seed=self.seed,
        )

    def vessel_training(self) -> "region_training.VesselTraining":
        """How each network of vessels is trained."""
        return region_training.VesselTraining(
            steps=int(self.chosen("steps")),
            batch_size=int(self.chosen("batch_size")),
            lr=self.chosen("lr"),
            seed=self.seed,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("train_regions", TrainRegionsConfig, train_regions, argv)


Trained: TypeAlias = "region_training.TrainedLandmarks | region_training.TrainedVessels"


def train_regions(config: TrainRegionsConfig, run: "tracking.Run") -> Trained:
    """Train, calibrate, measure; keep weights, card and figures on the run."""
    learn = _learn_vessels if config.part == VESSELS else _learn_landmarks
    marks, out = user_path(config.marks), place("out", config.out)
    with _alone(out):
        trained = learn(config, run, marks, out)
    run.log_metrics(trained.figures)
    for file in (trained.weights, trained.card):
        run.log_artifact(file)
    for name, value in trained.figures.items():
        console.say(f"{name}: {value:.3f}")
    console.say(f"weights: {trained.weights}")
    return trained


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Be the only training that writes squares and checkpoints into a folder."""
    lock = FileLock(out / LOCK, timeout=0)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(f"out={out}: another train_regions works there") from None
    except OSError as error:
        raise InputError(f"out={out}: cannot be written ({error.strerror})") from error
    try:
        yield
    finally:
        lock.release()


def _learn_vessels(
    config: TrainRegionsConfig, run: "tracking.Run", marks: Path, out: Path
) -> Trained:
    releases = {
        "drive": region_training.read_drive(marks / "drive"),
        "chase": region_training.read_chase(marks / "chase_db1"),
    }
    training = config.vessel_training()
    with console.stages(dict.fromkeys((*RELEASES, "+".join(RELEASES)), "step")) as on_progress:

        def on_step(learned: str, step: int, loss: float) -> None:
            on_progress(learned, step, training.steps)
            run.log_metrics({f"{learned.replace('+', '_')}_loss": loss}, step=step)

        return region_training.learn_vessels(releases, training, out, on_step=on_step)


def _learn_landmarks(
    config: TrainRegionsConfig, run: "tracking.Run", marks: Path, out: Path
) -> Trained:
    eyes = region_training.read_marks(marks)
    with console.stages(STAGES) as on_progress:
        return region_training.learn_landmarks(
            eyes,
            config.landmark_training(),
            out,
            patients=config.patients,
            variants=config.variants,
            sources=tuple(comma_list(config.sources)),
            packaged=config.start == "packaged",
            on_progress=on_progress,
            on_losses=lambda step, losses: run.log_metrics(losses, step=step),
            on_refused=lambda path, refused: console.warn(f"{path.name}: {refused}"),
        )


if __name__ == "__main__":
    main()
