"""Entry point ``modulate``: push real eyes towards a sex and measure what changed.

Targeted gradient steps move each chosen eye inside each budget. Every picture is saved as an 8-bit
PNG and scored again from that file; pictures, curves and rows are tied to the registered version
that made them.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.protocol.modulation_record import ModulationRecord, record_modulation
from experiments.protocol.parameters import Numbers, StepLength, run_entry_point
from experiments.protocol.session import progress, read_dataset, read_model, show
from fundus_ml.effects import effect_by_eps, effect_rows
from fundus_ml.modulation import ModulationOptions, choose_eyes, modulate, write_pictures
from fundus_ml.region_shares import density_by_part, region_shares
from tracking.runs import Run


@dataclass(frozen=True, kw_only=True)
class ModulateConfig(ModulationOptions):
    """Flags of ``modulate``."""

    dataset: str
    """Dataset folder, or several with commas between them."""
    model: str = "models:/fundus-sex@robust"
    """Registered version whose gradient pushes the eyes."""
    split: str = "test"
    """Split the eyes come from: train, val or test."""
    images: int = 24
    """Eyes to modulate, one per person, the sexes balanced."""
    eps: Numbers = Numbers("1,2,4,8,16")  # noqa: RUF009 (immutable)
    """Budgets with commas between them, each from the unchanged eye; pixels lie in [0, 1]."""
    attack_steps: int = 40
    """Gradient steps per budget."""
    step_size: StepLength = "auto"
    """Length of one step; auto is 2.5·eps/attack_steps."""
    seed: int = 0
    """Of the choice of eyes and of the bootstrap."""
    bootstrap: int = 2000
    """Resamples of people behind each interval."""


@dataclass(frozen=True, kw_only=True)
class Modulated:
    """What a ``modulate`` run found.

    Attributes:
        effect: Success and P(target) by budget.
        density: Density by budget and part; empty where the dataset has no region maps.
    """

    effect: pd.DataFrame
    density: pd.DataFrame


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("modulate", ModulateConfig, modulate_eyes, argv)


def modulate_eyes(config: ModulateConfig, run: Run) -> Modulated:
    """Modulate chosen eyes, measure the change from the saved pictures, tie all to the version."""
    dataset = read_dataset(run, config.dataset, context="modulate").split(config.split)
    classifier, version = read_model(run, config.model)
    chosen = choose_eyes(dataset.frame, images=config.images, mode=config.mode, seed=config.seed)
    eyes = dataset.select(chosen)
    image_ids = eyes.frame["image_id"].tolist()
    everyone = np.arange(len(eyes))
    pixels, regions = eyes.pixels(everyone), eyes.regions(everyone)
    with progress("modulate", "picture") as on_step:
        modulated = modulate(classifier, pixels, eyes.labels, config, on_step=on_step)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_pictures(modulated, image_ids, config.eps, Path(folder) / "pictures")
        effects = effect_rows(classifier, pixels, eyes.frame, paths, config)
        effect = effect_by_eps(effects, resamples=config.bootstrap, seed=config.seed)
        shares = region_shares(pixels, modulated, regions, image_ids=image_ids, eps=config.eps)
        density = density_by_part(shares, eyes.frame, resamples=config.bootstrap, seed=config.seed)
        record = ModulationRecord(
            eyes=eyes.frame,
            pixels=pixels,
            regions=regions,
            modulated=modulated,
            effects=effects.assign(region="whole", seed=config.seed, dataset_digest=dataset.digest),
            effect=effect,
            shares=shares,
            density=density,
        )
        record_modulation(run, version, record, Path(folder))
    show(effect)
    return Modulated(effect=effect, density=density)


if __name__ == "__main__":
    main()
