"""Entry point ``measure``: what an ophthalmologist would measure on every eye of a dataset.

Disc, vessels, macula and pigment become numbers, kept by photograph in the results database. Each
is compared between the two classes of a contrast, age held equal; a regression on the numbers alone
is set beside a network on the same eyes. Where the parts lie is read from the dataset folder
(preprocess -P regions=yes), or looked for on its squares. A measurement that was killed goes on at
its next batch when the same command is given again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from experiments import recording, running
from experiments.running import console
from experiments.running.flags import run_entry_point
from experiments.running.options import ConsoleOptions
from fundus_ml import biomarkers
from fundus_ml.data.options import Verify
from fundus_ml.errors import InputError, check_seed, refuse_outside

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    import tracking
    from fundus_ml.data.dataset import FundusDataset


@dataclass(frozen=True, kw_only=True)
class MeasureConfig(ConsoleOptions):
    """Flags of ``measure``."""

    WRITES_RESULTS: ClassVar[bool] = True

    dataset: str
    """Dataset folder, or several with commas between them."""
    contrast: str = "sex"
    """Question whose two answers are compared; what it may be: see train."""
    verify: Verify = "quick"
    """How the dataset is checked first: quick (table, sizes, a sample of eyes), or full (every
    byte)."""
    model: str = ""
    """Registered version to set beside the biomarkers; none if empty."""
    split: str = "test"
    """Split on which the network is compared, whose people it did not learn from: train, val or
    test. Biomarkers are compared on all eyes."""
    batch_size: int = 32
    """Eyes per pass of the network."""
    workers: int = 0
    """Processes that measure; 0 is one per core."""
    kept: str = ""
    """Folder of the unfinished measurement; checkpoints/measure-DIGEST, by its eyes, if empty."""
    bootstrap: int = 2000
    """Resamples of people behind each interval."""
    seed: int = 0
    """Seed of folds and bootstrap."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        check_seed(self.seed)
        refuse_outside(self, at_least={"bootstrap": 1, "workers": 0, "batch_size": 1})


@dataclass(frozen=True, kw_only=True)
class BiomarkerResults:
    """What a ``measure`` run found.

    Attributes:
        values: One row per eye, one column per biomarker.
        associations: One row per biomarker.
        scorers: AUROC of biomarkers, and of the network and both where one was named.
    """

    values: "pd.DataFrame"
    associations: "pd.DataFrame"
    scorers: "pd.DataFrame"


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("measure", MeasureConfig, measure, argv)


def measure(config: MeasureConfig, run: "tracking.Run") -> BiomarkerResults:
    """Measure every eye, record it, compare the classes."""
    dataset = running.read_dataset(
        run, config.dataset, context="measure", verify=config.verify, contrast=config.contrast
    )
    _check_people(config, dataset)
    network = _network(config, run, dataset)
    with running.measured_eyes(dataset, run, kept=config.kept, workers=config.workers) as measured:
        recording.record_rows(run, dataset, measured)
        return _compare(config, run, dataset, measured.frame, network)


def _compare(
    config: MeasureConfig,
    run: "tracking.Run",
    dataset: "FundusDataset",
    values: "pd.DataFrame",
    network: "NDArray[np.float64] | None",
) -> BiomarkerResults:
    """Compare the classes, and what biomarkers say of them with what the network says."""
    people = dataset.frame["person_group"]
    associations = biomarkers.associate(
        values,
        dataset.labels,
        groups=people,
        age=running.held_age(dataset),
        contrast=config.contrast,
        resamples=config.bootstrap,
        seed=config.seed,
    )
    scorers = biomarkers.compare_with_network(
        values,
        dataset.labels,
        people,
        network=network,
        resamples=config.bootstrap,
        seed=config.seed,
    )
    said = recording.record_associations(run, dataset, associations, scorers)
    console.table(associations[["biomarker", "eyes", "difference", "q", "direction", "reason"]])
    console.table(scorers, final=True)
    console.say(said)
    return BiomarkerResults(values=values, associations=associations, scorers=scorers)


def _check_people(config: MeasureConfig, dataset: "FundusDataset") -> None:
    """Refuse, before every eye is measured, what could not be compared in the end."""
    parts = {"": dataset}
    if config.model:
        parts[f"split={config.split}: "] = dataset.split(config.split)
    for named, eyes in parts.items():
        try:
            biomarkers.check_folds(eyes.labels, eyes.frame["person_group"])
        except InputError as error:
            raise InputError(f"{named}{error}") from None


def _network(
    config: MeasureConfig, run: "tracking.Run", dataset: "FundusDataset"
) -> "NDArray[np.float64] | None":
    """Logits of the named version on one split, NaN elsewhere; None where none is named."""
    if not config.model:
        return None
    asked = running.contrast_of(config.model)
    if asked != config.contrast:
        raise InputError(
            f"model={config.model}: answers {asked}, contrast={config.contrast} is asked; name a "
            "version that answers it"
        )
    running.check_part_of_eye(dataset, config.dataset, [config.model])
    running.check_classes(dataset, config.dataset, [config.model])
    classifier, version = running.read_model(run, config.model)
    running.possibly_trained_on(run, [version], dataset, split=config.split)
    return running.logits_on_split(
        classifier, dataset, split=config.split, batch_size=config.batch_size
    )


if __name__ == "__main__":
    main()
