"""Entry point ``evaluate``: what a registered version scores, clean and under attack.

Every eye of the split is scored clean and after an untargeted PGD attack at each budget. Measures
come with 95 % intervals clustered by person, and beside the accuracy of naming the commoner sex.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from experiments.protocol.measuring import Measure, measure_split
from experiments.protocol.parameters import Numbers, StepLength, run_entry_point
from experiments.protocol.session import read_dataset, read_model
from fundus_ml.evaluation import check_measurable
from tracking.results import record_predictions
from tracking.runs import Run


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Measure):
    """Flags of ``evaluate``."""

    dataset: str
    """Dataset folder, or several with commas between them."""
    model: str = "models:/fundus-sex@robust"
    """Registered version to measure."""
    split: str = "test"
    """Split to score: train, val or test."""
    eps: Numbers = Numbers("3")  # noqa: RUF009 (immutable)
    """Budgets of the attack with commas between them; the clean score is always there."""
    step_size: StepLength = "auto"
    """Length of one attack step; auto is 2.5·eps/attack_steps."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("evaluate", EvaluateConfig, evaluate, argv)


def evaluate(config: EvaluateConfig, run: Run) -> pd.DataFrame:
    """Score a split clean and attacked, record every prediction and the measures."""
    dataset = read_dataset(run, config.dataset, context="evaluate")
    check_measurable(dataset.split(config.split), resamples=config.bootstrap)
    classifier, version = read_model(run, config.model)
    measured = measure_split(
        run, classifier, dataset, split=config.split, measure=config, name=version.uri
    )
    record_predictions(
        measured.predicted.assign(dataset_digest=dataset.digest), run=run, model=version
    )
    run.log_metrics(measured.metrics)
    return measured.table


if __name__ == "__main__":
    main()
