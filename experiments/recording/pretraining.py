"""What a pretraining refuses, measures and leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from experiments.recording.registration import register_model
from fundus_ml.figures.pretraining import pretraining_curves
from fundus_ml.models.classifiers import Classifier
from fundus_ml.pretraining import Encoder, PretrainingObjective, check_probe, probe_auroc
from fundus_ml.training import Fitted
from fundus_ml.training.distribution import from_first
from tracking.registry import ModelVersion, describe
from tracking.runs import Run, metric_name

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
        metrics: Metrics of the best epoch, and of the probe.
        seconds_per_step: Median over the training steps.
    """

    version: ModelVersion
    metrics: Mapping[str, float]
    seconds_per_step: float


def probed(encoder: Encoder, objective: PretrainingObjective) -> float:
    """Probe the features for sex; nothing is chosen by it.

    Returns:
        The validation AUROC.

    Raises:
        InputError: The splits are too small for a probe.
    """
    check_probe(objective.train, objective.val)
    return probe_auroc(
        encoder,
        objective.train,
        objective.val,
        batch_size=objective.options.batch_size,
        precision=objective.options.precision,
    )


def register_pretrained(
    run: Run,
    name: str,
    fitted: Fitted,
    classifier: Classifier,
    *,
    objective: PretrainingObjective,
    weights: str,
    start_probe: float | None,
    parent: ModelVersion | None,
) -> Pretrained:
    """Put the feature extractor into the classifier it was taken from, and register that.

    Args:
        run: The open run.
        name: Registered name.
        fitted: Its best epoch.
        classifier: Whose last layer and head stay as they are, random.
        objective: What was learned.
        weights: What it started from, as the flag says.
        start_probe: Validation AUROC of a probe before it; None where no probe is asked for.
        parent: The version it started from.
    """
    encoder = fitted.model
    assert isinstance(encoder, Encoder)
    figure = pretraining_curves(
        fitted.history, coefficients=vars(objective.coefficients), width=encoder.width
    )
    run.log_figure(figure, "pretraining_curves.png")
    by_epoch = fitted.history.set_index("epoch")
    probes = {}
    if start_probe is not None:
        probes["val/start_probe_auroc"] = start_probe
        probes["val/probe_auroc"] = probed(encoder, objective)
    metrics = {
        **{metric_name(name): float(by_epoch[name][fitted.best_epoch]) for name in KEPT},
        **probes,
        "best_epoch": float(fitted.best_epoch),
        "paired_eyes": float(objective.pairing.paired),
        "seconds_per_step": fitted.seconds_per_step,
    }
    encoder.give_back(classifier)
    dataset = objective.train
    tags = {
        "recipe": "vicreg",
        "pairs": objective.pairs,
        "epochs": str(objective.options.epochs),
        "weights": weights,
        "dataset_digest": dataset.digest,
    }

    def register() -> ModelVersion:
        version = register_model(
            run,
            name,
            classifier,
            metrics=metrics,
            tags=tags,
            alias=ALIAS,
            eyes=pd.concat([objective.train.frame, objective.val.frame]),
            parents=[] if parent is None else [parent],
        )
        describe(version, _description(classifier.spec.arch, objective, metrics, version))
        return version

    return Pretrained(
        version=from_first(register),
        metrics=metrics,
        seconds_per_step=fitted.seconds_per_step,
    )


def _description(
    arch: str,
    objective: PretrainingObjective,
    metrics: Mapping[str, float],
    version: ModelVersion,
) -> str:
    """The page of the version, as Markdown."""
    text = (
        f"**Pretrained {arch}: its logit means nothing yet.** The feature "
        "extractor was learned without labels; the last layer and the head are random. "
        "Train from it with "
        f"`weights={version.uri}`.\n\n"
        f"VICReg on {len(objective.train)} training eyes of {objective.train.name}, pairs by "
        f"{objective.pairs}; epoch {metrics['best_epoch']:.0f} of {objective.options.epochs}, "
        f"validation loss {metrics['val/loss']:.3f}; spread of the embeddings "
        f"{metrics['val/embedding_std']:.2f} (wanted 1, collapsed 0), features of rank "
        f"{metrics['val/feature_rank']:.1f}."
    )
    if "val/probe_auroc" in metrics:
        text += (
            "\n\nA logistic regression on the frozen features tells the sexes of the validation "
            f"eyes apart with AUROC {metrics['val/probe_auroc']:.3f}, before the pretraining "
            f"{metrics['val/start_probe_auroc']:.3f} (reported, not chosen by)."
        )
    return text
