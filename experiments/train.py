"""Entry point ``train``: fit one classifier, record it, register it.

Learns sex from the training split, keeps the epoch with the best validation AUROC, measures it on
the test split, and registers it with the alias ``candidate``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.parameters import run_entry_point
from experiments.session import measure, progress, read_dataset, register, start_classifier
from experiments.tuned import with_tuned
from fundus_ml.figures import training_curves
from fundus_ml.training import TrainingOptions, fit
from tracking.registry import ModelVersion
from tracking.runs import Run


@dataclass(frozen=True, kw_only=True)
class TrainConfig(TrainingOptions):
    """Flags of ``train``."""

    dataset: str
    """Dataset folder, or several with commas between them."""
    arch: str = "resnet50"
    """Torchvision backbone."""
    head_hidden: int = 256
    """Width of the layer between the backbone and the logit."""
    weights: str = "imagenet"
    """Start weights: imagenet (downloaded by torchvision), none, or a state-dict file."""
    tuned: str = ""
    """JSON file of a `tune` run (best_parameters.json) whose values replace these flags."""
    bootstrap: int = 2000
    """Resamples of people behind each interval."""
    register_as: str = "fundus-sex"
    """Name in the model registry."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("train", TrainConfig, train, argv)


def train(config: TrainConfig, run: Run) -> ModelVersion:
    """Fit on the training split, choose on validation, measure on test, register."""
    config = with_tuned(config)
    dataset = read_dataset(run, config.dataset, context="train")
    classifier = start_classifier(config, dataset)
    with progress("train", "step") as on_step:
        fitted = fit(
            classifier,
            dataset.split("train"),
            dataset.split("val"),
            config,
            on_step=on_step,
            on_epoch_end=run.log_epoch,
        )
    run.log_figure(training_curves(fitted.history), "training_curves.png")
    metrics = measure(run, fitted, dataset.split("test"), config.bootstrap, eps=())
    return register(
        run,
        config.register_as,
        fitted.model,
        metrics=metrics,
        tags={"dataset_digest": dataset.digest, "recipe": "clean", "weights": config.weights},
        aliases=["candidate"],
    )


if __name__ == "__main__":
    main()
