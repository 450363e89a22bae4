"""What a trial of a study does: one training with the values drawn, judged on validation."""

from collections.abc import Callable, Mapping

from experiments.running.options import METRICS
from fundus_ml.training import Fitted
from fundus_ml.training.engine import OnEpochEnd
from tracking.trials import Trial

Objective = Callable[[Trial], float]
Training = Callable[[Trial, OnEpochEnd], Fitted]
"""Trains with the values that a trial draws."""


def objective_of(training: Training, *, epochs: int, metric: str) -> Objective:
    """Make the objective of a study from a training.

    Args:
        training: Called once per trial; reports every epoch.
        epochs: Epochs of a trial that is not pruned.
        metric: Column of the history; its best epoch is the trial's value.
    """

    def objective(trial: Trial) -> float:
        def on_epoch_end(row: Mapping[str, float]) -> None:
            trial.run.log_epoch(row)
            epoch = int(row["epoch"])
            trial.report(row[metric], epoch, last=epoch == epochs)

        fitted = training(trial, on_epoch_end)
        if fitted.ended:
            trial.run.set_tags({"overfitting_monitor": fitted.ended})
        values = fitted.history[metric]
        return float(values.max() if METRICS[metric] == "maximize" else values.min())

    return objective
