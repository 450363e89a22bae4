"""Entry point ``train_regions``: train what finds the parts of an eye, from photographs with marks.

Reads a folder with anatomy.csv (image, and as fractions of the frame: disc_cx disc_cy disc_w disc_h
fovea_cx fovea_cy; empty where a part is not marked) and images/. Learns from 48 of 100 photographs
and painted eyes, calibrates on 12, measures on 40 (by the digest of the file's name), and writes
OUT/landmarks.safetensors and OUT/landmarks.json. The same command goes on where it was interrupted.
Copy both files over those in fundus_ml/imaging/regions to use them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.running import console
from experiments.running.flags import run_entry_point
from experiments.running.options import ConsoleOptions
from fundus_ml import region_training
from fundus_ml.errors import InputError, check_seed, refuse_outside

if TYPE_CHECKING:
    import tracking

TRAINED = ("landmarks",)
STARTS = ("imagenet", "packaged")
STAGES = {"cut out": "eye", "paint": "eye", "train": "step", "calibrate": "eye"}


@dataclass(frozen=True, kw_only=True)
class TrainRegionsConfig(ConsoleOptions):
    """Flags of ``train_regions``."""

    part: str = "landmarks"
    """What is trained: landmarks (optic disc, cup and fovea)."""
    marks: str
    """Folder with anatomy.csv and images/."""
    out: str = "regions"
    """Folder for the weights and their card; also keeps the squares and the checkpoints."""
    sources: str = ""
    """Releases to learn from (column source), with commas between them; all when empty. Photographs
    of the others are only measured."""
    start: str = "imagenet"
    """First weights: imagenet (a new network), or packaged (go on with the one that is in use)."""
    steps: int = 800
    """Steps; the last third sees squares of 256 pixels, those before it of 192."""
    batch_size: int = 16
    """Eyes per step."""
    lr: float = 0.002
    """Largest learning rate of the decoder; the trunk gets a fifth."""
    marked: float = 0.6
    """Share of the eyes that are photographs with marks; the others are painted."""
    patients: int = 500
    """Invented patients whose painted eyes are learned from; they alone have known cups."""
    variants: int = 12
    """Hard variants of each photograph that confidences are calibrated with."""
    checkpoint_minutes: float = 3.0
    """Minutes between checkpoints."""
    seed: int = 0
    """Seed of first weights, painted eyes and variants."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        least = {"steps": 1, "batch_size": 1, "lr": 0, "marked": 0, "patients": 1, "variants": 1}
        refuse_outside(
            self,
            at_least=least | {"checkpoint_minutes": 0},
            one_of={"part": TRAINED, "start": STARTS},
        )
        if self.marked > 1:
            raise InputError(f"marked={self.marked}: must be from 0 to 1")
        check_seed(self.seed)

    def training(self) -> "region_training.LandmarkTraining":
        """How the network is trained."""
        return region_training.LandmarkTraining(
            steps=self.steps,
            batch_size=self.batch_size,
            lr=self.lr,
            marked=self.marked,
            minutes=self.checkpoint_minutes,
            seed=self.seed,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("train_regions", TrainRegionsConfig, train_regions, argv)


def train_regions(
    config: TrainRegionsConfig, run: "tracking.Run"
) -> "region_training.TrainedLandmarks":
    """Train, calibrate, measure; keep weights, card and figures on the run."""
    marks = region_training.read_marks(Path(config.marks))
    with console.stages(STAGES) as on_progress:
        trained = region_training.learn_landmarks(
            marks,
            config.training(),
            Path(config.out),
            patients=config.patients,
            variants=config.variants,
            sources=tuple(config.sources.split(",")) if config.sources else (),
            packaged=config.start == "packaged",
            on_progress=on_progress,
            on_losses=lambda step, losses: run.log_metrics(losses, step=step),
        )
    run.log_metrics(trained.figures)
    for file in (trained.weights, trained.card):
        run.log_artifact(file)
    for name, value in trained.figures.items():
        console.say(f"{name}: {value:.3f}")
    console.say(f"weights: {trained.weights}")
    return trained


if __name__ == "__main__":
    main()
