"""Entry point ``train``: fit one classifier, record it, register it.

Learns sex, or another contrast, from the training split, keeps the epoch with the best validation
AUROC, measures it on the test split, and registers it with the alias ``candidate``. A training that
was killed goes on when the same command is given again; under ``torchrun`` several processes share
each batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from experiments import recording, running
from experiments.recording.options import ScoreOptions
from experiments.running import console
from experiments.running.flags import run_entry_point
from experiments.running.identity import adopted
from experiments.running.options import NetworkOptions, ReplicatedOptions
from fundus_ml import data, models, training
from fundus_ml.data.options import EYE, TRUE, check_labels, check_share, check_sides

if TYPE_CHECKING:
    import torch

    import tracking


@dataclass(frozen=True, kw_only=True)
class TrainConfig(NetworkOptions, ReplicatedOptions):
    """Flags of ``train``."""

    dataset: str
    """Dataset folder, or several with commas between them."""
    contrast: str = "sex"
    """Question to answer: sex; a finding against healthy eyes, such as glaucoma; eye (left or
    right); a number with a cut, such as age>60; or a column of two values."""
    tuned: str = ""
    """Best parameters of a `tune` run, which replace these flags: a JSON file, or
    runs:/RUN_ID/best_parameters.json."""
    train_people: float = 1.0
    """Share of the people of the training split that are learned from, drawn by the seed within
    each sex: a point of a learning curve."""
    bootstrap: int = 2000
    """Resamples of people behind each interval."""
    register_as: str = "fundus-sex"
    """Name in the model registry; of another contrast than sex fundus-CONTRAST in its place."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        check_labels(self.labels, augment=self.augment, both_flips=self.both_flips)
        check_share(self.train_people)


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("train", TrainConfig, train, argv, processes=True)


def check_learnable(config: TrainConfig) -> None:
    """Refuse a question that the flags, those of recipe and tuning among them, make unlearnable.

    Raises:
        InputError: Left and right are asked of eyes, or of a network, that are mirrored.
    """
    if config.contrast == EYE:
        check_sides(
            f"contrast={EYE}",
            augment=config.augment,
            both_flips=config.both_flips,
            head=config.head,
        )


def train(config: TrainConfig, run: "tracking.Run") -> "running.Trained":
    """Fit on the training split, choose on validation, measure on test, register.

    Hands back the first of several replicates.
    """
    config = running.with_tuned(running.with_recipe(config, run), run, entry_point="train")
    check_learnable(config)
    dataset = running.read_dataset(
        run, config.dataset, context="train", verify="full", contrast=config.contrast
    )
    recording.check_splits(dataset, bootstrap=config.bootstrap)
    recording.log_augmentation(run, dataset.split("train"), config)
    if config.replicates == 1:
        return train_one(config, run, dataset)
    found = running.replicates(
        "train",
        config,
        run,
        partial(train_one, from_features=True),
        dataset=dataset,
        paths=config.dataset,
        starts=running.registered_starts([config.weights]),
        record=partial(recording.record_replicates, bootstrap=config.bootstrap),
    )
    return found[0].trained


def train_one(
    config: TrainConfig,
    run: "tracking.Run",
    dataset: "data.FundusDataset",
    *,
    named: bool = True,
    from_features: bool = False,
) -> "running.Trained":
    """Train and register one network.

    Args:
        config: Flags, those of its recipe among them.
        run: Its run.
        dataset: Open.
        named: Whether it may get the alias ``candidate``.
        from_features: Score it from stored features where its layers are frozen, which several
            such networks share.
    """
    classifier, parent = running.start_classifier(config, dataset, run)
    if parent is not None and config.labels != TRUE:
        running.check_null_start(parent, labels=config.labels, named=f"weights={config.weights}")
    with running.resumable("train", config, run, dataset=dataset, parent=parent) as checkpoints:
        with console.progress("train", "step") as on_step:
            fitted = fit_clean(
                config,
                classifier,
                dataset,
                checkpoints=checkpoints,
                on_step=on_step,
                on_epoch_end=run.log_epoch,
            )
        return recording.register_fitted(
            run,
            running.registered_name(config.register_as, dataset),
            fitted,
            dataset,
            scored=scored_from(config, fitted, dataset) if from_features else None,
            options=adopted(config, ScoreOptions),
            tags={
                "recipe": "clean",
                "weights": config.weights,
                "labels": config.labels,
                "seed": str(config.seed),
            },
            alias="candidate" if named and config.labels == TRUE else None,
            parent=parent,
        )


def fit_clean(
    config: TrainConfig,
    classifier: "models.Classifier",
    dataset: "data.FundusDataset",
    *,
    on_epoch_end: "training.OnEpochEnd",
    checkpoints: "training.Checkpoints | None" = None,
    on_step: "training.OnStep | None" = None,
) -> "training.Fitted":
    """Fit a classifier with the flags of ``train``, as this entry point and ``tune`` do.

    Frozen layers see each eye once, where what they make of it can be stored; of all people, so
    that a learning curve finds them.
    """
    learned = data.labels_to_learn(dataset, config.labels, seed=config.seed)
    train, val = learned.split("train"), learned.split("val")
    fewer = partial(data.fewer_people, share=config.train_people, seed=config.seed)
    obstacle = training.why_not_stored(config, classifier, side=dataset.size)
    if obstacle:
        if config.freeze not in {"none", "batchnorm"}:
            console.remark(f"frozen layers run in every epoch: {obstacle}")
        return training.fit(
            classifier,
            fewer(train),
            val,
            config,
            checkpoints=checkpoints,
            on_step=on_step,
            on_epoch_end=on_epoch_end,
        )
    with console.progress("features", "eye") as on_stored:
        above = training.store_below(
            classifier,
            dataset.split("train"),
            dataset.split("val"),
            config,
            within=running.CHECKPOINTS,
            on_stored=on_stored,
        )
    return training.fit_above(
        classifier,
        replace(above, train=fewer(above.train.learning(train)), val=above.val.learning(val)),
        config,
        checkpoints=checkpoints,
        on_step=on_step,
        on_epoch_end=on_epoch_end,
    )


def scored_from(
    config: TrainConfig, fitted: "training.Fitted", dataset: "data.FundusDataset"
) -> "tuple[torch.nn.Module, data.FundusDataset] | None":
    """What to measure a network on: stored features where its layers are frozen, else None."""
    classifier = fitted.model
    assert isinstance(classifier, models.Classifier)
    if training.why_not_stored(config, classifier, side=dataset.size):
        return None
    with console.progress("features", "eye") as on_stored:
        return training.scored_above(
            classifier, dataset, config, within=running.CHECKPOINTS, on_stored=on_stored
        )


if __name__ == "__main__":
    main()
