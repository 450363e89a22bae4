"""Entry point ``compare``: two registered versions on the same eyes.

Both score every eye of a split. Their difference in AUROC comes with its 95 % interval from people
resampled for both together, per eye and per person, and in words: what it shows and what not.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from experiments.running.addresses import addresses
from experiments.running.flags import run_entry_point
from experiments.running.session import read_dataset, show
from experiments.running.versions import possibly_trained_on, read_versions, score_all
from fundus_ml.data.options import Verify
from fundus_ml.errors import check_seed
from fundus_ml.evaluation.scores import check_measurable
from fundus_ml.figures import roc_figure
from fundus_ml.figures.comparisons import comparison_forest
from fundus_ml.model_selection.comparison import (
    auroc_of,
    compare_scorers,
    difference_of,
    what_is_shown,
)
from tracking.runs import Run


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
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
    """Of the bootstrap."""

    def __post_init__(self) -> None:
        """Refuse a seed out of range, or another number of versions."""
        check_seed(self.seed)
        addresses(self.models, least=2, most=2)


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("compare", CompareConfig, compare, argv)


def compare(config: CompareConfig, run: Run) -> pd.DataFrame:
    """Score a split with both versions, record the difference and say what it shows."""
    dataset = read_dataset(run, config.dataset, context="compare", verify=config.verify)
    eyes = dataset.split(config.split)
    check_measurable(eyes, resamples=config.bootstrap)
    versions = read_versions(run, config.models)
    possibly_trained_on(run, versions.entries, dataset, split=config.split)
    logits = score_all(versions.classifiers, eyes, batch_size=config.batch_size)
    first, second = logits
    table = compare_scorers(
        eyes.frame, logits, reference=first, resamples=config.bootstrap, seed=config.seed
    )
    place = f"{config.split} split of {dataset.name}"
    run.log_table(table, "comparison.json")
    run.log_figure(comparison_forest(table, reference=first, eyes=place), "comparison.png")
    curves = {uri: (eyes.labels, scores) for uri, scores in logits.items()}
    run.log_figure(roc_figure(curves, {uri: auroc_of(table, uri) for uri in logits}), "roc.png")
    show(table)
    said = _sentence(table, first, second, f"{len(eyes)} eyes of {_people(table)} people, {place}")
    run.log_metrics(_metrics(table, second, config.split))
    run.set_tags({"comparison": said})
    sys.stdout.write(said + "\n")
    return table


def _sentence(table: pd.DataFrame, first: str, second: str, place: str) -> str:
    """What the difference shows, per eye and per person."""
    eye, person = (
        what_is_shown(difference_of(table, second, per=unit), first, second)
        for unit in ("eye", "person")
    )
    return (
        f"{place}: AUROC of {first} minus {second} is, per eye, {eye}; per person, {person}; "
        "other cameras and other people are not part of it"
    )


def _people(table: pd.DataFrame) -> int:
    return int(table["people"].iloc[0])


def _metrics(table: pd.DataFrame, second: str, split: str) -> dict[str, float]:
    eye, person = (difference_of(table, second, per=unit) for unit in ("eye", "person"))
    return {
        f"{split}_auroc_difference": eye.value,
        f"{split}_auroc_difference_low": eye.low,
        f"{split}_auroc_difference_high": eye.high,
        f"{split}_auroc_difference_per_person": person.value,
        f"{split}_auroc_difference_per_person_low": person.low,
        f"{split}_auroc_difference_per_person_high": person.high,
    }


if __name__ == "__main__":
    main()
