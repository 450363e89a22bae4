"""Entry point ``compare``: two registered versions on the same eyes.

Both score every eye of a split. Their difference in AUROC comes with its 95 % interval from people
resampled for both together, per eye and per person, and in words: what it shows and what not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments import running
from experiments.running import console
from experiments.running.addresses import addresses
from experiments.running.flags import run_entry_point
from experiments.running.options import ConsoleOptions
from fundus_ml import evaluation, figures, model_selection
from fundus_ml.data.options import Verify
from fundus_ml.errors import check_seed

if TYPE_CHECKING:
    import pandas as pd

    import tracking


@dataclass(frozen=True, kw_only=True)
class CompareConfig(ConsoleOptions):
    """Flags of ``compare``."""

    dataset: str
    """Dataset folder, or several with commas between them."""
    verify: Verify = "quick"
    """How the dataset is checked first: quick (table, sizes, a sample of eyes), or full (every
    byte)."""
    models: str = "models:/fundus-sex@candidate,models:/fundus-sex@champion"
    """The two registered versions, with a comma between them."""
    split: str = "test"
    """Split to score: train, val or test."""
    batch_size: int = 32
    """Eyes per pass."""
    bootstrap: int = 2000
    """Resamples of people behind each interval."""
    seed: int = 0
    """Seed of the bootstrap."""

    def __post_init__(self) -> None:
        """Refuse a seed out of range, or another number of versions."""
        check_seed(self.seed)
        addresses(self.models, least=2, most=2)


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("compare", CompareConfig, compare, argv)


def compare(config: CompareConfig, run: "tracking.Run") -> "pd.DataFrame":
    """Score a split with both versions, record the difference and say what it shows."""
    dataset = running.read_dataset_for(
        run,
        config.dataset,
        addresses(config.models, least=2, most=2),
        context="compare",
        verify=config.verify,
    )
    eyes = dataset.split(config.split)
    evaluation.check_measurable(eyes, resamples=config.bootstrap)
    versions = running.read_versions(run, config.models)
    running.possibly_trained_on(run, versions.entries, dataset, split=config.split)
    logits = running.score_all(versions.classifiers, eyes, batch_size=config.batch_size)
    first, second = logits
    table = model_selection.compare_scorers(
        eyes.frame, logits, reference=first, resamples=config.bootstrap, seed=config.seed
    )
    place = f"{config.split} split of {dataset.name}"
    run.log_table(table, "comparison.json")
    run.log_figure(figures.comparison_forest(table, reference=first, eyes=place), "comparison.png")
    curves = {uri: (eyes.labels, scores) for uri, scores in logits.items()}
    run.log_figure(
        figures.roc_figure(
            curves,
            {uri: model_selection.auroc_of(table, uri) for uri in logits},
            called=dataset.contrast.classes[1],
            people=dataset.contrast.people,
        ),
        "roc.png",
    )
    console.table(table, final=True)
    said = _sentence(table, first, second, f"{len(eyes)} eyes of {_people(table)} people, {place}")
    run.log_metrics(_metrics(table, second, config.split))
    run.set_tags({"comparison": said})
    console.say(said)
    return table


def _sentence(table: "pd.DataFrame", first: str, second: str, place: str) -> str:
    """What the difference shows, per eye and per person."""
    eye, person = (
        model_selection.what_is_shown(
            model_selection.difference_of(table, second, per=unit), first, second
        )
        for unit in ("eye", "person")
    )
    return (
        f"{place}: AUROC of {first} minus {second} is, per eye, {eye}; per person, {person}; "
        "other cameras and other people are not part of it"
    )


def _people(table: "pd.DataFrame") -> int:
    return int(table["people"].iloc[0])


def _metrics(table: "pd.DataFrame", second: str, split: str) -> dict[str, float]:
    eye, person = (
        model_selection.difference_of(table, second, per=unit) for unit in ("eye", "person")
    )
    return {
        f"{split}/auroc_difference": eye.value,
        f"{split}/auroc_difference_low": eye.low,
        f"{split}/auroc_difference_high": eye.high,
        f"{split}/auroc_difference_per_person": person.value,
        f"{split}/auroc_difference_per_person_low": person.low,
        f"{split}/auroc_difference_per_person_high": person.high,
    }


if __name__ == "__main__":
    main()
