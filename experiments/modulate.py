"""Entry point ``modulate``: push real eyes towards a class and measure what changed.

How small a change makes the network see the other class, where does it go, and is it more than a
control would show? Targeted gradient steps move each chosen eye along rising budgets. Every picture
is saved as an 8-bit PNG and scored again from that file, by the network and by an independent
evaluator; controls of the same length, and networks that should fail, stand beside it. A modulation
that was killed goes on at its next batch when the same command is given again.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from experiments import recording, running
from experiments.running import console
from experiments.running.flags import Numbers, StepCount, StepLength, run_entry_point
from experiments.running.identity import identity_of
from experiments.running.options import ConsoleOptions
from fundus_ml import data, modulation, pages
from fundus_ml.data.options import Verify
from fundus_ml.errors import check_seed

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    import tracking

MOVES_NOTHING = frozenset(
    {
        "dataset", "verify", "model", "evaluator", "clean_model", "null_model", "controls", "atlas",
        "disc_ring", "ensemble", "kept", "bootstrap", "verbose",
    }
)  # fmt: skip
"""Flags that do not decide what the networks make; eyes and versions count by content."""


@dataclass(frozen=True, kw_only=True)
class ModulateConfig(modulation.ModulationOptions, ConsoleOptions):
    """Flags of ``modulate``."""

    WRITES_RESULTS: ClassVar[bool] = True

    dataset: str
    """Dataset folder, or several with commas between them."""
    verify: Verify = "quick"
    """How the dataset is checked first: quick (table, sizes, a sample of eyes), or full (every
    byte)."""
    model: str = "models:/fundus-sex@robust"
    """Registered version whose gradient pushes the eyes; replicates of one training with commas
    between them all do, which gives success and enrichment intervals over people and networks.
    Pictures and rows are those of the first."""
    split: str = "test"
    """Split the eyes come from: train, val or test."""
    images: int = 24
    """Eyes to modulate, one per person, the classes balanced."""
    eps: Numbers = Numbers("1,2,4,8,16")  # noqa: RUF009 (immutable)
    """Budgets with commas between them, rising, each going on from the one before; pixels lie in
    [0, 1]."""
    attack_steps: StepCount = "auto"
    """Gradient steps at each budget; auto is 20."""
    step_size: StepLength = "auto"
    """Length of one step. With auto each is shorter than the last, and all of one budget add up to
    2.5·eps less 1.25 times the budget before, which the path has behind it."""
    region: str = "whole"
    """Where the eyes may change: whole, a structure of the region maps (disc, macula, vessels,
    periphery, retina), several (disc+vessels), or a PNG mask."""
    min_norm_regions: str = "auto"
    """Regions with commas between them: the minimal perturbation norm is also searched where only
    that region may change; auto is disc,macula,vessels,periphery where there are region maps, none
    nowhere."""
    min_norm_shams: bool = True
    """Search the minimal perturbation norm also in a sham of each of those regions (disc, macula,
    vessels): a place of its shape where no structure lies."""
    disc_ring: bool = False
    """Account for the change also in the ring half a disc diameter around the disc, where the
    atrophy of pathologic myopia lies; it overlaps the other parts of the retina."""
    evaluator: str = ""
    """Independent evaluator: registered version, trained independently, that scores every picture
    again."""
    clean_model: str = ""
    """Control: registered version not trained to be robust, which makes pictures too."""
    null_model: str = ""
    """Null models: registered versions trained with labels=shuffled, with commas between them,
    which make pictures too; several give a null distribution. Versions that learned another real
    label (labels=eye, age …) stand beside them under their own names."""
    ensemble: bool = False
    """Push the eyes also by the mean logit of all versions of model and clean_model together."""
    controls: bool = True
    """Also change the eyes by the same length along one gradient of the model (gradient squared,
    smoothgrad squared) and in directions that ask no network."""
    atlas: bool = False
    """Also average the changes over eyes registered by disc and fovea, test every pixel, and
    measure the biomarkers of each picture and of every eye of the split, at the largest budget."""
    kept: str = ""
    """Folder of the unfinished modulation; checkpoints/modulate-DIGEST, by its flags, if empty."""
    seed: int = 0
    """Seed of the choice of eyes, the controls and the bootstrap."""
    bootstrap: int = 2000
    """Resamples of people behind each interval."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        check_seed(self.seed)


