"""Entry point ``average``: one network from the mean of several registered versions' weights.

Weights are averaged (all, or greedily by validation AUROC), BatchNorm statistics estimated anew on
the training split. The result is compared on the test split with each parent and with the mean of
their predictions, and registered with the alias ``candidate``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments import recording, running
from experiments.recording.options import ScoreOptions
from experiments.running import console
from experiments.running.addresses import addresses
from experiments.running.flags import run_entry_point
from experiments.running.identity import adopted
from experiments.running.options import ConsoleOptions
from fundus_ml import data, figures, model_selection
from fundus_ml.data.options import TRUE
from fundus_ml.errors import InputError, check_seed, refuse_outside
from fundus_ml.model_selection.options import METHODS
from fundus_ml.models.options import check_precision

if TYPE_CHECKING:
    import tracking

AVERAGE = "average"
ENSEMBLE = "mean of predictions"


@dataclass(frozen=True, kw_only=True)
class AverageConfig(ConsoleOptions):
    """Flags of ``average``."""

    models: str
    """Registered versions to average, two or more with commas between them."""
    dataset: str
    """Dataset folder, or several with commas between them."""
    method: str = "uniform"
    """uniform (all), or greedy (the best on validation, and each other that does not lower it)."""
    batch_size: int = 32
    """Eyes per pass."""
    precision: str = "auto"
    """Precision of the passes that estimate BatchNorm: auto, fp32, bf16 or fp16; scores are in
    fp32."""
    seed: int = 0
    """Seed of the order of the training eyes and of the bootstrap."""
    bootstrap: int = 2000
    """Resamples of people behind each interval."""
    register_as: str = "fundus-sex"
    """Name in the model registry."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        check_precision(self.precision)
        # BatchNorm needs two.
        refuse_outside(self, at_least={"batch_size": 2}, one_of={"method": METHODS})
        check_seed(self.seed)


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("average", AverageConfig, average, argv)


def average(config: AverageConfig, run: "tracking.Run") -> "tracking.ModelVersion | None":
    """Average versions, compare the result with them on the test split, register it.

    Returns:
        The new version; None where ``greedy`` kept one parent, which stands in the registry.
    """
    dataset = running.read_dataset_for(
        run, config.dataset, addresses(config.models), context="average", verify="full"
    )
    recording.check_splits(dataset, bootstrap=config.bootstrap)
    versions = running.read_versions(run, config.models)
    for version in versions.entries:
        learned = running.learned_labels(version)
        if learned != TRUE:
            raise InputError(f"models: {version.uri} learned {learned} labels; it is a control")
    running.possibly_trained_on(run, versions.entries, dataset, split="test")
    with console.progress("average", "eye") as on_step:
        averaged = model_selection.average_classifiers(
            versions.classifiers,
            dataset.split("train"),
            dataset.split("val"),
            method=config.method,
            batch_size=config.batch_size,
            precision=config.precision,
            seed=config.seed,
            on_step=on_step,
        )
    run.log_table(averaged.trail, "trail.json")
    run.set_tags({"averaged": ",".join(averaged.members)})
    if len(averaged.members) == 1:
        console.say(
            f"greedy keeps {averaged.members[0]} alone: no average with another reaches its "
            "validation AUROC; nothing new to register"
        )
        return None
    measured = _compared(config, run, averaged, versions, dataset)
    by_uri = {version.uri: version for version in versions.entries}
    parents = [by_uri[uri] for uri in averaged.members]
    return _registered(config, run, averaged, dataset, parents=parents, measured=measured)


def _compared(
    config: AverageConfig,
    run: "tracking.Run",
    averaged: "model_selection.Average",
    versions: "running.Versions",
    dataset: "data.FundusDataset",
) -> "recording.SplitScores":
    measured = recording.score_split(
        run,
        averaged.model,
        dataset,
        split="test",
        options=adopted(config, ScoreOptions),
        name=AVERAGE,
    )
    test = dataset.split("test")
    parents = running.score_all(versions.classifiers, test, batch_size=config.batch_size)
    ensemble = model_selection.mean_prediction([parents[uri] for uri in averaged.members])
    own = measured.predicted["logit"].to_numpy()
    table = model_selection.compare_scorers(
        test.frame,
        {AVERAGE: own, **parents, ENSEMBLE: ensemble},
        reference=AVERAGE,
        resamples=config.bootstrap,
        seed=config.seed,
    )
    run.log_table(table, "comparison.json")
    run.log_figure(
        figures.comparison_forest(table, reference=AVERAGE, eyes=f"test split of {dataset.name}"),
        "comparison.png",
    )
    console.table(table, final=True)
    return measured


def _registered(
    config: AverageConfig,
    run: "tracking.Run",
    averaged: "model_selection.Average",
    dataset: "data.FundusDataset",
    *,
    parents: "Sequence[tracking.ModelVersion]",
    measured: "recording.SplitScores",
) -> "tracking.ModelVersion":
    return recording.register_model(
        run,
        running.registered_name(config.register_as, dataset),
        averaged.model,
        metrics=measured.metrics,
        tags={
            "dataset_digest": dataset.digest,
            **measured.tags,
            **recording.contrast_tags(dataset.contrast),
            "recipe": "average",
            "method": config.method,
        },
        alias="candidate",
        parents=parents,
        eyes=dataset.frame,
        answers=dataset,
    )


if __name__ == "__main__":
    main()
