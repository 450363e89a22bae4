"""Entry point ``train``: fit one classifier, record it, register it.

Learns sex from the training split, keeps the epoch with the best validation AUROC, measures it on
the test split, and registers it with the alias ``candidate``. A training that was killed goes on
when the same command is given again; under ``torchrun`` several processes share each batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.recording.augmentation import log_augmentation
from experiments.recording.options import Measure
from experiments.recording.registration import (
    Trained,
    check_splits,
    register_fitted,
)
from experiments.running.flags import run_entry_point
from experiments.running.options import ResumableOptions
from experiments.running.resuming import resumable
from experiments.running.session import progress, read_dataset
from experiments.running.start import start_classifier
from experiments.running.tuned import with_tuned
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.options import TRUE, check_labels
from fundus_ml.data.shuffled_labels import labels_to_learn
from fundus_ml.models.classifiers import Classifier
from fundus_ml.training import Checkpoints, Fitted, fit
from fundus_ml.training.engine import OnEpochEnd, OnStep
from tracking.runs import Run


@dataclass(frozen=True, kw_only=True)
class TrainConfig(ResumableOptions):
    """Flags of ``train``."""

    dataset: str
    """Dataset folder, or several with commas between them."""
    arch: str = "resnet50"
    """Torchvision backbone."""
    head_hidden: int = 256
    """Width of the layer between the backbone and the logit."""
    weights: str = "imagenet"
    """Start weights: imagenet (downloaded by torchvision), none, a registered version such as
    models:/fundus-pretrained@candidate, or a file of weights."""
    tuned: str = ""
    """Best parameters of a `tune` run, which replace these flags: a JSON file, or
    runs:/RUN_ID/best_parameters.json."""
    labels: str = "true"
    """Labels that are learned: true, or shuffled between people, for a control at chance, which
    gets no alias."""
    bootstrap: int = 2000
    """Resamples of people behind each interval."""
    register_as: str = "fundus-sex"
    """Name in the model registry."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        check_labels(self.labels)


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("train", TrainConfig, train, argv, processes=True)


def train(config: TrainConfig, run: Run) -> Trained:
    """Fit on the training split, choose on validation, measure on test, register."""
    config = with_tuned(config, run)
    dataset = read_dataset(run, config.dataset, context="train", verify="full")
    check_splits(dataset, bootstrap=config.bootstrap)
    classifier, parent = start_classifier(config, dataset, run)
    log_augmentation(run, dataset.split("train"), config)
    with resumable("train", config, run, dataset=dataset, parent=parent) as checkpoints:
        with progress("train", "step") as on_step:
            fitted = fit_clean(
                config,
                classifier,
                dataset,
                checkpoints=checkpoints,
                on_step=on_step,
                on_epoch_end=run.log_epoch,
            )
        return register_fitted(
            run,
            config.register_as,
            fitted,
            dataset,
            measure=Measure(
                bootstrap=config.bootstrap, seed=config.seed, batch_size=config.batch_size
            ),
            tags={"recipe": "clean", "weights": config.weights, "labels": config.labels},
            alias="candidate" if config.labels == TRUE else None,
            parent=parent,
        )


def fit_clean(
    config: TrainConfig,
    classifier: Classifier,
    dataset: FundusDataset,
    *,
    on_epoch_end: OnEpochEnd,
    checkpoints: Checkpoints | None = None,
    on_step: OnStep | None = None,
) -> Fitted:
    """Fit a classifier with the flags of ``train``, as this entry point and ``tune`` do."""
    learned = labels_to_learn(dataset, config.labels, seed=config.seed)
    return fit(
        classifier,
        learned.split("train"),
        learned.split("val"),
        config,
        checkpoints=checkpoints,
        on_step=on_step,
        on_epoch_end=on_epoch_end,
    )


if __name__ == "__main__":
    main()
