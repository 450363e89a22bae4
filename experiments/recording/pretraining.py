"""What a pretraining refuses, measures and leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.recording.registration import register_model
from experiments.running.launch import from_first
from fundus_ml.errors import InputError
from fundus_ml.figures.pretraining import pretraining_curves
from fundus_ml.models.classifiers import Classifier
from fundus_ml.pretraining import Encoder, PretrainingObjective, check_probe, probe_auroc
from fundus_ml.training import Fitted
from tracking.registry import ModelVersion, describe
from tracking.runs import Run

if TYPE_CHECKING:
    from experiments.pretrain import PretrainConfig

ALIAS = "candidate"
KEPT = (
    "val_loss", "val_invariance", "val_variance", "val_covariance", "val_embedding_std",
    "val_feature_rank",
)  # fmt: skip
"""Columns of the history whose value at the best epoch goes with the version."""


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A feature extractor that was pretrained and registered.

    Attributes:
        version: In the registry.
        metrics: Of the best epoch, and of the probe.
        seconds_per_step: Median over the training steps.
    """

    version: ModelVersion
    metrics: Mapping[str, float]
    seconds_per_step: float


def refuse_supervision(config: "PretrainConfig") -> None:
    """Refuse flags that mean nothing where no label is seen.

    Raises:
        InputError: The first of them that is set.
    """
    for name, only, reason in (
        ("balance", "none", "it goes by sex, and no label is looked at"),
        ("label_smoothing", 0, "no label is looked at"),
        ("patience", 0, "the schedule needs all its epochs; set epochs"),
        ("augment", "full", "the views have ranges of their own"),
    ):
        value = getattr(config, name)
        if value != only:
            raise InputError(f"{name}={value}: pretrain takes {only} only, {reason}")
    if config.freeze == "backbone":
        raise InputError("freeze=backbone: the backbone is what pretrain learns; pass freeze=none")


def probed(
    name: str, encoder: Encoder, objective: PretrainingObjective, config: "PretrainConfig"
) -> dict[str, float]:
    """Probe the features for sex, where that is asked for; nothing is chosen by it.

    Returns:
        The validation AUROC under ``name``, or nothing.

    Raises:
        InputError: The splits are too small for a probe.
    """
    if not config.probe:
        return {}
    check_probe(objective.train, objective.val)
    found = probe_auroc(
        encoder,
        objective.train,
        objective.val,
        batch_size=config.batch_size,
        precision=config.precision,
    )
    return {name: found}


def register_pretrained(
    run: Run,
    config: "PretrainConfig",
    fitted: Fitted,
    classifier: Classifier,
    *,
    objective: PretrainingObjective,
    start: Mapping[str, float],
    parent: ModelVersion | None,
) -> Pretrained:
    """Put the feature extractor into the classifier it was taken from, and register that.

    Args:
        run: The open run.
        config: Of the pretraining.
        fitted: Its best epoch.
        classifier: Whose last layer and head stay as they are, random.
        objective: What was learned.
        start: What was measured before it.
        parent: The version it started from.
    """
    encoder = fitted.model
    assert isinstance(encoder, Encoder)
    figure = pretraining_curves(
        fitted.history, coefficients=vars(config.coefficients()), width=encoder.width
    )
    run.log_figure(figure, "pretraining_curves.png")
    by_epoch = fitted.history.set_index("epoch")
    metrics = {
        **{name: float(by_epoch[name][fitted.best_epoch]) for name in KEPT},
        **start,
        **probed("probe_val_auroc", encoder, objective, config),
        "best_epoch": float(fitted.best_epoch),
        "paired_eyes": float(objective.pairing.paired),
        "seconds_per_step": fitted.seconds_per_step,
    }
    encoder.give_back(classifier)
    dataset = objective.train
    tags = {
        "recipe": "vicreg",
        "pairs": config.pairs,
        "epochs": str(config.epochs),
        "weights": config.weights,
        "dataset_digest": dataset.digest,
    }

    def register() -> ModelVersion:
        version = register_model(
            run,
            config.register_as,
            classifier,
            metrics=metrics,
            tags=tags,
            alias=ALIAS,
            parent=parent,
        )
        describe(version, _description(config, objective, metrics, version))
        return version

    return Pretrained(
        version=from_first(register),
        metrics=metrics,
        seconds_per_step=fitted.seconds_per_step,
    )


def _description(
    config: "PretrainConfig",
    objective: PretrainingObjective,
    metrics: Mapping[str, float],
    version: ModelVersion,
) -> str:
    """The page of the version, as Markdown."""
    text = (
        f"**Pretrained {config.arch}: its logit means nothing yet.** The feature "
        "extractor was learned without labels; the last layer and the head are random. "
        "Train from it with "
        f"`weights={version.uri}`.\n\n"
        f"VICReg on {len(objective.train)} training eyes of {objective.train.name}, pairs by "
        f"{config.pairs}; epoch {metrics['best_epoch']:.0f} of {config.epochs}, validation loss "
        f"{metrics['val_loss']:.3f}; spread of the embeddings {metrics['val_embedding_std']:.2f} "
        f"(wanted 1, collapsed 0), features of rank {metrics['val_feature_rank']:.1f}."
    )
    if "probe_val_auroc" in metrics:
        text += (
            "\n\nA logistic regression on the frozen features tells the sexes of the validation "
            f"eyes apart with AUROC {metrics['probe_val_auroc']:.3f}, before the pretraining "
            f"{metrics['start_probe_val_auroc']:.3f} (reported, not chosen by)."
        )
    return text