@dataclass(frozen=True, kw_only=True)
class Modulated:
    """What a ``modulate`` run found.

    Attributes:
        effect: Success and P(target) by budget.
        enrichment: Enrichment by budget and part; empty where the dataset has no region maps.
        controls: The modulation beside its controls.
    """

    effect: "pd.DataFrame"
    enrichment: "pd.DataFrame"
    controls: "pd.DataFrame"


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("modulate", ModulateConfig, modulate_eyes, argv)


def modulate_eyes(config: ModulateConfig, run: "tracking.Run") -> Modulated:
    """Modulate chosen eyes, measure the change from the saved pictures, tie all to the version."""
    named = running.named_versions(config)
    split = running.read_dataset_for(
        run, config.dataset, [*chain(*named.values())], context="modulate", verify=config.verify
    ).split(config.split)
    networks = running.read_networks(run, config)
    eyes = running.choose(config, split, networks.model.module, run)
    registered = running.registered_for_atlas(eyes, start=config.start) if config.atlas else None
    identity = identity_of(config, ignoring=MOVES_NOTHING) | eyes.identity | networks.identity
    with (
        running.kept_pictures(config.kept, identity, run, datasets=split.paths) as kept,
        tempfile.TemporaryDirectory() as made,
    ):
        pushed = _push(config, networks, eyes, kept)
        folder = Path(made)
        image_ids = eyes.frame["image_id"].tolist()
        paths = modulation.write_pictures(
            eyes.chosen.pixels,
            pushed[modulation.MODULATION].modulated,
            image_ids,
            config.eps,
            folder / "pictures",
        )
        record = _record(config, networks, eyes, pushed, paths)
        if registered is not None:
            shown = running.measured_atlas(
                record.evaluator,
                registered,
                {condition: each.modulated[-1] for condition, each in pushed.items()},
                split=split,
                run=run,
                resamples=config.bootstrap,
                seed=config.seed,
            )
            told = recording.record_atlas(
                run, shown, folder, classes=split.contrast.classes, eps=config.eps[-1]
            )
            console.say(told)
        recording.record_modulation(run, networks.model.version, record, folder)
    _print(record)
    enrichment = record.compared.enrichment
    return Modulated(
        effect=record.effect,
        enrichment=enrichment[enrichment["condition"] == modulation.MODULATION],
        controls=record.compared.controls,
    )


def _push(
    config: ModulateConfig, networks: "running.Networks", eyes: "running.ModulatedEyes", kept: Path
) -> "dict[str, modulation.ModulationResult]":
    """Have the model, and every other network that makes pictures, modulate the same eyes."""
    pushed = {}
    for condition, network in networks.modules.items():
        with console.progress(condition, "eye") as on_step:
            pushed[condition] = modulation.push(
                network,
                eyes.chosen,
                config,
                keep=running.batches_of(kept, condition),
                on_step=on_step,
            )
    return pushed


def _record(
    config: ModulateConfig,
    networks: "running.Networks",
    eyes: "running.ModulatedEyes",
    pushed: "dict[str, modulation.ModulationResult]",
    paths: "Sequence[Sequence[Path]]",
) -> "recording.ModulationRecord":
    """Measure the saved pictures and every control, and set them side by side."""
    evaluator = _evaluator(config, networks, eyes)
    pictures = {condition: each.modulated for condition, each in pushed.items()}
    pictures[modulation.MODULATION] = modulation.read_pictures(paths)
    found = _measure(config, evaluator, networks, pushed, pictures, split=eyes.split)
    transfers = _transfers(networks, evaluator, pictures, found)
    matrix = modulation.transfer_matrix(transfers, resamples=config.bootstrap, seed=config.seed)
    compared = modulation.compare_conditions(
        evaluator, found, resamples=config.bootstrap, seed=config.seed
    )
    effect = modulation.effect_by_eps(
        found[modulation.MODULATION].effects, resamples=config.bootstrap, seed=config.seed
    )
    success, located = modulation.over_networks(
        {condition: each.effects for condition, each in found.items()},
        {condition: each.shares for condition, each in found.items()},
        eyes.frame,
        resamples=config.bootstrap,
        seed=config.seed,
    )
    return recording.ModulationRecord(
        evaluator=evaluator,
        modulated=pushed[modulation.MODULATION].modulated,
        pictures=[path for row in paths for path in row],
        seed=config.seed,
        bootstrap=config.bootstrap,
        dataset_digest=eyes.split.digest,
        found=found,
        compared=compared,
        effect=effect,
        transfers=transfers,
        matrix=matrix,
        success_over_networks=success,
        enrichment_over_networks=located,
        independent=None if networks.evaluator is None else networks.evaluator.version,
        other=_clean_pictures(networks, pushed, found),
    )


