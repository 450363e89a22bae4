"""What a trial of a study does: one training with the values drawn, judged on validation."""

import copy
import dataclasses
from collections.abc import Callable, Mapping

from experiments.robustify import RobustifyConfig
from experiments.running.session import read_model
from experiments.running.start import REGISTERED, start_classifier
from experiments.train import TrainConfig
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.models.classifiers import Classifier
from fundus_ml.robust_training import fit_robust
from fundus_ml.training import Fitted, fit
from fundus_ml.training.engine import OnEpochEnd
from tracking.registry import resolve
from tracking.runs import Run
from tracking.studies import Direction
from tracking.trials import Trial

METRICS: Mapping[str, Direction] = {
    "val_auroc": "maximize",
    "val_loss": "minimize",
    "robust_val_auroc": "maximize",
}

Objective = Callable[[Trial], float]
Training = TrainConfig | RobustifyConfig


def pinned(training: Training) -> Training:
    """Let every trial start from the version that an alias means now."""
    if isinstance(training, RobustifyConfig):
        return dataclasses.replace(training, model=resolve(training.model).uri)
    if training.weights.startswith(REGISTERED):
        return dataclasses.replace(training, weights=resolve(training.weights).uri)
    return training


def make_objective(
    training: Training, dataset: FundusDataset, run: Run, *, metric: str
) -> Objective:
    """Say what a trial does.

    Args:
        training: Flags that the drawn values replace.
        dataset: Its training split is learned from, its validation split judges.
        run: Of the worker; a version that trials start from becomes its input.
        metric: Column of the history; its best epoch is the trial's value.
    """
    if isinstance(training, TrainConfig):
        return clean_objective(training, dataset, metric=metric)
    start, _ = read_model(run, training.model)
    return adversarial_objective(training, dataset, start=start, metric=metric)


def clean_objective(config: TrainConfig, dataset: FundusDataset, *, metric: str) -> Objective:
    """Train from the start weights, as ``train`` does."""

    def objective(trial: Trial) -> float:
        drawn = dataclasses.replace(config, **trial.parameters)
        model, _ = start_classifier(drawn, dataset, trial.run)
        splits = dataset.split("train"), dataset.split("val")

        def learned(on_epoch_end: OnEpochEnd) -> Fitted:
            return fit(model, *splits, drawn, on_epoch_end=on_epoch_end)

        return _judged(trial, learned, epochs=drawn.epochs, metric=metric)

    return objective


def adversarial_objective(
    config: RobustifyConfig, dataset: FundusDataset, *, start: Classifier, metric: str
) -> Objective:
    """Train on adversarial images from ``start``, as ``robustify`` does."""

    def objective(trial: Trial) -> float:
        drawn = dataclasses.replace(config, **trial.parameters)
        model = copy.deepcopy(start)
        splits = dataset.split("train"), dataset.split("val")

        def learned(on_epoch_end: OnEpochEnd) -> Fitted:
            return fit_robust(
                model,
                *splits,
                drawn,
                method=drawn.made_method(),
                validation_attack=drawn.validation_attack(),
                eps_warmup=drawn.eps_warmup,
                overfitting_monitor=drawn.overfitting_monitor,
                on_epoch_end=on_epoch_end,
            )

        return _judged(trial, learned, epochs=drawn.epochs, metric=metric)

    return objective


def _judged(
    trial: Trial, learned: Callable[[OnEpochEnd], Fitted], *, epochs: int, metric: str
) -> float:
    def on_epoch_end(row: Mapping[str, float]) -> None:
        trial.run.log_epoch(row)
        epoch = int(row["epoch"])
        trial.report(row[metric], epoch, last=epoch == epochs)

    fitted = learned(on_epoch_end)
    if fitted.ended:
        trial.run.set_tags({"overfitting_monitor": fitted.ended})
    values = fitted.history[metric]
    return float(values.max() if METRICS[metric] == "maximize" else values.min())
