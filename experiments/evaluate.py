"""Entry point ``evaluate``: what a registered version scores, clean and under attack.

Every eye of the split is scored clean and after an untargeted PGD attack at each budget. Measures
come per eye and per person, with 95 % intervals clustered by person, in every subgroup, and beside
the accuracy of naming the commoner sex. The threshold and the temperature come from validation.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from experiments.protocol.measuring import (
    Measure,
    Measured,
    check_splits_to_measure,
    measure_split,
)
from experiments.protocol.parameters import Numbers, StepLength, run_entry_point
from experiments.protocol.session import read_dataset, read_model
from fundus_ml.calibration import Calibration
from fundus_ml.errors import InputError
from tracking.registry import ModelVersion, tag_version
from tracking.results import record_predictions
from tracking.runs import Run

CALIBRATIONS = ("validation", "version")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Measure):
    """Flags of ``evaluate``."""

    dataset: str
    """Dataset folder, or several with commas between them."""
    model: str = "models:/fundus-sex@robust"
    """Registered version to measure."""
    split: str = "test"
    """Split to score: train, val or test."""
    calibration: str = "validation"
    """Temperature and threshold: validation fits them to the dataset's validation eyes, version
    takes those stored with the version."""
    eps: Numbers = Numbers("3")  # noqa: RUF009 (immutable)
    """Budgets of the attack with commas between them; the clean score is always there."""
    step_size: StepLength = "auto"
    """Length of one attack step; auto is 2.5·eps/attack_steps."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        if self.calibration not in CALIBRATIONS:
            raise InputError(f"calibration={self.calibration}: allowed: {', '.join(CALIBRATIONS)}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("evaluate", EvaluateConfig, evaluate, argv, processes=True)


def evaluate(config: EvaluateConfig, run: Run) -> pd.DataFrame:
    """Score a split clean and attacked, record every prediction and the measures."""
    dataset = read_dataset(run, config.dataset, context="evaluate")
    fits = config.calibration == "validation"
    check_splits_to_measure(dataset, config.split, bootstrap=config.bootstrap, fits=fits)
    classifier, version = read_model(run, config.model)
    measured = measure_split(
        run,
        classifier,
        dataset,
        split=config.split,
        measure=config,
        name=version.uri,
        calibration=None if fits else stored_calibration(version),
    )
    record_predictions(
        measured.predicted.assign(dataset_digest=dataset.digest), run=run, model=version
    )
    run.log_metrics(measured.metrics)
    if fits and not run.silent:
        _keep(version, measured)
    return measured.table


def stored_calibration(version: ModelVersion) -> Calibration:
    """Read the temperature and the threshold that a version carries.

    Raises:
        InputError: It carries none.
    """
    try:
        return Calibration.from_tags(version.tags)
    except InputError as error:
        raise InputError(
            f"calibration=version: {version.uri}: {error}; calibration=validation fits one"
        ) from None


def _keep(version: ModelVersion, measured: Measured) -> None:
    """Store the calibration with the version, unless it has one from other eyes."""
    theirs = version.tags.get("calibrated_on")
    if theirs in (None, measured.tags["calibrated_on"]):
        tag_version(version, measured.tags)
    else:
        sys.stdout.write(
            f"{version.uri} keeps the temperature and threshold it has from dataset {theirs}; "
            "those of this run are in its calibration.json\n"
        )


if __name__ == "__main__":
    main()