def _evaluator(
    config: ModulateConfig, networks: "running.Networks", eyes: "running.ModulatedEyes"
) -> "modulation.Evaluator":
    """Make what measures saved pictures, and the independent network that scores them again."""
    return modulation.Evaluator(
        eyes=eyes.frame,
        regions=eyes.regions,
        chosen=eyes.chosen,
        options=config,
        independent=None if networks.evaluator is None else networks.evaluator.module,
        classes=eyes.split.contrast.classes,
        disc_ring=config.disc_ring,
    )


def _measure(
    config: ModulateConfig,
    evaluator: "modulation.Evaluator",
    networks: "running.Networks",
    pushed: "dict[str, modulation.ModulationResult]",
    pictures: "dict[str, NDArray[np.uint8]]",
    *,
    split: "data.FundusDataset",
) -> "dict[str, modulation.Measurements]":
    """Measure the saved pictures, and those of every control, by condition."""
    model, *others = networks.modules
    found = {
        model: evaluator.measure(networks.model.module, pictures[model], pushed[model].min_norms)
    }
    lengths = found[model].effects["l2"].to_numpy().reshape(len(config.eps), -1)
    if config.controls:
        found |= dict(
            modulation.saliency_controls(
                evaluator, networks.model.module, lengths, seed=config.seed
            )
        )
    for condition in others:
        found[condition] = evaluator.measure(
            networks.modules[condition], pictures[condition], pushed[condition].min_norms
        )
    if config.controls:
        for condition, made in modulation.same_length_controls(
            evaluator, split, lengths, seed=config.seed
        ):
            found[condition] = evaluator.measure(networks.model.module, made)
    return found


def _transfers(
    networks: "running.Networks",
    evaluator: "modulation.Evaluator",
    pictures: "dict[str, NDArray[np.uint8]]",
    found: "dict[str, modulation.Measurements]",
) -> "pd.DataFrame":
    """Ask every network what it sees in the pictures of every other."""
    with console.progress("transfer matrix", "pair of networks") as on_step:
        return modulation.transfer_rows(
            networks.modules,
            pictures,
            {condition: each.effects for condition, each in found.items()},
            evaluator.chosen.target,
            batch_size=evaluator.options.batch_size,
            on_step=on_step,
        )


def _clean_pictures(
    networks: "running.Networks",
    pushed: "dict[str, modulation.ModulationResult]",
    found: "dict[str, modulation.Measurements]",
) -> "pages.OtherVersion | None":
    """What the clean model made of the same eyes, and what it sees in it."""
    clean = networks.controls.get(modulation.CLEAN_MODEL)
    if clean is None:
        return None
    return pages.OtherVersion(
        name=f"{modulation.CLEAN_MODEL}, {clean.version.uri}",
        modulated=pushed[modulation.CLEAN_MODEL].modulated,
        effects=found[modulation.CLEAN_MODEL].effects,
    )


def _print(record: "recording.ModulationRecord") -> None:
    """Print the effect of the modulation; with ``verbose`` every other table too."""
    compared = record.compared
    console.table(record.effect, final=True)
    for table in (compared.controls, compared.null, compared.confined, record.matrix):
        console.table(table)
    console.table(modulation.beyond_one_gradient(compared.differences))
    console.say(record.conclusion)


if __name__ == "__main__":
    main()
