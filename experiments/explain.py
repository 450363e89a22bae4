"""Entry point ``explain``: every explanation method on the same eyes, scored.

Where does a network look, according to whom? Gradients, CAMs, occlusion, XRAI and modulation make
maps of the same eyes; each map is scored for faithfulness (do the pixels it names matter?), for
sanity (does it notice that the network was randomised?) and, where the parts of the eye are known,
for place, beside controls that ask no network. A run that was killed goes on at its next method
when the same command is given again.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from experiments import recording, running
from experiments.running import console
from experiments.running.flags import run_entry_point
from experiments.running.options import ConsoleOptions
from fundus_ml import attribution, faithfulness
from fundus_ml.attribution.options import AttributionOptions
from fundus_ml.data.options import Verify
from fundus_ml.errors import refuse_outside

if TYPE_CHECKING:
    import pandas as pd

    import tracking


@dataclass(frozen=True, kw_only=True)
class ExplainConfig(AttributionOptions, ConsoleOptions):
    """Flags of ``explain``."""

    WRITES_RESULTS: ClassVar[bool] = True

    dataset: str
    """Dataset folder, or several with commas between them."""
    verify: Verify = "quick"
    """How the dataset is checked first: quick (table, sizes, a sample of eyes), or full (every
    byte)."""
    model: str = "models:/fundus-sex@robust"
    """Registered version to explain; several of one contrast with commas between them are explained
    on the same eyes."""
    split: str = "test"
    """Split the eyes come from: train, val or test."""
    images: int = 24
    """Eyes to explain, one per person, the classes balanced."""
    methods: str = "auto"
    """Methods with commas between them; auto is every one that the network can serve."""
    sanity_images: int = 8
    """Eyes, the first of them, on which each method is also asked about a randomised network, noisy
    copies and other seeds; 0 leaves these scores out."""
    levels: int = 16
    """Steps of a deletion or insertion curve."""
    patch: int = 8
    """Side of the square patches that sensitivity-n and infidelity remove, pixels."""
    subsets: int = 32
    """Random subsets of patches behind sensitivity-n and infidelity."""
    kept: str = ""
    """Folder of the unfinished run; checkpoints/explain-DIGEST, by its flags, if empty."""
    bootstrap: int = 2000
    """Resamples of people behind each interval."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        refuse_outside(self, at_least={"bootstrap": 1, "images": 1, "sanity_images": 0})
        running.methods_of(self.methods)


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("explain", ExplainConfig, explain_eyes, argv)


def explain_eyes(config: ExplainConfig, run: "tracking.Run") -> "dict[str, pd.DataFrame]":
    """Explain chosen eyes by every method and version, score the maps, tie all to the version.

    Returns:
        By version, one row per method, score and part.
    """
    uris = running.comma_list(config.model, flag="model")
    methods = running.methods_of(config.methods)
    split = running.read_dataset_for(
        run, config.dataset, uris, context="explain", verify=config.verify
    ).split(config.split)
    networks = running.read_explained(run, uris)
    eyes = running.explained_eyes(split, images=config.images, seed=config.seed)
    attributions = running.adopted(config, attribution.AttributionOptions)
    scoring = running.adopted(config, faithfulness.FaithfulnessOptions)
    found = {}
    with (
        running.kept_explanations(config.kept, attributions, eyes, networks, run) as kept,
        tempfile.TemporaryDirectory() as made,
    ):
        for place, (classifier, version) in enumerate(networks):
            maps = running.explain(
                classifier, eyes, methods, attributions,
                keep=running.maps_kept(kept, place), version=version.uri,
            )  # fmt: skip
            record = recording.ExplanationRecord(
                eyes=eyes,
                maps=maps,
                scores=running.scored_maps(
                    classifier, eyes, maps, scoring, attributions,
                    sanity_images=config.sanity_images,
                ),
                contrast=split.contrast.name,
                split=config.split,
                seed=config.seed,
                bootstrap=config.bootstrap,
            )  # fmt: skip
            compared = recording.compare_methods(record)
            folder = running.make_folder(str(Path(made) / str(place)))
            recording.record_explanations(run, version, record, compared, folder, further=place > 0)
            for table in (compared.known, compared.literature):
                if len(table):
                    console.table(table, final=table is compared.known)
            console.say(f"{version.uri}: {compared.conclusion}")
            found[version.uri] = compared.scores
    return found


if __name__ == "__main__":
    main()
